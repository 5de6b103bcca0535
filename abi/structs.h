// SPDX-License-Identifier: Apache-2.0
#pragma once

// Structs that cross the ABI: how a program built against another release of the header is
// understood.
//
// What the caller fills may be shorter than ours (an older header: the rest keeps its defaults) or
// longer (a newer one: what we do not know must be zero). What we fill is cut or padded with zeros
// to the caller's size.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "base/result.h"

namespace mirage::abi {

// No struct of ours comes near it: a larger struct_size is memory that was never set.
constexpr size_t kLargestStruct = 4096;

// The defaults of T, into the caller's first `bytes` bytes.
template <typename T>
void InitOptions(T* options, size_t bytes, T defaults) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  if (options == nullptr || bytes < sizeof(uint32_t)) return;
  defaults.struct_size = static_cast<uint32_t>(bytes);
  std::memcpy(options, &defaults, std::min(bytes, sizeof(T)));
  if (bytes > sizeof(T))
    std::memset(reinterpret_cast<char*>(options) + sizeof(T), 0, bytes - sizeof(T));
}

// The caller's options over the defaults; null gives the defaults. `first_bytes` is the struct's
// size in the first release that had it.
template <typename T>
Result<T> ReadOptions(const T* options, const T& defaults, size_t first_bytes, const char* name) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (options == nullptr) return defaults;
  const size_t given = options->struct_size;
  if (given < first_bytes)
    return Fail(Code::kInvalidArgument, std::string(name) + ": struct_size is " +
                                            std::to_string(given) + ", less than the " +
                                            std::to_string(first_bytes) +
                                            " of the first release; set it to sizeof");
  if (given > kLargestStruct)
    return Fail(Code::kInvalidArgument, std::string(name) + ": struct_size is " +
                                            std::to_string(given) + "; set it to sizeof");
  const auto* bytes = reinterpret_cast<const unsigned char*>(options);
  for (size_t offset = sizeof(T); offset < given; ++offset)
    if (bytes[offset] != 0)
      return Fail(Code::kUnsupported, std::string(name) + ": the byte at offset " +
                                          std::to_string(offset) +
                                          " is set, but this library knows only the first " +
                                          std::to_string(sizeof(T)));
  T read = defaults;
  std::memcpy(&read, options, std::min(given, sizeof(T)));
  return read;
}

// `value` to the caller's struct, as far as that reaches.
template <typename T>
Status WriteOut(T* out, T value, const char* name) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (out == nullptr) return Fail(Code::kInvalidArgument, std::string(name) + " is NULL");
  const size_t given = out->struct_size;
  if (given < 2 * sizeof(uint32_t) || given > kLargestStruct)
    return Fail(Code::kInvalidArgument, std::string(name) + ": struct_size is " +
                                            std::to_string(given) +
                                            "; set it to sizeof before the call");
  value.struct_size = out->struct_size;
  std::memcpy(out, &value, std::min(given, sizeof(T)));
  if (given > sizeof(T))
    std::memset(reinterpret_cast<char*>(out) + sizeof(T), 0, given - sizeof(T));
  return {};
}

// Convention 5 of the header: counts always; whether there is a buffer, and then that it has room.
inline Result<bool> CheckRoom(const void* to, size_t count, size_t capacity, size_t* out_count,
                              const char* what) {
  if (out_count == nullptr) return Fail(Code::kInvalidArgument, "the pointer to the count is NULL");
  *out_count = count;
  if (capacity == 0) return false;
  if (to == nullptr)
    return Fail(Code::kInvalidArgument,
                "the buffer is NULL, but its capacity is " + std::to_string(capacity));
  if (capacity < count)
    return Fail(Code::kInvalidArgument, "room for " + std::to_string(capacity) + " " + what +
                                            ", but there are " + std::to_string(count));
  return true;
}

// Copies when there is room.
template <typename T>
Status WriteArray(const T* from, size_t count, T* to, size_t capacity, size_t* out_count,
                  const char* what) {
  MIRAGE_TRY_ASSIGN(const bool writes, CheckRoom(to, count, capacity, out_count, what));
  if (writes && count > 0) std::memcpy(to, from, count * sizeof(T));
  return {};
}

}  // namespace mirage::abi
