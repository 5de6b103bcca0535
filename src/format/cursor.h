// SPDX-License-Identifier: Apache-2.0
#pragma once

// Cursor: reads little-endian values one after another from a bounded run of a source's bytes.
//
// No read passes the end it was given, and memory is taken only for bytes known to be there. Reads
// go through one small buffer, so a header of a million entries costs few calls of the source.
// Offsets in messages are those of the file.
//
// One thread at a time. The source outlives the cursor.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"

namespace mirage::format {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

class Cursor {
 public:
  // Reads [begin, end) of `source`, which lies within its bytes. `end_name` says in messages what
  // is at `end`: the end of the file, or a limit.
  Cursor(const ByteSource& source, uint64_t begin, uint64_t end,
         std::string_view end_name = "the end of the file")
      : source_(source), end_name_(end_name), position_(begin), end_(end) {}

  [[nodiscard]] uint64_t position() const { return position_; }
  [[nodiscard]] uint64_t remaining() const { return end_ - position_; }

  template <typename T>
  [[nodiscard]] Result<T> Read() {
    static_assert(std::is_arithmetic_v<T>);
    MIRAGE_TRY(Buffer(sizeof(T)));
    T value;
    std::memcpy(&value, buffer_.data() + (position_ - buffer_begin_), sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // `bytes` bytes as a string.
  [[nodiscard]] Result<std::string> ReadString(uint64_t bytes);

  // Fills all of `out`.
  [[nodiscard]] Status ReadBytes(std::span<std::byte> out);

  [[nodiscard]] Status Skip(uint64_t bytes) {
    MIRAGE_TRY(Need(bytes));
    position_ += bytes;
    return {};
  }

  // Goes back to an offset that was passed before.
  void SeekBack(uint64_t position) { position_ = position; }

  // Fails unless `count` items (named for the message) of at least `item_bytes` each can still
  // follow: the check to make before memory or time is spent on a count that the file states.
  [[nodiscard]] Status NeedItems(uint64_t count, uint64_t item_bytes, std::string_view items) const;

 private:
  static constexpr uint64_t kBufferBytes = 64 * 1024;

  [[nodiscard]] Status Need(uint64_t bytes) const;
  // Makes the next `bytes` (at most kBufferBytes) lie in the buffer.
  [[nodiscard]] Status Buffer(uint64_t bytes);

  const ByteSource& source_;
  std::string_view end_name_;
  uint64_t position_;
  uint64_t end_;
  uint64_t buffer_begin_ = 0;  // file offset of buffer_[0]
  std::vector<std::byte> buffer_;
};

}  // namespace mirage::format
