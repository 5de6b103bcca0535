// SPDX-License-Identifier: Apache-2.0
#pragma once

// IoRing: reads that the kernel carries out while others are queued (io_uring(7), Linux 5.6).
//
// By its system calls, so that nothing more is linked. Only Create allocates. One thread at a time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "platform/descriptor.h"

namespace mirage::platform {

class IoRing {
 public:
  struct Completion {
    uint64_t tag;
    int32_t result;  // bytes, or a negative errno
  };

  // For `entries` reads at a time, a power of two. kUnsupported where the kernel has none or
  // forbids it.
  [[nodiscard]] static Result<IoRing> Create(uint32_t entries);
  IoRing(IoRing&& other) noexcept;
  IoRing& operator=(IoRing&&) = delete;
  ~IoRing();  // nothing may be under way

  // Fewer than `entries` may be under way. `out` stays until the completion.
  void QueueRead(int fd, uint64_t offset, std::span<std::byte> out, uint64_t tag) noexcept;
  // Hands over what is queued and waits for a completion. Nothing when the kernel takes no more
  // calls (a filter of system calls that was installed meanwhile); the ring is of no use then.
  [[nodiscard]] std::optional<Completion> Wait() noexcept;
  [[nodiscard]] bool broken() const { return broken_; }
  // After Wait failed: waits for the completions of what had been handed over, of `under_way`
  // reads.
  void Abandon(uint32_t under_way) noexcept;

 private:
  struct Pointers {
    uint32_t *tail, *array, *completed_head, *completed_tail;
    uint32_t mask, completed_mask;
    const void* completions;
  };
  IoRing() = default;
  [[nodiscard]] std::optional<Completion> TakeCompletion() noexcept;

  Descriptor fd_;
  void* rings_ = nullptr;
  size_t rings_bytes_ = 0;
  void* entries_ = nullptr;
  size_t entries_bytes_ = 0;
  Pointers at_{};
  uint32_t queued_ = 0;
  bool broken_ = false;
};

}  // namespace mirage::platform
