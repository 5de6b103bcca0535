// SPDX-License-Identifier: Apache-2.0
#include "engine/sequence.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mirage::engine {

Sequence::Sequence(std::shared_ptr<ModelRunner> runner, int64_t context_limit,
                   PrefixSharing sharing)
    : runner_(std::move(runner)),
      context_limit_(context_limit > 0 ? std::min(context_limit, runner_->max_context())
                                       : runner_->max_context()),
      sharing_(std::move(sharing)),
      shared_as_(model::SharedWith(sharing_, adapters_)),
      cache_(runner_->pages()) {}

std::vector<int32_t> Sequence::tokens() const {
  const std::lock_guard lock(mutex_);
  return tokens_;
}

int64_t Sequence::length() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(tokens_.size());
}

int64_t Sequence::cached_length() const {
  const std::lock_guard lock(mutex_);
  return cached_length_;
}

bool Sequence::busy() const {
  const std::lock_guard lock(mutex_);
  return busy_;
}

Status Sequence::Truncate(int64_t count) {
  const std::lock_guard lock(mutex_);
  if (busy_) return Fail(Code::kBusy, "a generation runs on the session");
  if (count < 0 || count > static_cast<int64_t>(tokens_.size()))
    return Fail(Code::kInvalidArgument, "cannot keep " + std::to_string(count) + " of " +
                                            std::to_string(tokens_.size()) + " tokens");
  before_shifts_.reset();
  tokens_.resize(static_cast<size_t>(count));
  cached_length_ = cache_.Truncate(count);
  return {};
}

void Sequence::TakeBack(int64_t count) noexcept {
  const std::lock_guard lock(mutex_);
  if (!busy_) Restore(count);
}

// Only what is equal in both is still computed.
void Sequence::Restore(int64_t count) noexcept {
  int64_t same = count;
  if (before_shifts_) {
    tokens_.swap(*before_shifts_);
    same = std::mismatch(tokens_.begin(), tokens_.end(), before_shifts_->begin(),
                         before_shifts_->end())
               .first -
           tokens_.begin();
    before_shifts_.reset();
  }
  count = std::min(count, static_cast<int64_t>(tokens_.size()));
  tokens_.resize(static_cast<size_t>(count));
  cached_length_ = cache_.Truncate(std::min(count, same));
}

void Sequence::ComputeWith(const model::AdapterSetId& adapters) {
  if (adapters == adapters_) return;
  shared_as_ = model::SharedWith(sharing_, adapters);
  adapters_ = adapters;
  cache_.Clear();
  cached_length_ = 0;
  from_outside_ = false;
}

bool Sequence::DropCache() {
  const std::lock_guard lock(mutex_);
  if (busy_ || cached_length_ == 0) return false;
  cache_.Clear();
  cached_length_ = 0;
  return true;
}

bool Sequence::DropSnapshots() {
  const std::lock_guard lock(mutex_);
  return !busy_ && cache_.DropSnapshots();
}

Result<Sequence::Copy> Sequence::Share() const {
  const std::lock_guard lock(mutex_);
  if (busy_) return Fail(Code::kBusy, "a generation runs on the session");
  return Copy{tokens_, cache_.Fork(), adapters_};
}

Status Sequence::Adopt(Copy copy) {
  const std::lock_guard lock(mutex_);
  if (busy_ || !tokens_.empty()) return Fail(Code::kInternal, "the sequence is in use");
  if (static_cast<int64_t>(copy.tokens.size()) > context_limit_)
    return Fail(Code::kContextFull, std::to_string(copy.tokens.size()) +
                                        " tokens do not fit a context of " +
                                        std::to_string(context_limit_));
  ComputeWith(copy.adapters);
  tokens_ = std::move(copy.tokens);
  cache_ = std::move(copy.cache);
  from_outside_ = true;
  cached_length_ = cache_.length();
  return {};
}

std::shared_ptr<Sequence> Sequence::Fork() const {
  auto fork = std::make_shared<Sequence>(runner_, context_limit_, sharing_);
  const std::lock_guard lock(mutex_);
  fork->tokens_ = tokens_;
  fork->ComputeWith(adapters_);
  fork->from_outside_ = from_outside_;
  fork->cache_ = cache_.Fork();
  fork->cached_length_ = fork->cache_.length();
  return fork;
}

int64_t Sequence::CommonPrefix(std::span<const int32_t> tokens) const {
  const std::lock_guard lock(mutex_);
  const auto [mine, theirs] =
      std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end());
  return mine - tokens_.begin();
}

}  // namespace mirage::engine
