// SPDX-License-Identifier: Apache-2.0

#include "format/model_file.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>
#include <tuple>
#include <utility>

#include "format/checksum.h"
#include "tensor/packed_rows.h"

namespace mirage::format {
namespace {

std::string Bytes(const TensorInfo& tensor) {
  return std::to_string(tensor.extent.bytes) + " bytes";
}

// The run that holds a row; the first where none does.
const PackedRun& RunOf(const TensorInfo& tensor, int64_t row) {
  const auto after =
      std::upper_bound(tensor.runs.begin(), tensor.runs.end(), row,
                       [](int64_t wanted, const PackedRun& run) { return wanted < run.row0; });
  return after == tensor.runs.begin() ? *after : *std::prev(after);
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

// The runs are all rows, one after the other.
Status ModelFile::CheckRuns(const TensorInfo& tensor) const {
  int64_t next = 0;
  for (const PackedRun& run : tensor.runs) {
    if (run.row0 != next || run.rows < 1 || run.rows > tensor.shape.rows() - next)
      return TensorError(Code::kCorrupt, tensor.name,
                         "has a run of " + std::to_string(run.rows) + " rows from row " +
                             std::to_string(run.row0) + ", expected row " + std::to_string(next) +
                             " of " + std::to_string(tensor.shape.rows()));
    next += run.rows;
  }
  if (next == tensor.shape.rows()) return {};
  return TensorError(Code::kCorrupt, tensor.name,
                     "has runs for " + std::to_string(next) + " of its " +
                         std::to_string(tensor.shape.rows()) + " rows");
}

Status ModelFile::CheckExtents() const {
  struct Place {
    const TensorInfo* tensor;
    Extent extent;
  };
  std::vector<Place> places;
  places.reserve(parts_.tensors.size());
  for (const TensorInfo& tensor : parts_.tensors) {
    MIRAGE_TRY_ASSIGN(const uint64_t bytes, tensor::TensorBytes(tensor.dtype, tensor.shape));
    if (bytes != tensor.extent.bytes)
      return TensorError(Code::kCorrupt, tensor.name,
                         "has " + Bytes(tensor) + " and needs " + std::to_string(bytes) + " for " +
                             ToString(tensor.shape) + " of " + Info(tensor.dtype).name);
    if (!tensor.packed()) {
      places.push_back({&tensor, tensor.extent});
      continue;
    }
    MIRAGE_TRY(CheckRuns(tensor));
    const uint64_t row_bytes = bytes / static_cast<uint64_t>(tensor.shape.rows());
    for (const PackedRun& run : tensor.runs)
      places.push_back({&tensor, {0, run.offset, row_bytes * static_cast<uint64_t>(run.rows)}});
  }
  for (const auto& [tensor, extent] : places) {
    const uint64_t end = parts_.shards[extent.shard]->bytes();
    if (extent.offset > end || extent.bytes > end - extent.offset)
      return TensorError(Code::kCorrupt, tensor->name,
                         "of " + Bytes(*tensor) + " passes the end of the file at byte " +
                             std::to_string(end) + "; is the file truncated?");
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tuple(a.extent.shard, a.extent.offset) <
           std::tuple(b.extent.shard, b.extent.offset);
  });
  for (size_t i = 1; i < places.size(); ++i) {
    const auto& [before_tensor, before] = places[i - 1];
    const auto& [tensor, extent] = places[i];
    if (before.shard == extent.shard && before.offset + before.bytes > extent.offset)
      return TensorError(Code::kCorrupt, tensor->name,
                         "of " + Bytes(*tensor) + " overlaps tensor '" + before_tensor->name +
                             "' (" + Bytes(*before_tensor) + " at byte " +
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

Status ModelFile::ReadTensor(const TensorInfo& tensor, uint64_t begin, std::span<std::byte> out,
                             Caching caching) const {
  if (begin > tensor.extent.bytes || out.size() > tensor.extent.bytes - begin)
    return TensorError(Code::kInvalidArgument, tensor.name,
                       "of " + Bytes(tensor) + " has no " + std::to_string(out.size()) +
                           " bytes at its byte " + std::to_string(begin));
  if (tensor.packed()) return ReadPacked(tensor, begin, out);
  return parts_.shards[tensor.extent.shard]->Read(tensor.extent.offset + begin, out, caching);
}

// Rows are unpacked by the group they lie in; those past the last whole group of a run lie plain.
Status ModelFile::ReadPacked(const TensorInfo& tensor, uint64_t begin,
                             std::span<std::byte> out) const {
  constexpr auto kGroup = static_cast<int64_t>(tensor::kRowGroup);
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, tensor::RowBytes(tensor.dtype, tensor.shape.cols()));
  std::vector<std::byte> packed;
  std::vector<std::byte> plain;
  while (!out.empty()) {
    const auto row = static_cast<int64_t>(begin / row_bytes);
    const PackedRun& run = RunOf(tensor, row);
    const int64_t group = (row - run.row0) / kGroup * kGroup;
    const int64_t rows = std::min(kGroup, run.rows - group);
    packed.resize(static_cast<uint64_t>(rows) * row_bytes);
    plain.resize(packed.size());
    MIRAGE_TRY(
        parts_.shards[0]->ReadAt(run.offset + static_cast<uint64_t>(group) * row_bytes, packed));
    MIRAGE_TRY(tensor::UnpackRows(tensor.dtype, rows, tensor.shape.cols(), packed, plain));
    const uint64_t within = begin - static_cast<uint64_t>(run.row0 + group) * row_bytes;
    const uint64_t count = std::min<uint64_t>(out.size(), plain.size() - within);
    std::memcpy(out.data(), plain.data() + within, count);
    out = out.subspan(count);
    begin += count;
  }
  return {};
}

uint64_t ModelFile::ByteOf(const TensorInfo& tensor, uint64_t within) const {
  if (!tensor.packed()) return tensor.extent.offset + within;
  const uint64_t row_bytes = tensor.extent.bytes / static_cast<uint64_t>(tensor.shape.rows());
  const auto row = static_cast<int64_t>(within / row_bytes);
  return RunOf(tensor, std::min(row, tensor.shape.rows() - 1)).offset;
}

Status ModelFile::CheckOthers() const {
  for (const StoredRegion& other : parts_.others) {
    MIRAGE_TRY_ASSIGN(const bool sound, IsSound(other));
    if (sound) continue;
    const auto tensor =
        std::find_if(parts_.tensors.begin(), parts_.tensors.end(), [&](const TensorInfo& info) {
          return !info.packed() && info.extent.offset == other.offset;
        });
    const std::string name = tensor == parts_.tensors.end() ? "?" : tensor->name;
    return Fail(Locate(TensorError(Code::kCorrupt, name, "has a wrong checksum").value()));
  }
  return {};
}

Result<bool> ModelFile::IsSound(const StoredRegion& region) const {
  constexpr uint64_t kPieceBytes = 256 << 10;
  std::vector<std::byte> piece;
  Checksum sum;
  for (uint64_t done = 0; done < region.bytes; done += piece.size()) {
    piece.resize(std::min(kPieceBytes, region.bytes - done));
    MIRAGE_TRY(parts_.shards[0]->ReadAt(region.offset + done, piece));
    sum.Add(piece);
  }
  return sum.Value() == region.checksum;
}

Error ModelFile::Locate(Error error) const {
  if (error.part_kind() == FilePart::Kind::kNone) return error;
  if (error.part_kind() == FilePart::Kind::kKey) return metadata().Locate(std::move(error));
  const auto part = std::exchange(error.part, nullptr);
  const TensorInfo* tensor =
      part->kind == FilePart::Kind::kTensor ? FindTensor(part->name) : nullptr;
  if (tensor == nullptr) return std::move(error).Within(parts_.shards[0]->name());
  return std::move(error)
      .Within("byte " + std::to_string(ByteOf(*tensor, part->within)))
      .Within(parts_.shards[tensor->extent.shard]->name());
}

uint64_t ModelFile::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : parts_.tensors) bytes += tensor.extent.bytes;
  return bytes;
}

}  // namespace mirage::format
