// SPDX-License-Identifier: Apache-2.0

#include "format/gguf.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/file_error.h"
#include "base/printable.h"
#include "format/cursor.h"
#include "format/metadata_io.h"

namespace mirage::format {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kLeastAlignment = 8;
constexpr uint32_t kQuantizationVersion = 2;  // of the block layouts in tensor/quant

// The least bytes a tensor can take: what their count is checked against before it is believed.
constexpr uint64_t kLeastTensorBytes =
    8 + 1 + 4 + 8 + 4 + 8;  // count, name, rank, dimension, type, offset

struct Shard {
  uint32_t version = 0;
  uint64_t alignment = kDefaultAlignment;
  Metadata metadata;
  std::vector<TensorInfo> tensors;
};

// Reads one file's header from front to back.
class ShardReader {
 public:
  ShardReader(std::shared_ptr<const ByteSource> source, uint32_t shard, const GgufLimits& limits)
      : source_(std::move(source)),
        shard_(shard),
        limits_(limits),
        cursor_(*source_, 0, std::min(source_->bytes(), limits.header_bytes),
                source_->bytes() <= limits.header_bytes ? "the end of the file"
                                                        : "the limit of a header") {}

  Result<Shard> Read();

 private:
  Status ReadHeader();
  Status ReadVersion();
  Status ReadAlignment();
  Status ReadTensors(uint64_t tensors);
  Result<TensorInfo> ReadTensor();
  Status PlaceTensors();

