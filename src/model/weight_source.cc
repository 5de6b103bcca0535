// SPDX-License-Identifier: Apache-2.0
#include "model/weight_source.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "base/file_error.h"
#include "format/checksum.h"
#include "model/row_cuts.h"
#include "tensor/dequantize.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

namespace {

constexpr size_t kCachedRows = 64;

Status ReadRows(const format::ModelFile& file, const TensorSlice& rows, uint64_t row_bytes,
                std::span<std::byte> out, Caching caching) {
  return file.ReadTensor(file.tensors()[rows.tensor], static_cast<uint64_t>(rows.row0) * row_bytes,
                         out, caching);
}

// Packs rows where they lie, whole groups by way of `scratch`; those past the last group stay.
Status PackInPlace(tensor::DType dtype, int64_t cols, uint64_t row_bytes, std::span<std::byte> rows,
                   std::span<std::byte> scratch) {
  const std::span<std::byte> plain = scratch.first(row_bytes * tensor::kRowGroup);
  for (; rows.size() >= plain.size(); rows = rows.subspan(plain.size())) {
    std::memcpy(plain.data(), rows.data(), plain.size());
    MIRAGE_TRY(tensor::PackRows(dtype, tensor::kRowGroup, cols, plain, rows.first(plain.size())));
  }
  return {};
}

}  // namespace

Status ReadWeightRows(const format::ModelFile& file, const TensorSlice& rows, uint64_t row_bytes,
                      std::span<std::byte> out, Caching caching) {
  MIRAGE_TRY(ReadRows(file, rows, row_bytes, out, caching));
  const format::TensorInfo& tensor = file.tensors()[rows.tensor];
  const std::optional<uint64_t> bad = tensor::FindNonFinite(tensor.dtype, out);
  if (!bad) return {};
  const char* what = tensor::IsQuantized(tensor.dtype)
                         ? "holds a block whose scale is not a finite number"
                         : "holds a weight that is not a finite number";
  const uint64_t byte = static_cast<uint64_t>(rows.row0) * row_bytes + *bad;
  return Fail(file.Locate(TensorError(Code::kCorrupt, tensor.name, what, byte).value()));
}

