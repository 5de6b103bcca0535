// SPDX-License-Identifier: Apache-2.0

#include "format/metadata.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/checked.h"
#include "base/file_error.h"
#include "base/printable.h"
#include "format/cursor.h"

namespace mirage::format {
namespace {

struct ValueTypeInfo {
  std::string_view name;
  uint64_t fixed_bytes;
};

constexpr ValueTypeInfo kValueTypeInfo[kValueTypes] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

template <typename T>
struct VectorElement {
  static constexpr bool kIsVector = false;
};
template <typename E>
struct VectorElement<std::vector<E>> {
  static constexpr bool kIsVector = true;
  using Type = E;
};

tl::unexpected<Error> WrongType(const MetadataEntry& entry, std::string_view wanted) {
  return KeyError(Code::kCorrupt, entry.key,
                  std::string("holds ") + (entry.is_array() ? "array of " : "") +
                      std::string(Name(entry.element_type)) + ", expected " + std::string(wanted));
}

// The payload of an entry, from memory or from the file.
class PayloadReader {
 public:
  PayloadReader(const MetadataEntry& entry, const ByteSource* source)
      : memory_(std::as_bytes(std::span(entry.payload))),
        cursor_(entry.resident() ? Cursor(memory_, 0, entry.bytes)
                                 : Cursor(*source, entry.offset, entry.offset + entry.bytes,
                                          "the end of the value")) {}
  PayloadReader(const PayloadReader&) = delete;
  PayloadReader& operator=(const PayloadReader&) = delete;

  Cursor& cursor() { return cursor_; }

