// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ledger: who holds how many bytes of one tier, under one hard limit.
//
// Everything the library keeps in a tier takes its bytes here before it touches memory, and gives
// them back after. sum of owners <= limit holds at all times, except that a limit lowered below
// what is in use stands at once and the excess shows as over_limit() until owners have given bytes
// back.
//
// A Promise keeps bytes free for one holder's later takes: the pages of a model whose plan said
// they fit. Nobody else is given them, and they count as gone in available() and in refusals. A
// limit lowered below what is in use and promised is shared by whoever comes first.
//
// Any thread; never blocks for long.

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "base/result.h"

namespace mirage::memory {

enum class Owner : uint8_t {
  kWeights,    // region homes in the arena
  kMapped,     // pages of mapped files kept resident
  kSlots,      // staging slots and buffers to repack with
  kKv,         // KV pages
  kTables,     // vocabulary, region tables, metadata
  kWorkspace,  // activations, logits
  kSessions,   // per-session and per-request state
  kAdapters,   // LoRA adapters
  kCount,
};
[[nodiscard]] std::string_view OwnerName(Owner owner);

struct LedgerSnapshot {
  uint64_t limit = 0;
  uint64_t used = 0;
  uint64_t peak = 0;
  uint64_t promised = 0;  // and not taken yet
  std::array<uint64_t, static_cast<size_t>(Owner::kCount)> by_owner{};
};

class Promise;

class Ledger {
 public:
  // `limit` in bytes; UINT64_MAX for none.
  explicit Ledger(uint64_t limit) : limit_(limit) {}

  // Fails with kOutOfMemory, naming `what`, the bytes needed and the bytes available; nothing is
  // taken then. With `promise`, its bytes are used first, and Give, told the same, returns them to
  // it. What leaves no more than `until` in use is always given: a part of what its taker has just
  // given back, which under a lowered limit would be nobody's.
  [[nodiscard]] Status Take(Owner owner, uint64_t bytes, std::string_view what,
                            Promise* promise = nullptr, uint64_t until = 0);
  void Give(Owner owner, uint64_t bytes, Promise* promise = nullptr);

  void SetLimit(uint64_t limit);
  [[nodiscard]] uint64_t limit() const;
  // What a Take can have now, with the promise it draws on if it has one; 0 when over the limit.
  [[nodiscard]] uint64_t available(const Promise* promise = nullptr) const;
  // How many of the bytes that the holder of `giver` might give back would become available to
  // `taker`'s: none of those that its own promise keeps. UINT64_MAX: all. nullptr: of no promise.
  [[nodiscard]] uint64_t Freeable(const Promise* giver, const Promise* taker) const;
  // In use or promised.
  [[nodiscard]] uint64_t committed() const;
  [[nodiscard]] uint64_t over_limit() const;  // bytes in use beyond the limit
  [[nodiscard]] LedgerSnapshot Snapshot() const;

 private:
  friend class Promise;
  [[nodiscard]] uint64_t AvailableTo(const Promise* promise) const;  // with mutex_ held

  mutable std::mutex mutex_;
  uint64_t limit_;
  uint64_t used_ = 0;
  uint64_t promised_ = 0;  // what all promises have left
  uint64_t peak_ = 0;
  std::array<uint64_t, static_cast<size_t>(Owner::kCount)> by_owner_{};
};

// Bytes that a ledger keeps for one holder for as long as the object lives, taken or not. It
// outlives what was taken with it.
class Promise {
 public:
  // kOutOfMemory when they are not available now.
  [[nodiscard]] static Result<std::unique_ptr<Promise>> Make(Ledger& ledger, uint64_t bytes,
                                                             std::string_view what);
  ~Promise();
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;

  // Moves `bytes`, which nothing has been taken of, to a promise of their own.
  [[nodiscard]] std::unique_ptr<Promise> Split(uint64_t bytes);
  // Promises no more than what was taken with it, and nothing for what is given back from now on.
  void End();
  // What its holder has or may have: the promise, or what was taken where that is more.
  [[nodiscard]] uint64_t committed() const;

 private:
  friend class Ledger;
  Promise(Ledger& ledger, uint64_t bytes) : ledger_(ledger), bytes_(bytes) {}
  [[nodiscard]] uint64_t left() const { return bytes_ > taken_ ? bytes_ - taken_ : 0; }

  Ledger& ledger_;
  // Guarded by the ledger's mutex.
  uint64_t bytes_;
  uint64_t taken_ = 0;
};

// Bytes of a ledger held for as long as the object lives.
class Holding {
 public:
  Holding() = default;
  [[nodiscard]] static Result<Holding> Take(Ledger& ledger, Owner owner, uint64_t bytes,
                                            std::string_view what, Promise* promise = nullptr);
  ~Holding() { Reset(); }
  Holding(Holding&& other) noexcept { *this = std::move(other); }
  Holding& operator=(Holding&& other) noexcept;
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // Gives back what it has beyond `bytes`.
  void Shrink(uint64_t bytes);
  void Join(Holding other);  // of the same ledger, owner and promise, unless this one holds nothing
  void Reset();

 private:
  Ledger* ledger_ = nullptr;
  Promise* promise_ = nullptr;
  Owner owner_ = Owner::kCount;
  uint64_t bytes_ = 0;
};

}  // namespace mirage::memory
