// SPDX-License-Identifier: Apache-2.0

#include "format/model_file.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace mirage::format {
namespace {

std::string Bytes(const TensorInfo& tensor) {
  return std::to_string(tensor.extent.bytes) + " bytes";
}

}  // namespace

Result<ModelFile> ModelFile::Make(Parts parts) {
  ModelFile file(std::move(parts));
  MIRAGE_TRY(file.Locate(file.IndexNames()));
  MIRAGE_TRY(file.Locate(file.CheckExtents()));
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
      return TensorError(Code::kCorrupt, first.name,
                         "appears twice: also at byte " + std::to_string(second.extent.offset) +
                             " of " + parts_.shards[second.extent.shard]->name());
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
      return TensorError(Code::kCorrupt, tensor.name,
                         "has " + Bytes(tensor) + " and needs " + std::to_string(bytes) + " for " +
                             ToString(tensor.shape) + " of " + Info(tensor.dtype).name);
    if (extent.offset > shard.bytes() || extent.bytes > shard.bytes() - extent.offset)
      return TensorError(Code::kCorrupt, tensor.name,
                         "of " + Bytes(tensor) + " passes the end of the file at byte " +
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
      return TensorError(Code::kCorrupt, by_place[i]->name,
                         "of " + Bytes(*by_place[i]) + " overlaps tensor '" +
                             by_place[i - 1]->name + "' (" + Bytes(*by_place[i - 1]) + " at byte " +
                             std::to_string(before.offset) + ")");
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
  if (tensor == nullptr) return TensorError(Code::kCorrupt, name, "is missing");
  return tensor;
}

Status ModelFile::ReadTensor(const TensorInfo& tensor, uint64_t begin,
                             std::span<std::byte> out) const {
  if (begin > tensor.extent.bytes || out.size() > tensor.extent.bytes - begin)
    return TensorError(Code::kInvalidArgument, tensor.name,
                       "of " + Bytes(tensor) + " has no " + std::to_string(out.size()) +
                           " bytes at its byte " + std::to_string(begin));
  return parts_.shards[tensor.extent.shard]->ReadAt(tensor.extent.offset + begin, out);
}

Error ModelFile::Locate(Error error) const {
  if (error.part_kind() == FilePart::Kind::kNone) return error;
  if (error.part_kind() == FilePart::Kind::kKey) return metadata().Locate(std::move(error));
  const auto part = std::exchange(error.part, nullptr);
  const TensorInfo* tensor =
      part->kind == FilePart::Kind::kTensor ? FindTensor(part->name) : nullptr;
  if (tensor == nullptr) return std::move(error).Within(parts_.shards[0]->name());
  return std::move(error)
      .Within("byte " + std::to_string(tensor->extent.offset + part->within))
      .Within(parts_.shards[tensor->extent.shard]->name());
}

uint64_t ModelFile::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : parts_.tensors) bytes += tensor.extent.bytes;
  return bytes;
}

}  // namespace mirage::format