// A buffer borrowed from the idle ones for one Fill.
class WeightSource::Scratch {
 public:
  Scratch(const WeightSource& owner, uint64_t bytes) : owner_(owner) {
    {
      const std::lock_guard lock(owner_.mutex_);
      if (!owner_.scratches_.empty()) {
        buffer_ = std::move(owner_.scratches_.back());
        owner_.scratches_.pop_back();
      }
    }
    if (buffer_.size() < bytes) buffer_.resize(bytes);
  }
  ~Scratch() {
    const std::lock_guard lock(owner_.mutex_);
    try {
      owner_.scratches_.push_back(std::move(buffer_));
    } catch (const std::bad_alloc&) {  // then the next Fill makes another
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() { return buffer_; }

 private:
  const WeightSource& owner_;
  std::vector<std::byte> buffer_;
};

// A row of a vector is never wider in the file than in memory.
uint64_t WeightSource::ScratchBytes(const ModelLayout& layout) {
  if (layout.stored) return 0;
  uint64_t most = 0;
  for (const Region& region : layout.regions)
    for (const Piece& piece : region.pieces) {
      const auto rows = static_cast<uint64_t>(std::max<int64_t>(piece.source.rows, 1));
      most = std::max(most, piece.floats ? piece.bytes : piece.bytes / rows * tensor::kRowGroup);
    }
  return most;
}

Status WeightSource::Fill(memory::RegionIndex index, std::span<std::byte> dst) const {
  const Region& region = layout_.regions[index];
  if (dst.size() < region.info.bytes)
    return Fail(Code::kInternal, "a region of " + std::to_string(region.info.bytes) +
                                     " bytes filled into " + std::to_string(dst.size()));
  if (layout_.stored) return FillStored(index, dst.data());
  Scratch scratch(*this, ScratchBytes(layout_));
  for (const Piece& piece : region.pieces)
    MIRAGE_TRY(FillPiece(piece, checked_[index], scratch.bytes(), dst.data() + piece.offset));
  checked_[index] = true;
  return {};
}

Status WeightSource::FillStored(memory::RegionIndex index, std::byte* dst) const {
  const format::StoredRegion& stored = file_.regions()[index];
  MIRAGE_TRY(file_.shards()[0]->Read(stored.offset, {dst, stored.bytes}, caching()));
  return CheckStored(index, dst);
}

Status WeightSource::CheckStored(memory::RegionIndex index, const std::byte* bytes) const {
  if (checked_[index]) return {};
  const format::StoredRegion& stored = file_.regions()[index];
  if (format::ChecksumOf({bytes, stored.bytes}) != stored.checksum)
    return Fail(WrongChecksum(index));
  checked_[index] = true;
  return {};
}

Error WeightSource::WrongChecksum(memory::RegionIndex index) const {
  std::string message = file_.shards()[0]->name() + ": byte " +
                        std::to_string(file_.regions()[index].offset) +
                        ": the checksum of region " + std::to_string(index);
  if (layout_.stored) {
    const memory::RegionId& id = layout_.regions[index].info.id;
    message += " (layer " + std::to_string(id.layer) + ", part " + std::to_string(id.part) + ")";
  }
  return Error{Code::kCorrupt, message + " is wrong"};
}

Status WeightSource::CheckUnfilled(int32_t gathered_tensor,
                                   const std::vector<bool>& resident) const {
  MIRAGE_TRY(file_.CheckOthers());
  const auto gathered = [&](memory::RegionIndex index) {
    const std::vector<Piece>& pieces = layout_.regions[index].pieces;
    return std::any_of(pieces.begin(), pieces.end(),
                       [&](const Piece& piece) { return piece.source.tensor == gathered_tensor; });
  };
  for (memory::RegionIndex i = 0; i < file_.regions().size(); ++i) {
    if (layout_.stored && (resident[i] || !gathered(i))) continue;
    MIRAGE_TRY_ASSIGN(const bool sound, file_.IsSound(file_.regions()[i]));
    if (!sound) return Fail(WrongChecksum(i));
  }
  return {};
}

const std::byte* WeightSource::Mapped(memory::RegionIndex index) const {
  if (!layout_.stored) return nullptr;
  const std::span<const std::byte> mapping = file_.shards()[0]->Mapping();
  // An application's memory may begin anywhere; kernels load whole cache lines.
  if (mapping.empty() || reinterpret_cast<uintptr_t>(mapping.data()) % kPieceAlignment != 0)
    return nullptr;
  return mapping.data() + file_.regions()[index].offset;
}

// By reading, since an error of the device would be a signal when it is met in place.
Status WeightSource::CheckMapped(memory::RegionIndex index) const {
  MIRAGE_TRY_ASSIGN(const bool sound, file_.IsSound(file_.regions()[index]));
  if (!sound) return Fail(WrongChecksum(index));
  checked_[index] = true;
  return {};
}

void WeightSource::DropMapped(memory::RegionIndex index) const {
  const format::StoredRegion& stored = file_.regions()[index];
  file_.shards()[0]->DropMapping(stored.offset, stored.bytes);
}

Status WeightSource::FillPiece(const Piece& piece, bool checked, std::span<std::byte> scratch,
                               std::byte* dst) const {
  const format::TensorInfo& tensor = file_.tensors()[piece.source.tensor];
  const int64_t cols = tensor.shape.cols();
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, tensor::RowBytes(tensor.dtype, cols));
  const std::span<std::byte> raw{piece.floats ? scratch.data() : dst,
                                 row_bytes * static_cast<uint64_t>(piece.source.rows)};
  MIRAGE_TRY((checked ? ReadRows : ReadWeightRows)(file_, piece.source, row_bytes, raw, caching()));
  if (!piece.floats) return PackInPlace(tensor.dtype, cols, row_bytes, raw, scratch);
  tensor::DequantizeRow(tensor.dtype, raw.data(), reinterpret_cast<float*>(dst), cols);
  return {};
}

RowGather::RowGather(const format::ModelFile& file, const TensorSlice& table, uint64_t row_bytes)
    : file_(file),
      table_(table),
      row_bytes_(row_bytes),
      cached_row_(kCachedRows, -1),
      cache_(kCachedRows * row_bytes) {}

uint64_t RowGather::CacheBytes(uint64_t row_bytes) {
  return kCachedRows * (row_bytes + sizeof(int32_t));
}

Status RowGather::Gather(std::span<const int32_t> rows, std::byte* dst) {
  for (const int32_t row : rows) {
    const auto slot = static_cast<size_t>(row) % kCachedRows;
    std::byte* cached = cache_.data() + slot * row_bytes_;
    if (cached_row_[slot] != row) {
      cached_row_[slot] = -1;  // stays so when the read fails
      MIRAGE_TRY(ReadRows(file_, {table_.tensor, table_.row0 + row, 1}, row_bytes_,
                          {cached, row_bytes_}, Caching::kCached));
      cached_row_[slot] = row;
    }
    std::memcpy(dst, cached, row_bytes_);
    dst += row_bytes_;
  }
  return {};
}

}  // namespace mirage::model
