// SPDX-License-Identifier: Apache-2.0
#include "format/pack_file.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "base/printable.h"
#include "format/checksum.h"
#include "format/cursor.h"
#include "format/metadata_io.h"
#include "pack_file_generated.h"
#include "tensor/packed_rows.h"

namespace mirage::format {
namespace {

constexpr uint64_t kPreludeBytes = 24;
constexpr uint64_t kMostHeaderBytes = 64 << 20;
constexpr uint64_t kMostKeyBytes = 256 << 20;
constexpr uint64_t kMostTensors = 1 << 18;
constexpr uint64_t kMostNameBytes = 256;
constexpr uint64_t kKeysAlignment = 64;
constexpr uint64_t kAlignment = 4 << 10;  // of an operating system's page, and of direct reads
constexpr uint64_t kLargeAlignment = 64 << 10;  // of the arena's chunks
constexpr uint64_t kLargeBytes = 1 << 20;

struct Prelude {
  char magic[8];
  uint16_t major;
  uint16_t minor;
  uint32_t header_bytes;
  uint64_t checksum;
};
static_assert(sizeof(Prelude) == kPreludeBytes);

constexpr uint64_t AlignmentOf(uint64_t bytes) {
  return bytes >= kLargeBytes ? kLargeAlignment : kAlignment;
}

template <typename T>
std::span<const std::byte> BytesOf(const T& values) {
  return std::as_bytes(std::span(values.data(), values.size()));
}

// FlatBuffers verifies that a vector lies in the buffer, not that its elements may be loaded.
template <typename T>
bool IsAligned(const flatbuffers::Vector<T>& vector) {
  return vector.size() == 0 || reinterpret_cast<uintptr_t>(vector.Data()) % sizeof(uint64_t) == 0;
}

// Reads one pack's header.
class PackReader {
 public:
  explicit PackReader(std::shared_ptr<const ByteSource> source) : source_(std::move(source)) {}

  Result<ModelFile::Parts> Read();

 private:
  Status ReadHeader();
  Status ReadKeys();
  Status ReadSections(const flatbuffers::Vector<const pack::Section*>* sections, const char* name,
                      std::vector<StoredRegion>* out);
  Status CheckSection(const pack::Section& section, const std::string& name) const;
  Result<TensorInfo> ReadTensor(const pack::Tensor& tensor);
  Status CheckCovered(const TensorInfo& tensor) const;

  Status Corrupt(uint64_t byte, const std::string& what) const {
    return Fail(Code::kCorrupt,
                source_->name() + ": pack: byte " + std::to_string(byte) + ": " + what);
  }
  Status Malformed(const std::string& what) const { return Corrupt(kPreludeBytes, what); }

