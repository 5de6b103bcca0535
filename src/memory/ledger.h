// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ledger: who holds how many bytes of one tier, under one hard limit.
//
// Everything the library keeps in a tier takes its bytes here before it touches memory, and gives
// them back after. sum of owners <= limit holds at all times, except that a limit lowered below
// what is in use stands at once and the excess shows as over_limit() until owners have given bytes
// back.
//
// Any thread; never blocks for long.

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "base/result.h"

namespace mirage::memory {

enum class Owner : uint8_t {
  kWeights,    // region homes in the arena
  kMapped,     // pages of mapped files kept resident
  kSlots,      // staging slots and bounce buffers
  kKv,         // KV pages
  kTables,     // vocabulary, region tables, metadata
  kWorkspace,  // activations, logits
  kSessions,   // per-session and per-request state
  kCount,
};
[[nodiscard]] std::string_view OwnerName(Owner owner);

struct LedgerSnapshot {
  uint64_t limit = 0;
  uint64_t used = 0;
  uint64_t peak = 0;
  std::array<uint64_t, static_cast<size_t>(Owner::kCount)> by_owner{};
};

class Ledger {
 public:
  // `limit` in bytes; UINT64_MAX for none.
  explicit Ledger(uint64_t limit) : limit_(limit) {}

  // Fails with kOutOfMemory, naming `what`, the bytes needed and the bytes available; nothing is
  // taken then.
  [[nodiscard]] Status Take(Owner owner, uint64_t bytes, std::string_view what);
  void Give(Owner owner, uint64_t bytes);
  // Moves bytes between owners without ever freeing them to others: a region lent to KV.
  void Transfer(Owner from, Owner to, uint64_t bytes);

  void SetLimit(uint64_t limit);
  [[nodiscard]] uint64_t limit() const;
  [[nodiscard]] uint64_t available() const;   // 0 when over the limit
  [[nodiscard]] uint64_t over_limit() const;  // bytes in use beyond the limit
  [[nodiscard]] LedgerSnapshot Snapshot() const;

 private:
  mutable std::mutex mutex_;
  uint64_t limit_;
  uint64_t used_ = 0;
  uint64_t peak_ = 0;
  std::array<uint64_t, static_cast<size_t>(Owner::kCount)> by_owner_{};
};

// Bytes of a ledger held for as long as the object lives.
class Holding {
 public:
  Holding() = default;
  [[nodiscard]] static Result<Holding> Take(Ledger& ledger, Owner owner, uint64_t bytes,
                                            std::string_view what);
  ~Holding() { Reset(); }
  Holding(Holding&& other) noexcept { *this = std::move(other); }
  Holding& operator=(Holding&& other) noexcept;
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  void Reset();

 private:
  Ledger* ledger_ = nullptr;
  Owner owner_ = Owner::kCount;
  uint64_t bytes_ = 0;
};

}  // namespace mirage::memory
