// SPDX-License-Identifier: Apache-2.0

#include "format/metadata_io.h"

#include <utility>
#include <vector>

#include "base/printable.h"

namespace mirage::format {
namespace {

// What a count of keys is checked against before it is believed: count, name, type, u8.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;

class MetadataReader {
 public:
  MetadataReader(Cursor& cursor, const MetadataLimits& limits) : cursor_(cursor), limits_(limits) {}

  Result<Metadata> Read(uint64_t keys, std::shared_ptr<const ByteSource> source);

 private:
  Result<MetadataEntry> ReadEntry();
  Status ReadValue(MetadataEntry& entry);
  Status SkipArray(const MetadataEntry& entry);
  Status SkipBools(uint64_t count);
  Result<ValueType> ReadType();

  Cursor& cursor_;
  const MetadataLimits& limits_;
};

Result<Metadata> MetadataReader::Read(uint64_t keys, std::shared_ptr<const ByteSource> source) {
  MIRAGE_TRY(cursor_.NeedItems(keys, kLeastKeyBytes, "keys"));
  if (keys > limits_.keys)
    return Fail(Code::kUnsupported,
                std::to_string(keys) + " keys, the limit is " + std::to_string(limits_.keys));
  std::vector<MetadataEntry> entries;
  entries.reserve(keys);
  for (uint64_t i = 0; i < keys; ++i) {
    const uint64_t at = cursor_.position();
    Result<MetadataEntry> entry = ReadEntry();
    if (!entry)
      return Fail(std::move(entry).error().Within("key " + std::to_string(i) + " at byte " +
                                                  std::to_string(at)));
    entries.push_back(std::move(*entry));
  }
  return Metadata::Make(std::move(entries), std::move(source));
}

Result<ValueType> MetadataReader::ReadType() {
  const uint64_t at = cursor_.position();
  MIRAGE_TRY_ASSIGN(const uint32_t type, cursor_.Read<uint32_t>());
  if (type >= kValueTypes)
    return Fail(Code::kCorrupt,
                "unknown value type " + std::to_string(type) + " at byte " + std::to_string(at));
  return static_cast<ValueType>(type);
}

Result<MetadataEntry> MetadataReader::ReadEntry() {
  MetadataEntry entry;
  MIRAGE_TRY_ASSIGN(entry.key, ReadName(cursor_, limits_.key_bytes));
  if (Status status = ReadValue(entry); !status)
    return Fail(std::move(status).error().Within("'" + Printable(entry.key, 256) + "'"));
  return entry;
}

Status MetadataReader::ReadValue(MetadataEntry& entry) {
  MIRAGE_TRY_ASSIGN(entry.type, ReadType());
  entry.element_type = entry.type;
  if (entry.type == ValueType::kArray) {
    MIRAGE_TRY_ASSIGN(entry.element_type, ReadType());
    if (entry.element_type == ValueType::kArray)
      return Fail(Code::kUnsupported,
                  "an array of arrays at byte " + std::to_string(cursor_.position()));
    MIRAGE_TRY_ASSIGN(entry.count, cursor_.Read<uint64_t>());
  } else if (entry.type == ValueType::kString) {
    MIRAGE_TRY_ASSIGN(entry.bytes, cursor_.Read<uint64_t>());
  } else {
    entry.bytes = FixedBytes(entry.type);
  }
  entry.offset = cursor_.position();
  // A first pass finds where the value ends and that it lies in the file; only then is memory
  // taken.
  if (entry.type == ValueType::kArray) {
    MIRAGE_TRY(SkipArray(entry));
    entry.bytes = cursor_.position() - entry.offset;
  } else {
    if (entry.bytes > limits_.string_bytes)
      return Fail(Code::kCorrupt, "a string of " + std::to_string(entry.bytes) + " bytes at byte " +
                                      std::to_string(entry.offset) + ", the limit is " +
                                      std::to_string(limits_.string_bytes));
    MIRAGE_TRY(cursor_.Skip(entry.bytes));
  }
  const bool scalar = !entry.is_array() && entry.type != ValueType::kString;
  if (scalar || entry.bytes <= limits_.resident_bytes) {
    cursor_.SeekBack(entry.offset);
    MIRAGE_TRY_ASSIGN(entry.payload, cursor_.ReadString(entry.bytes));
  }
  if (entry.type == ValueType::kBool && static_cast<uint8_t>(entry.payload[0]) > 1)
    return Fail(Code::kCorrupt, "bool " + std::to_string(static_cast<uint8_t>(entry.payload[0])) +
                                    " at byte " + std::to_string(entry.offset));
  return {};
}

Status MetadataReader::SkipBools(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    MIRAGE_TRY_ASSIGN(const uint8_t value, cursor_.Read<uint8_t>());
    if (value > 1)
      return Fail(Code::kCorrupt, "element " + std::to_string(i) + " is bool " +
                                      std::to_string(value) + " at byte " +
                                      std::to_string(cursor_.position() - 1));
  }
  return {};
}

Status MetadataReader::SkipArray(const MetadataEntry& entry) {
  if (entry.element_type != ValueType::kString) {
    const uint64_t element_bytes = FixedBytes(entry.element_type);
    MIRAGE_TRY(cursor_.NeedItems(entry.count, element_bytes, "elements"));
    if (entry.element_type == ValueType::kBool) return SkipBools(entry.count);
    return cursor_.Skip(entry.count * element_bytes);
  }
  MIRAGE_TRY(cursor_.NeedItems(entry.count, sizeof(uint64_t), "strings"));
  for (uint64_t i = 0; i < entry.count; ++i) {
    const uint64_t at = cursor_.position();
    MIRAGE_TRY_ASSIGN(const uint64_t bytes, cursor_.Read<uint64_t>());
    if (bytes > limits_.string_bytes)
      return Fail(Code::kCorrupt, "element " + std::to_string(i) + " at byte " +
                                      std::to_string(at) + " is a string of " +
                                      std::to_string(bytes) + " bytes, the limit is " +
                                      std::to_string(limits_.string_bytes));
    MIRAGE_TRY(cursor_.Skip(bytes));
  }
  return {};
}

}  // namespace