  std::shared_ptr<const ByteSource> source_;
  Prelude prelude_{};
  std::vector<uint8_t> header_;
  const pack::Pack* pack_ = nullptr;
  ModelFile::Parts parts_;
  std::vector<StoredRegion> by_offset_;  // all sections that hold tensors
  uint64_t runs_read_ = 0;
};

Status PackReader::ReadHeader() {
  if (source_->bytes() < kPreludeBytes)
    return Corrupt(0, std::to_string(source_->bytes()) + " bytes are too few for a pack");
  MIRAGE_TRY(source_->ReadAt(0, std::as_writable_bytes(std::span(&prelude_, 1))));
  if (prelude_.major != kPackMajor)
    return Fail(Code::kUnsupported, source_->name() + ": pack of version " +
                                        std::to_string(prelude_.major) + "." +
                                        std::to_string(prelude_.minor) + "; this build reads " +
                                        std::to_string(kPackMajor) + ".x");
  if (prelude_.header_bytes > kMostHeaderBytes ||
      prelude_.header_bytes > source_->bytes() - kPreludeBytes)
    return Corrupt(12, "a header of " + std::to_string(prelude_.header_bytes) +
                           " bytes; is the file truncated?");
  header_.resize(prelude_.header_bytes);
  MIRAGE_TRY(source_->ReadAt(kPreludeBytes, std::as_writable_bytes(std::span(header_))));
  if (ChecksumOf(BytesOf(header_)) != prelude_.checksum)
    return Malformed("the checksum of the header is wrong");
  // A checksum can be forged: the verifier holds for any bytes.
  flatbuffers::Verifier verifier(header_.data(), header_.size());
  if (!pack::VerifyPackBuffer(verifier)) return Malformed("the header is malformed");
  pack_ = pack::GetPack(header_.data());
  if (pack_->layout() != kPackLayout)
    return Fail(Code::kUnsupported, source_->name() + ": pack whose rows have layout " +
                                        std::to_string(pack_->layout()) +
                                        "; this build reads layout " + std::to_string(kPackLayout));
  return {};
}

Status PackReader::CheckSection(const pack::Section& section, const std::string& name) const {
  const uint64_t data_begin = kPreludeBytes + header_.size();
  if (section.offset() < data_begin || section.offset() > source_->bytes() ||
      section.bytes() > source_->bytes() - section.offset())
    return Malformed(name + ": " + std::to_string(section.bytes()) + " bytes at " +
                     std::to_string(section.offset()) +
                     " do not lie between the header and the end at " +
                     std::to_string(source_->bytes()) + "; is the file truncated?");
  return {};
}

Status PackReader::ReadKeys() {
  if (pack_->keys() == nullptr) return Malformed("no keys");
  if (reinterpret_cast<uintptr_t>(pack_->keys()) % sizeof(uint64_t) != 0)
    return Malformed("the keys' place is misplaced");
  const pack::Section& keys = *pack_->keys();
  MIRAGE_TRY(CheckSection(keys, "keys"));
  if (keys.bytes() > kMostKeyBytes)
    return Malformed("keys of " + std::to_string(keys.bytes()) + " bytes, the limit is " +
                     std::to_string(kMostKeyBytes));
  Checksum sum;
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < keys.bytes(); done += piece.size()) {
    piece.resize(std::min<uint64_t>(256 << 10, keys.bytes() - done));
    MIRAGE_TRY(source_->ReadAt(keys.offset() + done, piece));
    sum.Add(piece);
  }
  if (sum.Value() != keys.checksum())
    return Corrupt(keys.offset(), "the checksum of the keys is wrong");
  Cursor cursor(*source_, keys.offset(), keys.offset() + keys.bytes(), "the end of the keys");
  Result<Metadata> metadata = ReadMetadata(cursor, pack_->key_count(), source_, {});
  if (!metadata) return Fail(std::move(metadata).error().Within(source_->name()));
  parts_.metadata = *std::move(metadata);
  if (cursor.remaining() == 0) return {};
  return Corrupt(cursor.position(), std::to_string(cursor.remaining()) + " bytes after the keys");
}

Status PackReader::ReadSections(const flatbuffers::Vector<const pack::Section*>* sections,
                                const char* name, std::vector<StoredRegion>* out) {
  if (sections == nullptr) return {};
  if (!IsAligned(*sections)) return Malformed(std::string(name) + "s: the list is misplaced");
  for (const pack::Section* section : *sections) {
    const std::string label = std::string(name) + " " + std::to_string(out->size());
    MIRAGE_TRY(CheckSection(*section, label));
    if (section->bytes() == 0 || section->offset() % AlignmentOf(section->bytes()) != 0)
      return Malformed(label + ": " + std::to_string(section->bytes()) + " bytes at " +
                       std::to_string(section->offset()) + ", expected a multiple of " +
                       std::to_string(AlignmentOf(section->bytes())));
    out->push_back({section->offset(), section->bytes(), section->checksum()});
  }
  return {};
}

// Every byte of a tensor lies in a section, and so under its checksum.
Status PackReader::CheckCovered(const TensorInfo& tensor) const {
  const auto covered = [&](uint64_t offset, uint64_t bytes) {
    const auto after = std::upper_bound(
        by_offset_.begin(), by_offset_.end(), offset,
        [](uint64_t wanted, const StoredRegion& section) { return wanted < section.offset; });
    if (after == by_offset_.begin()) return false;
    const StoredRegion& section = *std::prev(after);
    const uint64_t within = offset - section.offset;
    return within <= section.bytes && bytes <= section.bytes - within;
  };
  bool good = tensor.packed() || covered(tensor.extent.offset, tensor.extent.bytes);
  const uint64_t row_bytes = tensor.extent.bytes / static_cast<uint64_t>(tensor.shape.rows());
  for (const PackedRun& run : tensor.runs) {
    const auto bytes = CheckedMul<uint64_t>(row_bytes, static_cast<uint64_t>(run.rows));
    good = good && bytes && covered(run.offset, *bytes);
  }
  if (good) return {};
  return Malformed("tensor '" + tensor.name + "' lies outside of the sections");
}

Result<TensorInfo> PackReader::ReadTensor(const pack::Tensor& tensor) {
  const std::string_view name = tensor.name() ? tensor.name()->string_view() : "";
  const std::string label = "tensor " + std::to_string(parts_.tensors.size());
  if (name.empty() || name.size() > kMostNameBytes || !IsPrintableAscii(name))
    return Fail(Malformed(label + " has no name of 1 to 256 printable characters").error());
  TensorInfo info;
  info.name = name;
  const tensor::DTypeInfo* type = tensor::FindDType(tensor.type());
  if (type == nullptr)
    return Fail(Code::kUnsupported, source_->name() + ": pack: tensor '" + info.name +
                                        "' has unknown type " + std::to_string(tensor.type()));
  info.dtype = type->dtype;
  std::vector<uint64_t> dims;
  if (tensor.dims() != nullptr && !IsAligned(*tensor.dims()))
    return Fail(Malformed("tensor '" + info.name + "': its shape is misplaced").error());
  if (tensor.dims() != nullptr) dims.assign(tensor.dims()->begin(), tensor.dims()->end());
  const auto within = [&](Error error) {
    return Fail(
        std::move(error).Within("tensor '" + info.name + "'").Within(source_->name() + ": pack"));
  };
  Result<tensor::Shape> shape = tensor::Shape::Make(dims);
  if (!shape) return within(std::move(shape).error());
  info.shape = *shape;
  Result<uint64_t> bytes = tensor::TensorBytes(info.dtype, info.shape);
  if (!bytes) return within(std::move(bytes).error());
  info.extent = {0, tensor.offset(), *bytes};
  if (tensor.runs() != nullptr && tensor.runs()->size() > 0) {
    if (!tensor::IsPackable(info.dtype))
      return Fail(Malformed("tensor '" + info.name + "' of type " +
                            std::string(tensor::Name(info.dtype)) + " cannot be packed")
                      .error());
    // Tables may share a vector of runs: all of them together are no more than the header holds.
    runs_read_ += tensor.runs()->size();
    if (runs_read_ > header_.size() / sizeof(pack::Run) || !IsAligned(*tensor.runs()))
      return Fail(
          Malformed("tensor '" + info.name + "': its runs are no list of their own").error());
    uint64_t next = 0;
    for (const pack::Run* run : *tensor.runs()) {
      const auto rows = static_cast<uint64_t>(info.shape.rows());
      if (run->row0() != next || run->rows() == 0 || run->rows() > rows - next)
        return Fail(Malformed("tensor '" + info.name + "': a run of " +
                              std::to_string(run->rows()) + " rows from row " +
                              std::to_string(run->row0()) + ", expected row " +
                              std::to_string(next) + " of " + std::to_string(rows))
                        .error());
      next += run->rows();
      info.runs.push_back(
          {static_cast<int64_t>(run->row0()), static_cast<int64_t>(run->rows()), run->offset()});
    }
    info.extent.offset = info.runs[0].offset;
  }
  return info;
}

Result<ModelFile::Parts> PackReader::Read() {
  MIRAGE_TRY(ReadHeader());
  parts_.format = "Mirage pack";
  parts_.version = prelude_.major;
  parts_.alignment = kAlignment;
  MIRAGE_TRY(ReadKeys());
  MIRAGE_TRY(ReadSections(pack_->regions(), "region", &parts_.regions));
  MIRAGE_TRY(ReadSections(pack_->others(), "other section", &parts_.others));
  by_offset_ = parts_.regions;
  by_offset_.insert(by_offset_.end(), parts_.others.begin(), parts_.others.end());
  std::sort(by_offset_.begin(), by_offset_.end(),
            [](const StoredRegion& a, const StoredRegion& b) { return a.offset < b.offset; });
  for (size_t i = 1; i < by_offset_.size(); ++i)
    if (by_offset_[i - 1].offset + by_offset_[i - 1].bytes > by_offset_[i].offset)
      return Fail(Malformed("two sections overlap at byte " + std::to_string(by_offset_[i].offset))
                      .error());
  uint64_t end = pack_->keys()->offset() + pack_->keys()->bytes();
  for (const StoredRegion& section : by_offset_)
    end = std::max(end, section.offset + section.bytes);
  if (source_->bytes() != RoundUp(end, kAlignment))
    return Fail(Corrupt(std::min(end, source_->bytes()),
                        "the file has " + std::to_string(source_->bytes()) + " bytes, expected " +
                            std::to_string(RoundUp(end, kAlignment)))
                    .error());
  const size_t tensors = pack_->tensors() ? pack_->tensors()->size() : 0;
  if (tensors > kMostTensors)
    return Fail(Code::kUnsupported, source_->name() + ": pack: " + std::to_string(tensors) +
                                        " tensors, the limit is " + std::to_string(kMostTensors));
  for (size_t i = 0; i < tensors; ++i) {
    MIRAGE_TRY_ASSIGN(TensorInfo tensor,
                      ReadTensor(*pack_->tensors()->Get(static_cast<uint32_t>(i))));
    MIRAGE_TRY(CheckCovered(tensor));
    parts_.tensors.push_back(std::move(tensor));
  }
  parts_.shards = {source_};
  return std::move(parts_);
}

}  // namespace

