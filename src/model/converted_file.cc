// SPDX-License-Identifier: Apache-2.0
#include "model/converted_file.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file_error.h"
#include "model/weight_source.h"
#include "tensor/dequantize.h"
#include "tensor/quantize.h"

namespace mirage::model {
namespace {

// The converted tensors one after the other, as if they were a file.
class ConvertedSource final : public ByteSource {
 public:
  ConvertedSource(const format::ModelFile& file, std::vector<format::TensorInfo> tensors)
      : file_(file), tensors_(std::move(tensors)), name_(file.shards()[0]->name()) {}

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override {
    return tensors_.empty() ? 0 : tensors_.back().extent.offset + tensors_.back().extent.bytes;
  }

  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    MIRAGE_TRY(CheckRange(offset, out.size()));
    if (out.empty()) return {};
    const auto after = std::upper_bound(tensors_.begin(), tensors_.end(), offset,
                                        [](uint64_t wanted, const format::TensorInfo& tensor) {
                                          return wanted < tensor.extent.offset;
                                        });
    const auto index = static_cast<size_t>(after - tensors_.begin()) - 1;
    const format::TensorInfo& to = tensors_[index];
    const format::TensorInfo& from = file_.tensors()[index];
    MIRAGE_TRY_ASSIGN(const uint64_t to_bytes, tensor::RowBytes(to.dtype, to.shape.cols()));
    MIRAGE_TRY_ASSIGN(const uint64_t from_bytes, tensor::RowBytes(from.dtype, to.shape.cols()));
    const uint64_t within = offset - to.extent.offset;
    if (within % to_bytes != 0 || out.size() % to_bytes != 0)
      return Fail(Code::kInternal, "tensor '" + to.name + "' is converted by whole rows");
    TensorSlice rows{static_cast<int32_t>(index), static_cast<int64_t>(within / to_bytes),
                     static_cast<int64_t>(out.size() / to_bytes)};
    if (from.dtype == to.dtype) return ReadWeightRows(file_, rows, from_bytes, out);
    const std::span<const std::byte> whole = out;
    std::vector<std::byte> raw(from_bytes);
    std::vector<float> values(static_cast<size_t>(to.shape.cols()));
    for (rows.rows = 1; !out.empty(); out = out.subspan(to_bytes), ++rows.row0) {
      MIRAGE_TRY(ReadWeightRows(file_, rows, from_bytes, raw));
      tensor::DequantizeRow(from.dtype, raw.data(), values.data(), to.shape.cols());
      tensor::QuantizeRow(to.dtype, values.data(), out.data(), to.shape.cols());
    }
    if (!tensor::FindNonFinite(to.dtype, whole)) return {};
    return Fail(file_.Locate(
        TensorError(Code::kUnsupported, to.name,
                    "has weights that are too large for " + std::string(tensor::Name(to.dtype)))
            .value()));
  }

 private:
  const format::ModelFile& file_;
  const std::vector<format::TensorInfo> tensors_;
  const std::string name_;
};

}  // namespace

Result<format::ModelFile> ConvertTypes(const format::ModelFile& file,
                                       const std::function<tensor::DType(size_t)>& type_of) {
  std::vector<format::TensorInfo> tensors;
  uint64_t end = 0;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    format::TensorInfo tensor = file.tensors()[i];
    tensor.dtype = type_of(i);
    tensor.runs.clear();
    MIRAGE_TRY_ASSIGN(const uint64_t bytes, tensor::TensorBytes(tensor.dtype, tensor.shape));
    tensor.extent = {0, end, bytes};
    end += bytes;
    tensors.push_back(std::move(tensor));
  }
  format::ModelFile::Parts parts;
  parts.format = file.format();
  parts.version = file.version();
  parts.alignment = file.alignment();
  parts.metadata = file.metadata();
  parts.tensors = tensors;
  parts.shards = {std::make_shared<ConvertedSource>(file, std::move(tensors))};
  return format::ModelFile::Make(std::move(parts));
}

}  // namespace mirage::model
