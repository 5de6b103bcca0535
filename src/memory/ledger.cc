// SPDX-License-Identifier: Apache-2.0
#include "memory/ledger.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace mirage::memory {
namespace {

constexpr size_t Index(Owner owner) { return static_cast<size_t>(owner); }

}  // namespace

std::string_view OwnerName(Owner owner) {
  constexpr std::array<std::string_view, Index(Owner::kCount)> kNames = {
      "weights", "mapped weights", "slots", "KV", "tables", "workspace", "sessions", "adapters"};
  return Index(owner) < kNames.size() ? kNames[Index(owner)] : "nobody";
}

// A promise's bytes are there, whatever else is promised, unless the limit was lowered.
uint64_t Ledger::AvailableTo(const Promise* promise) const {
  const uint64_t unused = limit_ > used_ ? limit_ - used_ : 0;
  const uint64_t own = promise == nullptr ? 0 : std::min(promise->left(), unused);
  const uint64_t unpromised = unused > promised_ ? unused - promised_ : 0;
  return own + unpromised;
}

Status Ledger::Take(Owner owner, uint64_t bytes, std::string_view what, Promise* promise,
                    uint64_t until) {
  const std::lock_guard lock(mutex_);
  const uint64_t available = AvailableTo(promise);
  const bool given_back = until >= used_ && bytes <= until - used_;
  if (bytes > available && !given_back) {
    const uint64_t others = promised_ - (promise == nullptr ? 0 : promise->left());
    return OutOfMemory(std::string(what) + " needs " + std::to_string(bytes) + " bytes of " +
                           std::string(OwnerName(owner)) + ", " + std::to_string(available) +
                           " of " + std::to_string(limit_) + " are available" +
                           (others > 0 ? "; " + std::to_string(others) + " more are promised" : ""),
                       bytes, available);
  }
  if (promise != nullptr) {
    promised_ -= std::min(bytes, promise->left());
    promise->taken_ += bytes;
  }
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  by_owner_[Index(owner)] += bytes;
  return {};
}

void Ledger::Give(Owner owner, uint64_t bytes, Promise* promise) {
  const std::lock_guard lock(mutex_);
  assert(by_owner_[Index(owner)] >= bytes);
  by_owner_[Index(owner)] -= bytes;
  used_ -= bytes;
  if (promise == nullptr) return;
  const uint64_t left = promise->left();
  assert(promise->taken_ >= bytes);
  promise->taken_ -= bytes;
  promised_ += promise->left() - left;
}

void Ledger::SetLimit(uint64_t limit) {
  const std::lock_guard lock(mutex_);
  limit_ = limit;
}

uint64_t Ledger::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

uint64_t Ledger::available(const Promise* promise) const {
  const std::lock_guard lock(mutex_);
  return AvailableTo(promise);
}

uint64_t Ledger::Freeable(const Promise* giver, const Promise* taker) const {
  if (giver == nullptr || giver == taker) return UINT64_MAX;
  const std::lock_guard lock(mutex_);
  // A limit lowered below what is promised is shared by all.
  if (used_ > limit_ || promised_ > limit_ - used_) return UINT64_MAX;
  return giver->taken_ - std::min(giver->taken_, giver->bytes_);
}

uint64_t Ledger::committed() const {
  const std::lock_guard lock(mutex_);
  return used_ + promised_;
}

uint64_t Ledger::over_limit() const {
  const std::lock_guard lock(mutex_);
  return used_ > limit_ ? used_ - limit_ : 0;
}

LedgerSnapshot Ledger::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return {limit_, used_, peak_, promised_, by_owner_};
}

Result<std::unique_ptr<Promise>> Promise::Make(Ledger& ledger, uint64_t bytes,
                                               std::string_view what) {
  std::unique_ptr<Promise> promise(new Promise(ledger, bytes));
  const std::lock_guard lock(ledger.mutex_);
  const uint64_t available = ledger.AvailableTo(nullptr);
  if (bytes > available) {
    promise->bytes_ = 0;  // nothing for the destructor to give back
    return OutOfMemory(std::string(what) + " needs " + std::to_string(bytes) + " bytes, " +
                           std::to_string(available) + " of " + std::to_string(ledger.limit_) +
                           " are available",
                       bytes, available);
  }
  ledger.promised_ += bytes;
  return promise;
}

Promise::~Promise() { End(); }

std::unique_ptr<Promise> Promise::Split(uint64_t bytes) {
  std::unique_ptr<Promise> part(new Promise(ledger_, bytes));
  const std::lock_guard lock(ledger_.mutex_);
  assert(left() >= bytes);
  bytes_ -= bytes;
  return part;
}

void Promise::End() {
  const std::lock_guard lock(ledger_.mutex_);
  ledger_.promised_ -= left();
  bytes_ = 0;
}

uint64_t Promise::committed() const {
  const std::lock_guard lock(ledger_.mutex_);
  return std::max(bytes_, taken_);
}

Result<Holding> Holding::Take(Ledger& ledger, Owner owner, uint64_t bytes, std::string_view what,
                              Promise* promise) {
  MIRAGE_TRY(ledger.Take(owner, bytes, what, promise));
  Holding holding;
  holding.ledger_ = &ledger;
  holding.promise_ = promise;
  holding.owner_ = owner;
  holding.bytes_ = bytes;
  return holding;
}

Holding& Holding::operator=(Holding&& other) noexcept {
  if (this != &other) {
    Reset();
    ledger_ = std::exchange(other.ledger_, nullptr);
    promise_ = other.promise_;
    owner_ = other.owner_;
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Holding::Shrink(uint64_t bytes) {
  if (bytes >= bytes_) return;
  ledger_->Give(owner_, bytes_ - bytes, promise_);
  bytes_ = bytes;
}

void Holding::Join(Holding other) {
  if (ledger_ == nullptr) {
    *this = std::move(other);
    return;
  }
  assert(ledger_ == other.ledger_ && owner_ == other.owner_ && promise_ == other.promise_);
  bytes_ += std::exchange(other.bytes_, 0);
}

void Holding::Reset() {
  if (ledger_ != nullptr) ledger_->Give(owner_, bytes_, promise_);
  ledger_ = nullptr;
  bytes_ = 0;
}

}  // namespace mirage::memory
