// SPDX-License-Identifier: Apache-2.0

#include "abi/guard.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "abi/structs.h"  // kLargestStruct

namespace mirage::abi {
namespace {

constexpr size_t kLeastErrorBytes = 32;  // up to the reserved fields

// The longest prefix of `text` that fits into `bytes` and ends between code points.
size_t CutBetweenCodePoints(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text.size();
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0u) == 0x80u) --bytes;
  return bytes;
}

}  // namespace

void SetError(mirage_error* error, Code code, std::string_view message, uint64_t needed_bytes,
              uint64_t available_bytes) noexcept {
  if (error == nullptr || error->struct_size < kLeastErrorBytes ||
      error->struct_size > kLargestStruct)
    return;
  mirage_error filled = MIRAGE_ERROR_INIT;
  const size_t given = error->struct_size;
  const size_t known = std::min(given, sizeof filled);
  filled.struct_size = error->struct_size;
  filled.status = static_cast<mirage_status>(code);
  filled.needed_bytes = needed_bytes;
  filled.available_bytes = available_bytes;
  if (known > offsetof(mirage_error, message)) {
    const size_t room = known - offsetof(mirage_error, message) - 1;
    std::memcpy(filled.message, message.data(), CutBetweenCodePoints(message, room));
  }
  std::memcpy(error, &filled, known);
  if (given > known) std::memset(reinterpret_cast<char*>(error) + known, 0, given - known);
}

void ClearError(mirage_error* error) noexcept { SetError(error, Code::kOk, ""); }

}  // namespace mirage::abi