  std::shared_ptr<const ByteSource> source_;
  uint32_t shard_;
  const GgufLimits& limits_;
  Cursor cursor_;
  Shard result_;
};

Result<Shard> ShardReader::Read() {
  if (Status status = ReadHeader(); !status) {
    Error error = std::move(status).error();
    const bool about_key = error.part_kind() == FilePart::Kind::kKey;
    return Fail(about_key ? result_.metadata.Locate(std::move(error))
                          : std::move(error).Within(source_->name()));
  }
  return std::move(result_);
}

Status ShardReader::ReadHeader() {
  MIRAGE_TRY(ReadVersion());
  MIRAGE_TRY_ASSIGN(const uint64_t tensors, cursor_.Read<uint64_t>());
  MIRAGE_TRY_ASSIGN(const uint64_t keys, cursor_.Read<uint64_t>());
  MIRAGE_TRY_ASSIGN(result_.metadata, ReadMetadata(cursor_, keys, source_, limits_));
  MIRAGE_TRY(ReadAlignment());
  MIRAGE_TRY(ReadTensors(tensors));
  return PlaceTensors();
}

Status ShardReader::ReadVersion() {
  MIRAGE_TRY_ASSIGN(const uint32_t magic, cursor_.Read<uint32_t>());
  if (magic != kMagic) return Fail(Code::kCorrupt, "no GGUF magic at byte 0");
  MIRAGE_TRY_ASSIGN(result_.version, cursor_.Read<uint32_t>());
  const uint32_t version = result_.version;
  if (version == 2 || version == 3) return {};
  // The format has no flag for byte order: a small version number read backwards is the tell.
  if ((version & 0xFFFF) == 0 && version != 0)
    return Fail(Code::kUnsupported, "GGUF version " + std::to_string(__builtin_bswap32(version)) +
                                        " in big-endian byte order, only little-endian is read");
  return Fail(Code::kUnsupported,
              "GGUF version " + std::to_string(version) + ", only 2 and 3 are read");
}

Status ShardReader::ReadAlignment() {
  MIRAGE_TRY_ASSIGN(result_.alignment,
                    result_.metadata.GetOr<uint64_t>("general.alignment", kDefaultAlignment));
  const uint64_t alignment = result_.alignment;
  if (alignment < kLeastAlignment || alignment > limits_.alignment ||
      (alignment & (alignment - 1)) != 0)
    return KeyError(Code::kCorrupt, "general.alignment",
                    "is " + std::to_string(alignment) + ", expected a power of two from 8 to " +
                        std::to_string(limits_.alignment));
  return {};
}

Status ShardReader::ReadTensors(uint64_t tensors) {
  MIRAGE_TRY(cursor_.NeedItems(tensors, kLeastTensorBytes, "tensors"));
  if (tensors > limits_.tensors)
    return Fail(Code::kUnsupported, std::to_string(tensors) + " tensors, the limit is " +
                                        std::to_string(limits_.tensors));
  result_.tensors.reserve(tensors);
  for (uint64_t i = 0; i < tensors; ++i) {
    const uint64_t at = cursor_.position();
    Result<TensorInfo> tensor = ReadTensor();
    if (!tensor)
      return Fail(std::move(tensor).error().Within("tensor " + std::to_string(i) + " at byte " +
                                                   std::to_string(at)));
    result_.tensors.push_back(std::move(*tensor));
  }
  return {};
}

Result<TensorInfo> ShardReader::ReadTensor() {
  TensorInfo tensor;
  MIRAGE_TRY_ASSIGN(tensor.name, ReadName(cursor_, limits_.tensor_name_bytes));
  const auto within = [&](Error error) {
    return Fail(std::move(error).Within("'" + tensor.name + "'"));
  };

  const uint64_t rank_at = cursor_.position();
  MIRAGE_TRY_ASSIGN(const uint32_t rank, cursor_.Read<uint32_t>());
  std::array<uint64_t, tensor::Shape::kMaxRank> dims{};
  if (rank == 0 || rank > dims.size())
    return Fail(Code::kCorrupt, "'" + tensor.name + "': " + std::to_string(rank) +
                                    " dimensions at byte " + std::to_string(rank_at) +
                                    ", expected 1 to 4");
  for (uint32_t i = 0; i < rank; ++i) {
    MIRAGE_TRY_ASSIGN(dims[i], cursor_.Read<uint64_t>());
  }
  Result<tensor::Shape> shape = tensor::Shape::Make({dims.data(), rank});
  if (!shape) return within(std::move(shape).error());
  tensor.shape = *shape;

  const uint64_t type_at = cursor_.position();
  MIRAGE_TRY_ASSIGN(const uint32_t type, cursor_.Read<uint32_t>());
  const tensor::DTypeInfo* info = tensor::FindDType(type);
  if (info == nullptr) {
    const char* removed = tensor::FindRemovedDType(type);
    return Fail(
        Code::kUnsupported,
        "'" + tensor.name + "': " +
            (removed != nullptr ? "type " + std::string(removed) + ", removed from the format,"
                                : "unknown type " + std::to_string(type)) +
            " at byte " + std::to_string(type_at));
  }
  tensor.dtype = info->dtype;
  Result<uint64_t> bytes = tensor::TensorBytes(tensor.dtype, tensor.shape);
  if (!bytes) return within(std::move(bytes).error());

  const uint64_t offset_at = cursor_.position();
  MIRAGE_TRY_ASSIGN(const uint64_t offset, cursor_.Read<uint64_t>());
  if (offset % result_.alignment != 0)
    return Fail(Code::kCorrupt, "'" + tensor.name + "': offset " + std::to_string(offset) +
                                    " at byte " + std::to_string(offset_at) +
                                    " is not a multiple of " + std::to_string(result_.alignment));
  tensor.extent = {shard_, offset, *bytes};
  return tensor;
}

// Turns offsets from the start of the data into offsets in the file, once the header's end is
// known.
Status ShardReader::PlaceTensors() {
  const auto padded = CheckedAdd(cursor_.position(), result_.alignment - 1);
  if (!padded) return Fail(Code::kCorrupt, "the header passes 2^64 bytes");
  const uint64_t data_begin = *padded & ~(result_.alignment - 1);
  for (TensorInfo& tensor : result_.tensors) {
    const auto offset = CheckedAdd(data_begin, tensor.extent.offset);
    if (!offset)
      return Fail(Code::kCorrupt, "tensor '" + tensor.name + "': offset " +
                                      std::to_string(tensor.extent.offset) + " passes 2^64 bytes");
    tensor.extent.offset = *offset;
  }
  return {};
}

// What the keys of shard `index` of `shards` say about the split must be what the caller gave.
Status CheckSplit(const Metadata& metadata, size_t index, size_t shards, uint64_t tensors) {
  const bool single = shards == 1;
  const auto expect = [&](std::string_view key, uint64_t expected, bool required) -> Status {
    if (!required && !metadata.Has(key)) return {};
    MIRAGE_TRY_ASSIGN(const uint64_t value, metadata.Get<uint64_t>(key));
    if (value == expected) return {};
    return KeyError(Code::kCorrupt, key,
                    "is " + std::to_string(value) + ", expected " + std::to_string(expected) +
                        " with " + std::to_string(shards) + " file(s) given");
  };
  // Tools that merge shards into one file leave split.count at 0.
  if (single && metadata.Has("split.count")) {
    MIRAGE_TRY_ASSIGN(const uint64_t count, metadata.Get<uint64_t>("split.count"));
    if (count == 0) return {};
  }
  MIRAGE_TRY(expect("split.count", shards, !single));
  MIRAGE_TRY(expect("split.no", index, !single));
  return expect("split.tensors.count", tensors, !single && index == 0);
}

// A later shard that names an architecture names that of the first.
Status CheckArchitecture(const Metadata& metadata, const Metadata& first) {
  constexpr std::string_view kKey = "general.architecture";
  if (!metadata.Has(kKey)) return {};
  MIRAGE_TRY_ASSIGN(const std::string expected, first.GetOr<std::string>(kKey, ""));
  MIRAGE_TRY_ASSIGN(const std::string own, metadata.Get<std::string>(kKey));
  if (own == expected) return {};
  return KeyError(
      Code::kCorrupt, kKey,
      "is '" + Printable(own, 64) + "', the first shard has '" + Printable(expected, 64) + "'");
}

Status CheckSplits(const std::vector<Shard>& shards, uint64_t tensors) {
  for (size_t i = 0; i < shards.size(); ++i) {
    const Metadata& metadata = shards[i].metadata;
    Status status = CheckSplit(metadata, i, shards.size(), tensors);
    if (status && i > 0) status = CheckArchitecture(metadata, shards[0].metadata);
    if (status) continue;
    Error error = std::move(status).error();
    if (shards.size() > 1) error = std::move(error).Within("shard " + std::to_string(i));
    return Fail(metadata.Locate(std::move(error)));
  }
  return {};
}

// Files of version 1 hold quantized blocks of another layout under the same type ids.
Status CheckQuantizationVersion(const ModelFile& file) {
  const auto tensors = file.tensors();
  if (std::none_of(tensors.begin(), tensors.end(),
                   [](const TensorInfo& t) { return IsQuantized(t.dtype); }))
    return {};
  MIRAGE_TRY_ASSIGN(
      const uint32_t version,
      file.metadata().GetOr<uint32_t>("general.quantization_version", kQuantizationVersion));
  if (version == kQuantizationVersion) return {};
  return KeyError(Code::kUnsupported, "general.quantization_version",
                  "is " + std::to_string(version) + ", only " +
                      std::to_string(kQuantizationVersion) + " is read");
}

}  // namespace

