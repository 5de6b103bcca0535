// SPDX-License-Identifier: Apache-2.0
#pragma once

// Metadata: the key-value part of a model file, typed and checked on every read.
//
// A small value lives here; a large one (a vocabulary, a chat template) stays in the file as an
// extent, is read each time it is asked for, and costs nothing before and nothing after the caller
// drops it. An absent key or one of another type is kCorrupt about that key, never a default:
// defaults are asked for with GetOr. Integers are taken from any integer type that holds the value,
// floats from any number.
//
// Immutable after Make: any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/file_error.h"
#include "base/result.h"
#include "base/string_table.h"

namespace mirage::format {

// The numbers are GGUF's.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
inline constexpr uint32_t kValueTypes = 13;

// "u32", "string", ...
[[nodiscard]] std::string_view Name(ValueType type);
// Encoded bytes of a number or bool; 0 for strings and arrays, whose bytes vary.
[[nodiscard]] uint64_t FixedBytes(ValueType type);

// One key. The payload is encoded as in GGUF: numbers little-endian; a string's characters; an
// array's elements, where a string is its u64 byte count and its characters.
struct MetadataEntry {
  std::string key;
  ValueType type = ValueType::kU8;
  ValueType element_type = ValueType::kU8;  // of an array; of anything else its type again
  uint64_t count = 1;                       // elements of an array, else 1
  uint64_t offset = 0;                      // of the payload in the file
  uint64_t bytes = 0;                       // of the payload
  std::string payload;                      // empty when the payload stays in the file

  [[nodiscard]] bool is_array() const { return type == ValueType::kArray; }
  [[nodiscard]] bool resident() const { return payload.size() == bytes; }
};

class Metadata {
 public:
  Metadata() = default;

  // Fails with kCorrupt when two entries have one key. `source` serves the payloads that stay in
  // it.
  [[nodiscard]] static Result<Metadata> Make(std::vector<MetadataEntry> entries,
                                             std::shared_ptr<const ByteSource> source);

  // In the file's order.
  [[nodiscard]] std::span<const MetadataEntry> entries() const { return entries_; }
  [[nodiscard]] const MetadataEntry* Find(std::string_view key) const;
  [[nodiscard]] bool Has(std::string_view key) const { return Find(key) != nullptr; }

  // T is one of: bool, int32_t, uint32_t, int64_t, uint64_t, float, double, std::string; for arrays
  // StringTable, std::vector of a number type above, std::vector<bool>, or std::vector<std::byte>,
  // which takes u8 and i8 arrays as they lie.
  template <typename T>
  [[nodiscard]] Result<T> Get(std::string_view key) const {
    const MetadataEntry* entry = Find(key);
    if (entry == nullptr) return KeyError(Code::kCorrupt, key, "is missing");
    return Decode<T>(*entry);
  }

  // `fallback` when the key is absent. A key of the wrong type still fails.
  template <typename T>
  [[nodiscard]] Result<T> GetOr(std::string_view key, T fallback) const {
    const MetadataEntry* entry = Find(key);
    if (entry == nullptr) return fallback;
    return Decode<T>(*entry);
  }

  // A value per layer: `layers` copies of a scalar, or an array that has exactly `layers` elements.
  template <typename T>
  [[nodiscard]] Result<std::vector<T>> GetPerLayer(std::string_view key, size_t layers) const {
    const MetadataEntry* entry = Find(key);
    if (entry != nullptr && !entry->is_array()) {
      MIRAGE_TRY_ASSIGN(const T value, Decode<T>(*entry));
      return std::vector<T>(layers, value);
    }
    if (entry != nullptr && entry->count != layers)
      return KeyError(Code::kCorrupt, key,
                      "has " + std::to_string(entry->count) + " elements for " +
                          std::to_string(layers) + " layers");
    return Get<std::vector<T>>(key);
  }

  // A value for people: numbers and strings as they are, arrays by their first elements; bytes that
  // are not printable UTF-8 appear as \xNN. About `max_chars` long at most.
  [[nodiscard]] Result<std::string> Preview(const MetadataEntry& entry, size_t max_chars) const;

  // An entry's bytes as they are encoded, all of them.
  [[nodiscard]] Status ReadPayload(const MetadataEntry& entry, std::span<std::byte> out) const;

  // Where in the file an entry's value begins; of an array, the value of that element, or of the
  // whole where it has no such element.
  [[nodiscard]] uint64_t ByteOf(const MetadataEntry& entry, uint64_t element) const;

  // Names the file, and the byte of the key where there is such a key, in an error about a key.
  // Any other error stays as it is.
  [[nodiscard]] Error Locate(Error error) const;

  // Serves the payloads that stay in it; nullptr when there are none.
  [[nodiscard]] const std::shared_ptr<const ByteSource>& source() const { return source_; }

  // Bytes held by keys, entries and resident payloads.
  [[nodiscard]] size_t heap_bytes() const;

 private:
  template <typename T>
  [[nodiscard]] Result<T> Decode(const MetadataEntry& entry) const;

  std::vector<MetadataEntry> entries_;
  std::vector<uint32_t> by_key_;  // indexes of entries_, sorted by key
  std::shared_ptr<const ByteSource> source_;
};

}  // namespace mirage::format
