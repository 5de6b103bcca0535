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

constexpr int kMostRetries = 64;  // of the blocks of one stretch

// Made when the thread first reads, and not again where that failed or the kernel took it back.
struct ThreadRing {
  std::optional<IoRing> ring;
  bool refused = false;
};

IoRing* RingOfThread() {
  thread_local ThreadRing mine;
  if (mine.ring && mine.ring->broken()) {
    mine.ring.reset();
    mine.refused = true;
  }
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
  if (error == EINVAL || error == EOPNOTSUPP || error == EAGAIN || error == ENOMEM)
    return {Code::kUnsupported, OsError(what, error).message};
  return OsError(what, error);
}

// Reads on their way through a ring. The kernel writes until the last has come, so nothing here may
// throw.
class DirectReader::Batch {
 public:
  // Of a file, to memory: all `bytes` of them, or at least so many where the file may end.
  struct Piece {
    uint64_t offset = 0;
    std::byte* to = nullptr;
    uint64_t bytes = 0;  // 0: of none
    uint64_t least = 0;
  };

  Batch(int fd, IoRing& ring) : fd_(fd), ring_(ring) {}

  // The pieces are cut into blocks. False when one could not be read; none is under way then.
  bool Run(std::span<Piece> pieces) noexcept {
    bool sound = true;
    for (;;) {
      while (sound && !pieces.empty() && under_way_ < kDepth) {
        Piece& piece = pieces.front();
        const uint64_t bytes = std::min(kBlockBytes, piece.bytes);
        Queue({piece.offset, piece.to, bytes, std::min(bytes, piece.least)});
        piece = {piece.offset + bytes, piece.to + bytes, piece.bytes - bytes,
                 piece.least - std::min(bytes, piece.least)};
        if (piece.bytes == 0) pieces = pieces.subspan(1);
      }
      if (under_way_ == 0) return sound;
      const std::optional<IoRing::Completion> done = ring_.Wait();
      if (!done) {
        ring_.Abandon(under_way_);
        return false;
      }
      sound = Take(*done) && sound;
    }
  }

 private:
  void Queue(const Piece& piece) noexcept {
    size_t place = 0;
    while (under_way_pieces_[place].bytes > 0) ++place;
    under_way_pieces_[place] = piece;
    ring_.QueueRead(fd_, piece.offset, {piece.to, piece.bytes}, place);
    ++under_way_;
  }

  bool Take(const IoRing::Completion& done) noexcept {
    --under_way_;
    const Piece piece = std::exchange(under_way_pieces_[done.tag], {});
    if (done.result < 0) {
      const bool again = -done.result == EINTR || -done.result == EAGAIN;
      if (!again || ++retries_ > kMostRetries) return false;
      Queue(piece);
      return true;
    }
    const auto got = static_cast<uint64_t>(done.result);
    if (got >= piece.least) return true;
    if (got == 0 || got % kAlignment != 0) return false;
    Queue({piece.offset + got, piece.to + got, piece.bytes - got, piece.least - got});
    return true;
  }

  const int fd_;
  IoRing& ring_;
  std::array<Piece, kDepth> under_way_pieces_;
  uint32_t under_way_ = 0;
  int retries_ = 0;
};

Status DirectReader::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  // Whole blocks come where they belong, or to the next address of theirs that the device takes;
  // those of which a part is wanted, or that would then reach past the memory, come beside.
  const uint64_t end = offset + out.size();
  const uint64_t head_block = offset / kAlignment * kAlignment;
  const uint64_t first_whole = std::min(RoundUp(offset, kAlignment), end);
  const std::span<std::byte> head = out.first(first_whole - offset);
  const auto place = reinterpret_cast<uintptr_t>(out.data()) + head.size();
  const uint64_t shift = RoundUp(place, kAlignment) - place;
  const uint64_t last_whole =
      std::max(first_whole, (end - std::min(end, shift)) / kAlignment * kAlignment);
  const uint64_t whole_bytes = last_whole - first_whole;
  const std::span<std::byte> whole =
      whole_bytes == 0 ? std::span<std::byte>() : out.subspan(head.size() + shift, whole_bytes);
  const std::span<std::byte> tail = out.subspan(head.size() + whole_bytes);
  alignas(kAlignment) std::array<std::byte, 3 * kAlignment> beside;
  const std::span<std::byte> head_beside = std::span(beside).first(kAlignment);
  const std::span<std::byte> tail_beside =
      std::span(beside).subspan(kAlignment, RoundUp(tail.size(), kAlignment));

  std::array<Batch::Piece, 3> pieces;
  size_t count = 0;
  if (!head.empty())
    pieces[count++] = {head_block, head_beside.data(), kAlignment,
                       offset - head_block + head.size()};
  if (!tail.empty())
    pieces[count++] = {last_whole, tail_beside.data(), tail_beside.size(), tail.size()};
  if (!whole.empty()) pieces[count++] = {first_whole, whole.data(), whole.size(), whole.size()};
  IoRing* const ring = rings_ == Rings::kNone ? nullptr : RingOfThread();
  if (ring == nullptr || !Batch(fd_.get(), *ring).Run(std::span(pieces).first(count))) {
    // What a ring could not read is read once more, by calls whose errors are known.
    if (!head.empty())
      MIRAGE_TRY(ReadBlocks(head_block, head_beside, offset - head_block + head.size()));
    if (!tail.empty()) MIRAGE_TRY(ReadBlocks(last_whole, tail_beside, tail.size()));
    MIRAGE_TRY(ReadBlocks(first_whole, whole, whole.size()));
  }
  if (shift > 0 && !whole.empty()) std::memmove(whole.data() - shift, whole.data(), whole.size());
  if (!head.empty())
    std::memcpy(head.data(), head_beside.data() + (offset - head_block), head.size());
  if (!tail.empty()) std::memcpy(tail.data(), tail_beside.data(), tail.size());
  return {};
}

// One after the other. At least `least` bytes; the file may end after them.
Status DirectReader::ReadBlocks(uint64_t offset, std::span<std::byte> out, uint64_t least) const {
  for (uint64_t done = 0; done < least;) {
    const std::span<std::byte> rest = out.subspan(done);
    const ssize_t got =
        pread(fd_.get(), rest.data(), std::min<size_t>(rest.size(), 4 * kBlockBytes),
              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrorOf(errno, offset + done));
    done += static_cast<uint64_t>(got);
    if (done < least && (got == 0 || static_cast<uint64_t>(got) % kAlignment != 0))
      return Fail(ErrorOf(0, offset + done));
  }
  return {};
}

}  // namespace mirage::platform