Result<ModelFile> ReadPack(std::vector<std::shared_ptr<const ByteSource>> shards) {
  if (shards.size() != 1)
    return Fail(Code::kUnsupported,
                "a pack is one file, " + std::to_string(shards.size()) + " were given");
  MIRAGE_TRY_ASSIGN(ModelFile::Parts parts, PackReader(std::move(shards[0])).Read());
  return ModelFile::Make(std::move(parts));
}

// ---- writing ----

PackWriter::PackWriter(PackContent content, Sink sink)
    : content_(std::move(content)), sink_(std::move(sink)) {
  for (const uint64_t bytes : content_.region_bytes) sections_.push_back({0, bytes, 0});
  for (const uint64_t bytes : content_.other_bytes) sections_.push_back({0, bytes, 0});
  keys_.bytes = content_.keys.size();
  keys_.checksum = ChecksumOf(content_.keys);
  // The header has the same length whatever offsets and checksums it holds: they are of fixed size.
  PlaceSections(BuildHeader().size());
}

void PackWriter::PlaceSections(uint64_t header_bytes) {
  uint64_t used = kPreludeBytes + header_bytes + keys_.bytes;
  keys_.offset = RoundUp(kPreludeBytes + header_bytes, kKeysAlignment);
  uint64_t end = keys_.offset + keys_.bytes;
  for (Section& section : sections_) {
    section.offset = RoundUp(end, AlignmentOf(section.bytes));
    end = section.offset + section.bytes;
    used += section.bytes;
  }
  file_bytes_ = RoundUp(end, kAlignment);
  padding_bytes_ = file_bytes_ - used;
}