 private:
  MemorySource memory_;
  Cursor cursor_;
};

using Number = std::variant<uint64_t, int64_t, double>;

template <typename Stored, typename Wide>
Result<Number> ReadAs(Cursor& cursor) {
  MIRAGE_TRY_ASSIGN(const Stored value, cursor.Read<Stored>());
  return Number(static_cast<Wide>(value));
}

// The next number of a type that IsNumber accepts.
Result<Number> ReadNumber(Cursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return ReadAs<uint8_t, uint64_t>(cursor);
    case ValueType::kI8:
      return ReadAs<int8_t, int64_t>(cursor);
    case ValueType::kU16:
      return ReadAs<uint16_t, uint64_t>(cursor);
    case ValueType::kI16:
      return ReadAs<int16_t, int64_t>(cursor);
    case ValueType::kU32:
      return ReadAs<uint32_t, uint64_t>(cursor);
    case ValueType::kI32:
      return ReadAs<int32_t, int64_t>(cursor);
    case ValueType::kU64:
      return ReadAs<uint64_t, uint64_t>(cursor);
    case ValueType::kI64:
      return ReadAs<int64_t, int64_t>(cursor);
    case ValueType::kF32:
      return ReadAs<float, double>(cursor);
    default:
      return ReadAs<double, double>(cursor);
  }
}

bool IsFloat(ValueType type) { return type == ValueType::kF32 || type == ValueType::kF64; }
bool IsNumber(ValueType type) {
  return type != ValueType::kBool && type != ValueType::kString && type != ValueType::kArray;
}

// The number as a T, or nothing when T does not hold it.
template <typename T>
std::optional<T> Convert(Number number) {
  if constexpr (std::is_floating_point_v<T>) {
    const double value = std::visit([](auto v) { return static_cast<double>(v); }, number);
    if (std::isfinite(value) && std::abs(value) > std::numeric_limits<T>::max())
      return std::nullopt;
    return static_cast<T>(value);
  } else {
    if (const auto* value = std::get_if<uint64_t>(&number)) return CheckedCast<T>(*value);
    if (const auto* value = std::get_if<int64_t>(&number)) return CheckedCast<T>(*value);
    return std::nullopt;
  }
}

// Element `index` of the entry, a bool or number, from a cursor that stands on it.
template <typename T>
Result<T> ReadElement(const MetadataEntry& entry, uint64_t index, Cursor& cursor) {
  const auto refuse = [&](const std::string& value) {
    const std::string problem = "is " + value + ", out of range";
    return entry.is_array() ? ElementError(Code::kCorrupt, entry.key, index, problem)
                            : KeyError(Code::kCorrupt, entry.key, problem);
  };
  if constexpr (std::is_same_v<T, bool>) {
    MIRAGE_TRY_ASSIGN(const uint8_t value, cursor.Read<uint8_t>());
    if (value > 1) return refuse("bool " + std::to_string(value));
    return value == 1;
  } else {
    MIRAGE_TRY_ASSIGN(const Number number, ReadNumber(cursor, entry.element_type));
    const std::optional<T> value = Convert<T>(number);
    if (!value) return refuse(std::visit([](auto v) { return std::to_string(v); }, number));
    return *value;
  }
}

template <typename T>
bool HasElementsFor(const MetadataEntry& entry) {
  if constexpr (std::is_same_v<T, bool>) return entry.element_type == ValueType::kBool;
  if constexpr (std::is_integral_v<T>)
    return IsNumber(entry.element_type) && !IsFloat(entry.element_type);
  return IsNumber(entry.element_type);
}

// What HasElementsFor asks for, in words.
template <typename T>
constexpr std::string_view kWanted = std::is_same_v<T, bool>       ? "bool"
                                     : std::is_floating_point_v<T> ? "number"
                                                                   : "integer";

template <typename T>
Result<T> DecodeScalar(const MetadataEntry& entry, const ByteSource* source) {
  if (entry.is_array() || !HasElementsFor<T>(entry)) return WrongType(entry, kWanted<T>);
  PayloadReader reader(entry, source);
  return ReadElement<T>(entry, 0, reader.cursor());
}

template <typename E>
Result<std::vector<E>> DecodeVector(const MetadataEntry& entry, const ByteSource* source) {
  if (!entry.is_array() || !HasElementsFor<E>(entry))
    return WrongType(entry, "array of " + std::string(kWanted<E>));
  PayloadReader reader(entry, source);
  std::vector<E> values;
  values.reserve(entry.count);  // each has at least a byte of a payload that the file holds
  for (uint64_t i = 0; i < entry.count; ++i) {
    MIRAGE_TRY_ASSIGN(const E value, ReadElement<E>(entry, i, reader.cursor()));
    values.push_back(value);
  }
  return values;
}

Result<std::vector<std::byte>> DecodeBytes(const MetadataEntry& entry, const ByteSource* source) {
  if (!entry.is_array() ||
      (entry.element_type != ValueType::kU8 && entry.element_type != ValueType::kI8))
    return WrongType(entry, "array of u8 or i8");
  PayloadReader reader(entry, source);
  std::vector<std::byte> bytes(entry.count);
  MIRAGE_TRY(reader.cursor().ReadBytes(bytes));
  return bytes;
}

Result<std::string> DecodeString(const MetadataEntry& entry, const ByteSource* source) {
  if (entry.type != ValueType::kString) return WrongType(entry, "string");
  PayloadReader reader(entry, source);
  return reader.cursor().ReadString(entry.bytes);
}

Result<StringTable> DecodeStrings(const MetadataEntry& entry, const ByteSource* source) {
  if (!entry.is_array() || entry.element_type != ValueType::kString)
    return WrongType(entry, "array of string");
  PayloadReader reader(entry, source);
  StringTable table;
  table.Reserve(entry.count, entry.bytes - entry.count * sizeof(uint64_t));
  for (uint64_t i = 0; i < entry.count; ++i) {
    MIRAGE_TRY_ASSIGN(const uint64_t bytes, reader.cursor().Read<uint64_t>());
    MIRAGE_TRY_ASSIGN(const std::string text, reader.cursor().ReadString(bytes));
    MIRAGE_TRY(table.Append(text));
  }
  return table;
}

template <typename T>
Result<T> DecodeAs(const MetadataEntry& entry, const ByteSource* source) {
  if constexpr (std::is_same_v<T, std::string>) {
    return DecodeString(entry, source);
  } else if constexpr (std::is_same_v<T, StringTable>) {
    return DecodeStrings(entry, source);
  } else if constexpr (std::is_same_v<T, std::vector<std::byte>>) {
    return DecodeBytes(entry, source);
  } else if constexpr (VectorElement<T>::kIsVector) {
    return DecodeVector<typename VectorElement<T>::Type>(entry, source);
  } else {
    return DecodeScalar<T>(entry, source);
  }
}

template <typename T>
void AppendShortest(T value, std::string& out) {
  char text[32];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  out.append(text, end);
}

// Element `index` of the entry, for people. `bytes` of a string beyond what can be shown are passed
// over.
Status AppendElement(const MetadataEntry& entry, uint64_t index, Cursor& cursor, uint64_t bytes,
                     size_t max_chars, std::string& out) {
  if (entry.element_type == ValueType::kString) {
    const uint64_t shown = std::min<uint64_t>(bytes, max_chars + 1);
    MIRAGE_TRY_ASSIGN(const std::string text, cursor.ReadString(shown));
    MIRAGE_TRY(cursor.Skip(bytes - shown));
    out += '"' + Printable(text, max_chars) + '"';
  } else if (entry.element_type == ValueType::kBool) {
    MIRAGE_TRY_ASSIGN(const bool value, ReadElement<bool>(entry, index, cursor));
    out += value ? "true" : "false";
  } else if (entry.element_type == ValueType::kF32) {
    MIRAGE_TRY_ASSIGN(const float value, cursor.Read<float>());
    AppendShortest(value, out);
  } else {
    MIRAGE_TRY_ASSIGN(const Number number, ReadNumber(cursor, entry.element_type));
    std::visit([&](auto value) { AppendShortest(value, out); }, number);
  }
  return {};
}

// What the source had to say while a value was read names only itself.
Error NamingKey(const MetadataEntry& entry, Error error) {
  if (error.part_kind() == FilePart::Kind::kKey) return error;
  return std::move(error).Within("key '" + entry.key + "'");
}

Result<std::string> PreviewOf(const MetadataEntry& entry, const ByteSource* source,
                              size_t max_chars) {
  PayloadReader reader(entry, source);
  Cursor& cursor = reader.cursor();
  std::string out;
  if (!entry.is_array()) {
    MIRAGE_TRY(AppendElement(entry, 0, cursor, entry.bytes, max_chars, out));
    return out;
  }
  out = "[";
  for (uint64_t i = 0; i < entry.count; ++i) {
    if (i > 0) out += ", ";
    if (out.size() >= max_chars) {
      out += "...";
      break;
    }
    uint64_t bytes = 0;
    if (entry.element_type == ValueType::kString) {
      MIRAGE_TRY_ASSIGN(bytes, cursor.Read<uint64_t>());
    }
    MIRAGE_TRY(AppendElement(entry, i, cursor, bytes, max_chars - out.size(), out));
  }
  return out + "]";
}

}  // namespace