Result<ModelFile> ReadGguf(std::vector<std::shared_ptr<const ByteSource>> sources,
                           const GgufLimits& limits) {
  if (sources.empty()) return Fail(Code::kInvalidArgument, "no file given");
  std::vector<Shard> shards;
  uint64_t tensors = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    MIRAGE_TRY_ASSIGN(Shard shard,
                      ShardReader(sources[i], static_cast<uint32_t>(i), limits).Read());
    tensors += shard.tensors.size();
    if (tensors > limits.tensors)
      return Fail(Code::kUnsupported, sources[i]->name() + ": " + std::to_string(tensors) +
                                          " tensors in all shards so far, the limit is " +
                                          std::to_string(limits.tensors));
    shards.push_back(std::move(shard));
  }
  MIRAGE_TRY(CheckSplits(shards, tensors));
  ModelFile::Parts parts{"GGUF",
                         shards[0].version,
                         shards[0].alignment,
                         std::move(shards[0].metadata),
                         std::move(shards[0].tensors),
                         std::move(sources)};
  for (size_t i = 1; i < shards.size(); ++i)
    std::move(shards[i].tensors.begin(), shards[i].tensors.end(),
              std::back_inserter(parts.tensors));
  MIRAGE_TRY_ASSIGN(ModelFile file, ModelFile::Make(std::move(parts)));
  MIRAGE_TRY(file.Locate(CheckQuantizationVersion(file)));
  return file;
}

}  // namespace mirage::format
