// SPDX-License-Identifier: Apache-2.0

#include "abi/metadata.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

namespace mirage::abi {
namespace {

using format::ValueType;

int32_t PublicType(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kU16:
    case ValueType::kU32:
    case ValueType::kU64:
      return MIRAGE_VALUE_UINT;
    case ValueType::kI8:
    case ValueType::kI16:
    case ValueType::kI32:
    case ValueType::kI64:
      return MIRAGE_VALUE_INT;
    case ValueType::kF32:
    case ValueType::kF64:
      return MIRAGE_VALUE_FLOAT;
    case ValueType::kBool:
      return MIRAGE_VALUE_BOOL;
    case ValueType::kString:
      return MIRAGE_VALUE_STRING;
    case ValueType::kArray:
      return MIRAGE_VALUE_ARRAY;
  }
  return 0;
}

// JSON has no infinities. A float is as short as gives the same float again.
template <typename Float>
std::string FloatJson(Float value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

std::string StringJson(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <typename Values, typename ToJson>
std::string ArrayJson(const Values& values, size_t count, ToJson to_json) {
  std::string json = "[";
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) json += ',';
    json += to_json(values[i]);
  }
  return json + "]";
}

template <typename T, typename ToJson>
Result<std::string> ReadArray(const format::Metadata& metadata, const format::MetadataEntry& entry,
                              ToJson to_json) {
  MIRAGE_TRY_ASSIGN(const std::vector<T> values, metadata.Get<std::vector<T>>(entry.key));
  return ArrayJson(values, values.size(), to_json);
}

Result<std::string> ReadArrayJson(const format::Metadata& metadata,
                                  const format::MetadataEntry& entry) {
  const auto integer = [](auto value) { return fmt::format("{}", value); };
  switch (PublicType(entry.element_type)) {
    case MIRAGE_VALUE_UINT:
      return ReadArray<uint64_t>(metadata, entry, integer);
    case MIRAGE_VALUE_INT:
      return ReadArray<int64_t>(metadata, entry, integer);
    case MIRAGE_VALUE_BOOL:
      return ReadArray<bool>(metadata, entry,
                             [](bool value) { return std::string(value ? "true" : "false"); });
    case MIRAGE_VALUE_FLOAT:
      if (entry.element_type == ValueType::kF32)
        return ReadArray<float>(metadata, entry, FloatJson<float>);
      return ReadArray<double>(metadata, entry, FloatJson<double>);
    default: {
      MIRAGE_TRY_ASSIGN(const StringTable strings, metadata.Get<StringTable>(entry.key));
      return ArrayJson(strings, strings.count(), StringJson);
    }
  }
}

}  // namespace

Result<const format::MetadataEntry*> FindEntry(const format::Metadata& metadata, const char* key) {
  const format::MetadataEntry* entry = metadata.Find(key);
  if (entry == nullptr)
    return Fail(Code::kNotFound, "the model has no key '" + std::string(key) + "'");
  return entry;
}

Result<mirage_metadata> DescribeEntry(const format::Metadata& metadata,
                                      const format::MetadataEntry& entry) {
  mirage_metadata described{};
  described.type = PublicType(entry.type);
  described.key = entry.key.c_str();
  described.key_bytes = entry.key.size();
  switch (described.type) {
    case MIRAGE_VALUE_UINT: {
      MIRAGE_TRY_ASSIGN(described.u, metadata.Get<uint64_t>(entry.key));
      break;
    }
    case MIRAGE_VALUE_INT: {
      MIRAGE_TRY_ASSIGN(described.i, metadata.Get<int64_t>(entry.key));
      break;
    }
    case MIRAGE_VALUE_FLOAT: {
      MIRAGE_TRY_ASSIGN(described.f, metadata.Get<double>(entry.key));
      break;
    }
    case MIRAGE_VALUE_BOOL: {
      MIRAGE_TRY_ASSIGN(const bool value, metadata.Get<bool>(entry.key));
      described.u = value ? 1 : 0;
      break;
    }
    case MIRAGE_VALUE_ARRAY:
      described.count = entry.count;
      described.element_type = PublicType(entry.element_type);
      break;
    default:
      break;
  }
  return described;
}

Result<std::string> ReadEntry(const format::Metadata& metadata,
                              const format::MetadataEntry& entry) {
  switch (PublicType(entry.type)) {
    case MIRAGE_VALUE_STRING:
      return metadata.Get<std::string>(entry.key);
    case MIRAGE_VALUE_ARRAY:
      return ReadArrayJson(metadata, entry);
    case MIRAGE_VALUE_UINT: {
      MIRAGE_TRY_ASSIGN(const uint64_t value, metadata.Get<uint64_t>(entry.key));
      return fmt::format("{}", value);
    }
    case MIRAGE_VALUE_INT: {
      MIRAGE_TRY_ASSIGN(const int64_t value, metadata.Get<int64_t>(entry.key));
      return fmt::format("{}", value);
    }
    case MIRAGE_VALUE_BOOL: {
      MIRAGE_TRY_ASSIGN(const bool value, metadata.Get<bool>(entry.key));
      return std::string(value ? "true" : "false");
    }
    default: {
      if (entry.type == ValueType::kF32) {
        MIRAGE_TRY_ASSIGN(const float value, metadata.Get<float>(entry.key));
        return FloatJson(value);
      }
      MIRAGE_TRY_ASSIGN(const double value, metadata.Get<double>(entry.key));
      return FloatJson(value);
    }
  }
}

}  // namespace mirage::abi
