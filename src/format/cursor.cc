// SPDX-License-Identifier: Apache-2.0

#include "format/cursor.h"

namespace mirage::format {

Status Cursor::Need(uint64_t bytes) const {
  if (bytes <= remaining()) return {};
  return Fail(Code::kCorrupt, std::to_string(bytes) + " bytes at byte " +
                                  std::to_string(position_) + " pass " + std::string(end_name_) +
                                  " at " + std::to_string(end_));
}

Status Cursor::NeedItems(uint64_t count, uint64_t item_bytes, std::string_view items) const {
  if (count <= remaining() / item_bytes) return {};
  return Fail(Code::kCorrupt, std::to_string(count) + " " + std::string(items) + " of at least " +
                                  std::to_string(item_bytes) + " bytes at byte " +
                                  std::to_string(position_) + " pass " + std::string(end_name_) +
                                  " at " + std::to_string(end_));
}

Status Cursor::Buffer(uint64_t bytes) {
  MIRAGE_TRY(Need(bytes));
  const uint64_t buffer_end = buffer_begin_ + buffer_.size();
  if (position_ >= buffer_begin_ && position_ + bytes <= buffer_end) return {};
  buffer_.resize(std::min(kBufferBytes, remaining()));
  buffer_begin_ = position_;
  Status status = source_.ReadAt(position_, buffer_);
  if (!status) buffer_.clear();
  return status;
}

Status Cursor::ReadBytes(std::span<std::byte> out) {
  if (out.size() > kBufferBytes) {
    MIRAGE_TRY(Need(out.size()));
    MIRAGE_TRY(source_.ReadAt(position_, out));
  } else if (!out.empty()) {
    MIRAGE_TRY(Buffer(out.size()));
    std::memcpy(out.data(), buffer_.data() + (position_ - buffer_begin_), out.size());
  }
  position_ += out.size();
  return {};
}

Result<std::string> Cursor::ReadString(uint64_t bytes) {
  MIRAGE_TRY(Need(bytes));
  std::string text(bytes, '\0');
  MIRAGE_TRY(ReadBytes(std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace mirage::format
