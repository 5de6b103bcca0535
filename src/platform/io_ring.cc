// SPDX-License-Identifier: Apache-2.0
#include "platform/io_ring.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "platform/os_error.h"

namespace mirage::platform {
namespace {

constexpr std::chrono::microseconds kPause{100};

// Counters that the kernel shares.
uint32_t Load(uint32_t* counter) {
  return std::atomic_ref(*counter).load(std::memory_order_acquire);
}
void Store(uint32_t* counter, uint32_t value) {
  std::atomic_ref(*counter).store(value, std::memory_order_release);
}

void* Map(int fd, size_t bytes, uint64_t what) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
              static_cast<off_t>(what));
}

}  // namespace

Result<IoRing> IoRing::Create(uint32_t entries) {
  io_uring_params params{};
  IoRing ring;
  ring.fd_ = Descriptor(static_cast<int>(syscall(SYS_io_uring_setup, entries, &params)));
  if (!ring.fd_.valid()) return Fail(Code::kUnsupported, OsError("io_uring", errno).message);
  // The last came with the reads that are queued here.
  constexpr uint32_t kNeeded =
      IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;
  if ((params.features & kNeeded) != kNeeded)
    return Fail(Code::kUnsupported, "io_uring: the kernel's is older than 5.6");
  ring.rings_bytes_ =
      std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                       params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  ring.entries_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
  void* const rings = Map(ring.fd_.get(), ring.rings_bytes_, IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return Fail(OsError("io_uring: mapping its rings", errno));
  ring.rings_ = rings;
  void* const slots = Map(ring.fd_.get(), ring.entries_bytes_, IORING_OFF_SQES);
  if (slots == MAP_FAILED) return Fail(OsError("io_uring: mapping its entries", errno));
  ring.entries_ = slots;

  auto* const base = static_cast<std::byte*>(rings);
  const auto counter = [&](uint32_t offset) { return reinterpret_cast<uint32_t*>(base + offset); };
  ring.at_ = {counter(params.sq_off.tail),       counter(params.sq_off.array),
              counter(params.cq_off.head),       counter(params.cq_off.tail),
              *counter(params.sq_off.ring_mask), *counter(params.cq_off.ring_mask),
              base + params.cq_off.cqes};
  return ring;
}

IoRing::IoRing(IoRing&& other) noexcept
    : fd_(std::move(other.fd_)),
      rings_(std::exchange(other.rings_, nullptr)),
      rings_bytes_(other.rings_bytes_),
      entries_(std::exchange(other.entries_, nullptr)),
      entries_bytes_(other.entries_bytes_),
      at_(other.at_),
      queued_(other.queued_),
      broken_(other.broken_) {}

IoRing::~IoRing() {
  if (entries_ != nullptr) munmap(entries_, entries_bytes_);
  if (rings_ != nullptr) munmap(rings_, rings_bytes_);
}

void IoRing::QueueRead(int fd, uint64_t offset, std::span<std::byte> out, uint64_t tag) noexcept {
  const uint32_t tail = *at_.tail;  // ours alone to move
  const uint32_t index = tail & at_.mask;
  io_uring_sqe& entry = static_cast<io_uring_sqe*>(entries_)[index];
  entry = {};
  entry.opcode = IORING_OP_READ;
  entry.fd = fd;
  entry.off = offset;
  entry.addr = reinterpret_cast<uint64_t>(out.data());
  entry.len = static_cast<uint32_t>(out.size());
  entry.user_data = tag;
  at_.array[index] = index;
  Store(at_.tail, tail + 1);
  ++queued_;
}

std::optional<IoRing::Completion> IoRing::TakeCompletion() noexcept {
  const uint32_t head = *at_.completed_head;
  if (head == Load(at_.completed_tail)) return std::nullopt;
  const auto& entry = static_cast<const io_uring_cqe*>(at_.completions)[head & at_.completed_mask];
  const Completion completion{entry.user_data, entry.res};
  Store(at_.completed_head, head + 1);
  return completion;
}

std::optional<IoRing::Completion> IoRing::Wait() noexcept {
  for (;;) {
    // What is queued is handed over first: it is to be under way while others are looked at.
    if (queued_ == 0)
      if (const std::optional<Completion> there = TakeCompletion()) return there;
    const auto taken = syscall(SYS_io_uring_enter, fd_.get(), queued_, queued_ == 0 ? 1 : 0,
                               IORING_ENTER_GETEVENTS, nullptr, 0);
    if (taken >= 0) {
      queued_ -= static_cast<uint32_t>(taken);
    } else if (errno == EAGAIN || errno == EBUSY) {  // no room in the kernel for now
      if (const std::optional<Completion> there = TakeCompletion()) return there;
      std::this_thread::sleep_for(kPause);
    } else if (errno != EINTR) {
      broken_ = true;
      return std::nullopt;
    }
  }
}

void IoRing::Abandon(uint32_t under_way) noexcept {
  Store(at_.tail, *at_.tail - queued_);
  under_way -= std::exchange(queued_, 0);
  while (under_way > 0)
    if (TakeCompletion())
      --under_way;
    else
      std::this_thread::sleep_for(kPause);
}

}  // namespace mirage::platform