std::string_view Name(ValueType type) { return kValueTypeInfo[static_cast<uint32_t>(type)].name; }
uint64_t FixedBytes(ValueType type) {
  return kValueTypeInfo[static_cast<uint32_t>(type)].fixed_bytes;
}

Result<Metadata> Metadata::Make(std::vector<MetadataEntry> entries,
                                std::shared_ptr<const ByteSource> source) {
  Metadata metadata;
  metadata.entries_ = std::move(entries);
  metadata.source_ = std::move(source);
  metadata.by_key_.resize(metadata.entries_.size());
  std::iota(metadata.by_key_.begin(), metadata.by_key_.end(), 0u);
  std::sort(metadata.by_key_.begin(), metadata.by_key_.end(), [&](uint32_t a, uint32_t b) {
    return metadata.entries_[a].key < metadata.entries_[b].key;
  });
  for (size_t i = 1; i < metadata.by_key_.size(); ++i) {
    const MetadataEntry& first = metadata.entries_[metadata.by_key_[i - 1]];
    const MetadataEntry& second = metadata.entries_[metadata.by_key_[i]];
    if (first.key == second.key)
      return Fail(Code::kCorrupt, "key '" + first.key + "' appears twice, with values at bytes " +
                                      std::to_string(std::min(first.offset, second.offset)) +
                                      " and " +
                                      std::to_string(std::max(first.offset, second.offset)));
  }
  return metadata;
}

