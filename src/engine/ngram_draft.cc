// SPDX-License-Identifier: Apache-2.0
#include "engine/ngram_draft.h"

#include <algorithm>

namespace mirage::engine {
namespace {

constexpr size_t kFirstSlots = 64;
constexpr double kNewest = 0.25;  // weight of the newest guess in the average
constexpr double kHopePerStep = 0.02;

uint64_t HashOf(std::span<const int32_t> gram) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const int32_t token : gram) {
    hash ^= static_cast<uint32_t>(token);
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

bool EndsAt(std::span<const int32_t> history, size_t end, std::span<const int32_t> gram) {
  return std::equal(gram.begin(), gram.end(),
                    history.begin() + static_cast<ptrdiff_t>(end - gram.size()));
}

}  // namespace

void NgramDraft::Clear() {
  for (Table& table : tables_) table = {};
  seen_ = 0;
}

// An n-gram enters its table when the token after it is known: then it can be followed.
void NgramDraft::Sync(std::span<const int32_t> history) {
  for (; seen_ < history.size(); ++seen_)
    for (int length = kShortest; length <= kLongest; ++length)
      if (seen_ >= static_cast<size_t>(length)) Insert(length, history, seen_);
}

void NgramDraft::Insert(int length, std::span<const int32_t> history, size_t end) {
  Table& table = tables_[static_cast<size_t>(length - kShortest)];
  if (2 * (table.used + 1) > table.positions.size()) Grow(length, history);
  const auto gram = history.subspan(end - static_cast<size_t>(length), static_cast<size_t>(length));
  const size_t slot = Find(length, history, gram);
  table.used += table.positions[slot] == 0 ? 1 : 0;
  table.positions[slot] = static_cast<uint32_t>(end);
}

void NgramDraft::Grow(int length, std::span<const int32_t> history) {
  Table& table = tables_[static_cast<size_t>(length - kShortest)];
  std::vector<uint32_t> old = std::move(table.positions);
  table.positions.assign(std::max(kFirstSlots, 2 * old.size()), 0);
  for (const uint32_t end : old) {
    if (end == 0) continue;
    const auto gram =
        history.subspan(end - static_cast<size_t>(length), static_cast<size_t>(length));
    table.positions[Find(length, history, gram)] = end;
  }
}

// The slot of the gram, or the free one where it would go. There is a free one: half are.
size_t NgramDraft::Find(int length, std::span<const int32_t> history,
                        std::span<const int32_t> gram) const {
  const std::vector<uint32_t>& positions =
      tables_[static_cast<size_t>(length - kShortest)].positions;
  const size_t mask = positions.size() - 1;
  size_t slot = HashOf(gram) & mask;
  while (positions[slot] != 0 && !EndsAt(history, positions[slot], gram)) slot = (slot + 1) & mask;
  return slot;
}

std::vector<int32_t> NgramDraft::Propose(std::span<const int32_t> history, int64_t count) const {
  for (int length = kLongest; length >= kShortest && count > 0; --length) {
    const std::vector<uint32_t>& positions =
        tables_[static_cast<size_t>(length - kShortest)].positions;
    if (history.size() < static_cast<size_t>(length) || positions.empty()) continue;
    const uint32_t next =
        positions[Find(length, history, history.last(static_cast<size_t>(length)))];
    if (next == 0) continue;
    // What followed may run into the present: a repetition with a short period goes on repeating.
    std::vector<int32_t> guess;
    const size_t period = history.size() - next;
    for (int64_t i = 0; i < count; ++i)
      guess.push_back(history[next + static_cast<size_t>(i) % period]);
    return guess;
  }
  return {};
}

int64_t DraftLength::Next(double per_token_share) {
  if (rest_ > 0) {
    --rest_;
    return 0;
  }
  if (acceptance_ > per_token_share) return length_;
  acceptance_ += kHopePerStep * (1 - acceptance_);  // so that it is tried again
  return 0;
}

void DraftLength::Learn(int64_t proposed, int64_t accepted) {
  if (proposed == 0) return;
  acceptance_ +=
      kNewest * (static_cast<double>(accepted) / static_cast<double>(proposed) - acceptance_);
  if (accepted == 0) {
    length_ = std::max<int64_t>(1, length_ / 2);
    if (++misses_ < kMissesToRest) return;
    misses_ = 0;
    Rest();
    return;
  }
  misses_ = 0;
  next_rest_ = kFirstRest;
  length_ = accepted == proposed ? std::min(most_, 2 * length_) : std::min(most_, accepted + 1);
}

void DraftLength::Rest() {
  rest_ = next_rest_;
  next_rest_ = std::min(kLongestRest, 2 * next_rest_);
}

}  // namespace mirage::engine
