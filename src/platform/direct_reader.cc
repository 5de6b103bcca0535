// SPDX-License-Identifier: Apache-2.0
#include "platform/direct_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "platform/io_ring.h"
#include "platform/os_error.h"

namespace mirage::platform {
namespace {

// A disk gives most with several requests of some size at once (tests/bench/limits.py sweeps).
constexpr uint64_t kBlockBytes = 256 << 10;
constexpr uint32_t kDepth = 8;

bool TryAgain(int error) { return error == EINTR || error == EAGAIN; }

// Made when the thread first reads, and not again where that failed.
struct ThreadRing {
  std::optional<IoRing> ring;
  bool refused = false;
};

IoRing* RingOfThread() {
  thread_local ThreadRing mine;
  if (!mine.ring && !mine.refused) {
    Result<IoRing> made = IoRing::Create(kDepth);
    mine.refused = !made;
    if (made) mine.ring.emplace(*std::move(made));
  }
  return mine.ring ? &*mine.ring : nullptr;
}

}  // namespace

Result<std::unique_ptr<DirectReader>> DirectReader::Open(int fd, std::string name, Rings rings) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  Descriptor direct(open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_DIRECT));
  if (!direct.valid())
    return Fail(Code::kUnsupported, OsError(name + ": opening for direct reads", errno).message);
  return std::unique_ptr<DirectReader>(new DirectReader(std::move(direct), std::move(name), rings));
}

Error DirectReader::ErrorOf(int error, uint64_t offset) const {
  const std::string what = name_ + ": reading directly at " + std::to_string(offset);
  if (error == 0) return {Code::kUnsupported, what + " gave less than was asked for"};
  if (error == EINVAL || error == EOPNOTSUPP)
    return {Code::kUnsupported, OsError(what, error).message};
  return OsError(what, error);
}

Status DirectReader::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  const uint64_t end = offset + out.size();
  const uint64_t first_whole = RoundUp(offset, kAlignment);
  const uint64_t last_whole = end / kAlignment * kAlignment;
  if (first_whole >= last_whole) {  // no whole block
    for (uint64_t at = offset; at < end;) {
      const uint64_t block = at / kAlignment * kAlignment;
      const uint64_t until = std::min(end, block + kAlignment);
      MIRAGE_TRY(ReadPart(block, at - block, out.subspan(at - offset, until - at)));
      at = until;
    }
    return {};
  }
  if (first_whole > offset)
    MIRAGE_TRY(
        ReadPart(first_whole - kAlignment, offset % kAlignment, out.first(first_whole - offset)));
  MIRAGE_TRY(ReadBlocks(first_whole, out.subspan(first_whole - offset, last_whole - first_whole)));
  if (end > last_whole) MIRAGE_TRY(ReadPart(last_whole, 0, out.subspan(last_whole - offset)));
  return {};
}

// A part of one block, which the file's end may cut short.
Status DirectReader::ReadPart(uint64_t block, uint64_t from, std::span<std::byte> out) const {
  alignas(kAlignment) std::array<std::byte, kAlignment> whole;
  ssize_t got = 0;
  do {
    got = pread(fd_.get(), whole.data(), whole.size(), static_cast<off_t>(block));
  } while (got < 0 && TryAgain(errno));
  if (got < 0) return Fail(ErrorOf(errno, block));
  if (static_cast<uint64_t>(got) < from + out.size()) return Fail(ErrorOf(0, block));
  std::memcpy(out.data(), whole.data() + from, out.size());
  return {};
}

// Blocks on their way through a ring. The kernel writes into `out` until the last has come, so
// nothing here may throw.
class DirectReader::Batch {
 public:
  Batch(int fd, IoRing& ring, uint64_t offset, std::span<std::byte> out)
      : fd_(fd), ring_(ring), offset_(offset), out_(out) {}

  // False when a block could not be read; none is under way then.
  bool Run() noexcept {
    bool sound = true;
    while ((sound && next_ < out_.size()) || under_way_ > 0) {
      for (; sound && next_ < out_.size() && under_way_ < kDepth; next_ += kBlockBytes)
        Queue(next_, std::min(kBlockBytes, out_.size() - next_));
      const std::optional<IoRing::Completion> done = ring_.Wait();
      if (!done) {
        ring_.Abandon(under_way_);
        return false;
      }
      sound = Take(*done) && sound;
    }
    return sound;
  }

 private:
  struct Piece {
    uint64_t at = 0;
    uint64_t bytes = 0;  // 0: of none
  };

  void Queue(uint64_t at, uint64_t bytes) noexcept {
    size_t place = 0;
    while (pieces_[place].bytes > 0) ++place;
    pieces_[place] = {at, bytes};
    ring_.QueueRead(fd_, offset_ + at, out_.subspan(at, bytes), place);
    ++under_way_;
  }

  bool Take(const IoRing::Completion& done) noexcept {
    --under_way_;
    const Piece piece = std::exchange(pieces_[done.tag], {});
    if (done.result < 0) {
      if (!TryAgain(-done.result)) return false;
      Queue(piece.at, piece.bytes);
      return true;
    }
    const auto got = static_cast<uint64_t>(done.result);
    if (got == piece.bytes) return true;
    if (got == 0 || got % kAlignment != 0) return false;
    Queue(piece.at + got, piece.bytes - got);
    return true;
  }

  const int fd_;
  IoRing& ring_;
  const uint64_t offset_;
  const std::span<std::byte> out_;
  std::array<Piece, kDepth> pieces_;
  uint64_t next_ = 0;
  uint32_t under_way_ = 0;
};

Status DirectReader::ReadBlocks(uint64_t offset, std::span<std::byte> out) const {
  IoRing* const ring = rings_ == Rings::kNone ? nullptr : RingOfThread();
  if (ring != nullptr && Batch(fd_.get(), *ring, offset, out).Run()) return {};
  // What a ring could not read is read once more, by calls whose errors are known.
  while (!out.empty()) {
    const ssize_t got = pread(fd_.get(), out.data(), std::min<size_t>(out.size(), 4 * kBlockBytes),
                              static_cast<off_t>(offset));
    if (got < 0 && TryAgain(errno)) continue;
    if (got < 0) return Fail(ErrorOf(errno, offset));
    if (got == 0 || static_cast<uint64_t>(got) % kAlignment != 0) return Fail(ErrorOf(0, offset));
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

}  // namespace mirage::platform
