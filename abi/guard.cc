// SPDX-License-Identifier: Apache-2.0

#include "abi/guard.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "abi/structs.h"  // kLargestStruct

namespace mirage::abi {
namespace {

constexpr size_t kLeastErrorBytes = 32;  // up to the reserved fields

bool InsideCodePoint(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

// `message` into `room` bytes; of one that is too long the beginning, which names the thing, and
// the end, which says what is wrong with it. Never parts of code points.
void WriteMessage(std::string_view message, size_t room, char* out) noexcept {
  constexpr std::string_view kLeftOut = " ... ";
  constexpr size_t kLeastForBoth = 64;
  if (message.size() <= room) {
    std::memcpy(out, message.data(), message.size());
    return;
  }
  const bool both = room >= kLeastForBoth;
  size_t head = both ? room / 2 : room;
  while (head > 0 && InsideCodePoint(message[head])) --head;
  std::memcpy(out, message.data(), head);
  if (!both) return;
  size_t tail = message.size() - (room - head - kLeftOut.size());
  while (tail < message.size() && InsideCodePoint(message[tail])) ++tail;
  std::memcpy(out + head, kLeftOut.data(), kLeftOut.size());
  std::memcpy(out + head + kLeftOut.size(), message.data() + tail, message.size() - tail);
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
    WriteMessage(message, room, filled.message);
  }
  std::memcpy(error, &filled, known);
  if (given > known) std::memset(reinterpret_cast<char*>(error) + known, 0, given - known);
}

void ClearError(mirage_error* error) noexcept { SetError(error, Code::kOk, ""); }

}  // namespace mirage::abi