Result<std::string> ReadName(Cursor& cursor, uint64_t limit) {
  const uint64_t at = cursor.position();
  MIRAGE_TRY_ASSIGN(const uint64_t bytes, cursor.Read<uint64_t>());
  if (bytes == 0 || bytes > limit)
    return Fail(Code::kCorrupt, "a name of " + std::to_string(bytes) + " bytes at byte " +
                                    std::to_string(at) + ", expected 1 to " +
                                    std::to_string(limit));
  MIRAGE_TRY_ASSIGN(std::string name, cursor.ReadString(bytes));
  if (!IsPrintableAscii(name))
    return Fail(Code::kCorrupt, "the name '" + Printable(name, 64) + "' at byte " +
                                    std::to_string(at) + " is not printable ASCII");
  return name;
}

Result<Metadata> ReadMetadata(Cursor& cursor, uint64_t keys,
                              std::shared_ptr<const ByteSource> source,
                              const MetadataLimits& limits) {
  return MetadataReader(cursor, limits).Read(keys, std::move(source));
}

Result<std::vector<std::byte>> EncodeMetadata(const Metadata& metadata) {
  std::vector<std::byte> out;
  const auto put = [&](const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    out.insert(out.end(), begin, begin + bytes);
  };
  const auto put_number = [&](auto value) { put(&value, sizeof value); };
  for (const MetadataEntry& entry : metadata.entries()) {
    put_number(static_cast<uint64_t>(entry.key.size()));
    put(entry.key.data(), entry.key.size());
    put_number(static_cast<uint32_t>(entry.type));
    if (entry.is_array()) {
      put_number(static_cast<uint32_t>(entry.element_type));
      put_number(entry.count);
    } else if (entry.type == ValueType::kString) {
      put_number(entry.bytes);
    }
    out.resize(out.size() + entry.bytes);
    MIRAGE_TRY(metadata.ReadPayload(entry, std::span(out).last(entry.bytes)));
  }
  return out;
}

}  // namespace mirage::format
