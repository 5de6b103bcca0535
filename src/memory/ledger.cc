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
      "weights", "mapped weights", "slots", "KV", "tables", "workspace", "sessions"};
  return Index(owner) < kNames.size() ? kNames[Index(owner)] : "nobody";
}

Status Ledger::Take(Owner owner, uint64_t bytes, std::string_view what) {
  const std::lock_guard lock(mutex_);
  const uint64_t available = limit_ > used_ ? limit_ - used_ : 0;
  if (bytes > available)
    return OutOfMemory(std::string(what) + " needs " + std::to_string(bytes) + " bytes of " +
                           std::string(OwnerName(owner)) + ", " + std::to_string(available) +
                           " of " + std::to_string(limit_) + " are available",
                       bytes, available);
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  by_owner_[Index(owner)] += bytes;
  return {};
}

void Ledger::Give(Owner owner, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  assert(by_owner_[Index(owner)] >= bytes);
  by_owner_[Index(owner)] -= bytes;
  used_ -= bytes;
}

void Ledger::Transfer(Owner from, Owner to, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  assert(by_owner_[Index(from)] >= bytes);
  by_owner_[Index(from)] -= bytes;
  by_owner_[Index(to)] += bytes;
}

void Ledger::SetLimit(uint64_t limit) {
  const std::lock_guard lock(mutex_);
  limit_ = limit;
}

uint64_t Ledger::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

uint64_t Ledger::available() const {
  const std::lock_guard lock(mutex_);
  return limit_ > used_ ? limit_ - used_ : 0;
}

uint64_t Ledger::over_limit() const {
  const std::lock_guard lock(mutex_);
  return used_ > limit_ ? used_ - limit_ : 0;
}

LedgerSnapshot Ledger::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return {limit_, used_, peak_, by_owner_};
}

Result<Holding> Holding::Take(Ledger& ledger, Owner owner, uint64_t bytes, std::string_view what) {
  MIRAGE_TRY(ledger.Take(owner, bytes, what));
  Holding holding;
  holding.ledger_ = &ledger;
  holding.owner_ = owner;
  holding.bytes_ = bytes;
  return holding;
}

Holding& Holding::operator=(Holding&& other) noexcept {
  if (this != &other) {
    Reset();
    ledger_ = std::exchange(other.ledger_, nullptr);
    owner_ = other.owner_;
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Holding::Reset() {
  if (ledger_ != nullptr) ledger_->Give(owner_, bytes_);
  ledger_ = nullptr;
  bytes_ = 0;
}

}  // namespace mirage::memory