std::vector<uint8_t> PackWriter::BuildHeader() const {
  flatbuffers::FlatBufferBuilder builder;
  builder.ForceDefaults(true);
  const auto at = [&](const PackContent::Place& place) {
    return sections_[place.section].offset + place.offset;
  };
  std::vector<flatbuffers::Offset<pack::Tensor>> tensors;
  tensors.reserve(content_.tensors.size());
  for (const PackContent::Tensor& tensor : content_.tensors) {
    std::vector<pack::Run> runs;
    for (const PackContent::Run& run : tensor.runs)
      runs.emplace_back(static_cast<uint64_t>(run.row0), static_cast<uint64_t>(run.rows),
                        at(run.place));
    std::vector<uint64_t> dims;
    for (int dim = 0; dim < tensor.shape.rank(); ++dim)
      dims.push_back(static_cast<uint64_t>(tensor.shape[dim]));
    const auto name = builder.CreateString(tensor.name);
    const auto dims_offset = builder.CreateVector(dims);
    const auto runs_offset = builder.CreateVectorOfStructs(runs);
    tensors.push_back(pack::CreateTensor(builder, name, static_cast<uint32_t>(tensor.dtype),
                                         dims_offset, runs_offset,
                                         runs.empty() ? at(tensor.place) : 0));
  }
  const auto sections = [&](size_t begin, size_t end) {
    std::vector<pack::Section> list;
    for (size_t i = begin; i < end; ++i)
      list.emplace_back(sections_[i].offset, sections_[i].bytes, sections_[i].checksum);
    return builder.CreateVectorOfStructs(list);
  };
  const size_t region_count = content_.region_bytes.size();
  const auto tensors_offset = builder.CreateVector(tensors);
  const auto regions = sections(0, region_count);
  const auto others = sections(region_count, sections_.size());
  const pack::Section keys(keys_.offset, keys_.bytes, keys_.checksum);
  builder.Finish(pack::CreatePack(builder, kPackLayout, &keys, content_.key_count, tensors_offset,
                                  regions, others));
  const std::span<const uint8_t> bytes = builder.GetBufferSpan();
  return {bytes.begin(), bytes.end()};
}