const MetadataEntry* Metadata::Find(std::string_view key) const {
  const auto found = std::lower_bound(by_key_.begin(), by_key_.end(), key,
                                      [&](uint32_t index, std::string_view k) {
                                        return std::string_view(entries_[index].key) < k;
                                      });
  if (found == by_key_.end() || entries_[*found].key != key) return nullptr;
  return &entries_[*found];
}

template <typename T>
Result<T> Metadata::Decode(const MetadataEntry& entry) const {
  Result<T> value = DecodeAs<T>(entry, source_.get());
  if (!value) return Fail(NamingKey(entry, std::move(value).error()));
  return value;
}

template Result<bool> Metadata::Decode(const MetadataEntry&) const;
template Result<int32_t> Metadata::Decode(const MetadataEntry&) const;
template Result<uint32_t> Metadata::Decode(const MetadataEntry&) const;
template Result<int64_t> Metadata::Decode(const MetadataEntry&) const;
template Result<uint64_t> Metadata::Decode(const MetadataEntry&) const;
template Result<float> Metadata::Decode(const MetadataEntry&) const;
template Result<double> Metadata::Decode(const MetadataEntry&) const;
template Result<std::string> Metadata::Decode(const MetadataEntry&) const;
template Result<StringTable> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<bool>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<int32_t>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<uint32_t>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<int64_t>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<uint64_t>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<float>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<double>> Metadata::Decode(const MetadataEntry&) const;
template Result<std::vector<std::byte>> Metadata::Decode(const MetadataEntry&) const;

Result<std::string> Metadata::Preview(const MetadataEntry& entry, size_t max_chars) const {
  Result<std::string> text = PreviewOf(entry, source_.get(), max_chars);
  if (!text) return Fail(NamingKey(entry, std::move(text).error()));
  return text;
}

uint64_t Metadata::ByteOf(const MetadataEntry& entry, uint64_t element) const {
  if (!entry.is_array() || element >= entry.count) return entry.offset;
  if (entry.element_type != ValueType::kString)
    return entry.offset + element * FixedBytes(entry.element_type);
  PayloadReader reader(entry, source_.get());
  Cursor& cursor = reader.cursor();
  const uint64_t begin = cursor.position();
  for (;; --element) {
    const Result<uint64_t> bytes = cursor.Read<uint64_t>();
    if (bytes && element == 0) return entry.offset + (cursor.position() - begin);
    if (!bytes || !cursor.Skip(*bytes)) return entry.offset;
  }
}

Status Metadata::ReadPayload(const MetadataEntry& entry, std::span<std::byte> out) const {
  return PayloadReader(entry, source_.get()).cursor().ReadBytes(out);
}

Error Metadata::Locate(Error error) const {
  if (error.part_kind() != FilePart::Kind::kKey || source_ == nullptr) return error;
  const auto part = std::exchange(error.part, nullptr);
  const MetadataEntry* entry = Find(part->name);
  if (entry != nullptr)
    error = std::move(error).Within("byte " + std::to_string(ByteOf(*entry, part->within)));
  return std::move(error).Within(source_->name());
}

size_t Metadata::heap_bytes() const {
  size_t bytes =
      entries_.capacity() * sizeof(MetadataEntry) + by_key_.capacity() * sizeof(uint32_t);
  for (const MetadataEntry& entry : entries_)
    bytes += entry.key.capacity() + entry.payload.capacity();
  return bytes;
}

}  // namespace mirage::format
