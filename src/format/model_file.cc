// SPDX-License-Identifier: Apache-2.0

#include "format/model_file.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace mirage::format {
namespace {

std::string Describe(const TensorInfo& tensor) {
  return "tensor '" + tensor.name + "' (" + std::to_string(tensor.extent.bytes) +
         " bytes at byte " + std::to_string(tensor.extent.offset) + ")";
}

}  // namespace

Result<ModelFile> ModelFile::Make(Parts parts) {
  ModelFile file(std::move(parts));
  MIRAGE_TRY(file.IndexNames());
  MIRAGE_TRY(file.CheckExtents());
  return file;
}

Status ModelFile::IndexNames() {
  const auto& tensors = parts_.tensors;
  by_name_.resize(tensors.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
  for (size_t i = 1; i < by_name_.size(); ++i) {
    const TensorInfo& first = tensors[by_name_[i - 1]];
    const TensorInfo& second = tensors[by_name_[i]];
    if (first.name == second.name)
      return Fail(Code::kCorrupt, Describe(second) + " appears twice: also at byte " +
                                      std::to_string(first.extent.offset) + " of " +
                                      parts_.shards[first.extent.shard]->name());
  }
  return {};
}

Status ModelFile::CheckExtents() const {
  std::vector<const TensorInfo*> by_place;
  by_place.reserve(parts_.tensors.size());
  for (const TensorInfo& tensor : parts_.tensors) {
    const Extent& extent = tensor.extent;
    MIRAGE_TRY_ASSIGN(const uint64_t bytes, tensor::TensorBytes(tensor.dtype, tensor.shape));
    const ByteSource& shard = *parts_.shards[extent.shard];
    if (bytes != extent.bytes)
      return Fail(Code::kCorrupt, Describe(tensor) + " needs " + std::to_string(bytes) +
                                      " bytes for " + ToString(tensor.shape) + " of " +
                                      Info(tensor.dtype).name);
    if (extent.offset > shard.bytes() || extent.bytes > shard.bytes() - extent.offset)
      return Fail(Code::kCorrupt, Describe(tensor) + " passes the end of " + shard.name() + " at " +
                                      std::to_string(shard.bytes()) + "; is the file truncated?");
    by_place.push_back(&tensor);
  }
  const auto place = [](const TensorInfo* t) {
    return std::tuple(t->extent.shard, t->extent.offset);
  };
  std::sort(by_place.begin(), by_place.end(),
            [&](const TensorInfo* a, const TensorInfo* b) { return place(a) < place(b); });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const Extent& before = by_place[i - 1]->extent;
    const Extent& extent = by_place[i]->extent;
    if (before.shard == extent.shard && before.offset + before.bytes > extent.offset)
      return Fail(Code::kCorrupt,
                  Describe(*by_place[i]) + " overlaps " + Describe(*by_place[i - 1]));
  }
  return {};
}

const TensorInfo* ModelFile::FindTensor(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name, [&](uint32_t index, std::string_view wanted) {
        return std::string_view(parts_.tensors[index].name) < wanted;
      });
  if (found == by_name_.end() || parts_.tensors[*found].name != name) return nullptr;
  return &parts_.tensors[*found];
}

Result<const TensorInfo*> ModelFile::GetTensor(std::string_view name) const {
  const TensorInfo* tensor = FindTensor(name);
  if (tensor == nullptr)
    return Fail(Code::kCorrupt, "tensor '" + std::string(name) + "' is missing");
  return tensor;
}

Status ModelFile::ReadTensor(const TensorInfo& tensor, uint64_t begin,
                             std::span<std::byte> out) const {
  if (begin > tensor.extent.bytes || out.size() > tensor.extent.bytes - begin)
    return Fail(Code::kInvalidArgument, Describe(tensor) + " has no " + std::to_string(out.size()) +
                                            " bytes at its byte " + std::to_string(begin));
  return parts_.shards[tensor.extent.shard]->ReadAt(tensor.extent.offset + begin, out);
}

uint64_t ModelFile::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : parts_.tensors) bytes += tensor.extent.bytes;
  return bytes;
}

}  // namespace mirage::format