Status PackWriter::Check() const {
  const uint64_t header_bytes = BuildHeader().size();
  if (header_bytes <= kMostHeaderBytes && content_.keys.size() <= kMostKeyBytes) return {};
  return Fail(Code::kUnsupported, "a pack with a header of " + std::to_string(header_bytes) +
                                      " bytes and keys of " + std::to_string(content_.keys.size()) +
                                      "; at most " + std::to_string(kMostHeaderBytes) + " and " +
                                      std::to_string(kMostKeyBytes) + " can be read");
}

Status PackWriter::WriteSection(size_t index, std::span<const std::byte> bytes) {
  Section& section = sections_[index];
  if (bytes.size() != section.bytes)
    return Fail(Code::kInternal, "section " + std::to_string(index) + " of " +
                                     std::to_string(section.bytes) + " bytes written with " +
                                     std::to_string(bytes.size()));
  section.checksum = ChecksumOf(bytes);
  return sink_(section.offset, bytes);
}

Status PackWriter::Finish() {
  // What no section covers stays zero; the last byte gives the file its length.
  constexpr std::byte kZero{};
  const uint64_t data_end = sections_.empty() ? keys_.offset + keys_.bytes
                                              : sections_.back().offset + sections_.back().bytes;
  if (data_end < file_bytes_) MIRAGE_TRY(sink_(file_bytes_ - 1, {&kZero, 1}));
  MIRAGE_TRY(sink_(keys_.offset, content_.keys));
  const std::vector<uint8_t> header = BuildHeader();
  Prelude prelude{};
  std::memcpy(prelude.magic, kPackMagic, sizeof prelude.magic);
  prelude.major = kPackMajor;
  prelude.minor = kPackMinor;
  prelude.header_bytes = static_cast<uint32_t>(header.size());
  prelude.checksum = ChecksumOf(BytesOf(header));
  MIRAGE_TRY(sink_(kPreludeBytes, BytesOf(header)));
  return sink_(0, std::as_bytes(std::span(&prelude, 1)));
}

}  // namespace mirage::format
