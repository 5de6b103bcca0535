// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequence: the tokens of one conversation, and the keys and values the engine holds of them.
//
// Between requests its owner may truncate it; while a request runs on it every change is refused
// with kBusy. The cache may be shorter than the tokens (a newest token not yet computed, pages
// taken by preemption, a window that lost what a rollback needs): the engine computes what is
// missing before it goes on. Its pages go back when it is destroyed.
//
// A request may drop old tokens to go on in a full context. What the sequence held before the
// request is kept as tokens until the next one begins, so that TakeBack undoes that, too.
//
// Keys and values are of one set of adapters, that of the last request: one with others computes
// the tokens again.
//
// While a request runs, the engine thread alone changes the cache, under the lock: so it may read
// it without, and others may fork it.
//
// Any thread; calls are short.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/model_runner.h"
#include "kv/sequence_cache.h"
#include "model/adapter_set.h"

namespace mirage::engine {

using kv::PrefixSharing;

class Sequence {
 public:
  // `context_limit`: the most tokens it may ever hold; 0 for the model's.
  explicit Sequence(std::shared_ptr<ModelRunner> runner, int64_t context_limit = 0,
                    PrefixSharing sharing = {});

  [[nodiscard]] std::vector<int32_t> tokens() const;
  [[nodiscard]] int64_t length() const;  // of tokens
  [[nodiscard]] int64_t cached_length()
      const;  // of them, with keys and values; while a request runs, an older count
  [[nodiscard]] int64_t context_limit() const { return context_limit_; }
  [[nodiscard]] bool busy() const;

  // Keeps the first `count` tokens. kBusy while a request runs, kInvalidArgument beyond the length.
  [[nodiscard]] Status Truncate(int64_t count);
  // Holds the first `count` of the tokens it held when its last request began, which were at least
  // as many. Nothing while a request runs.
  void TakeBack(int64_t count) noexcept;

  // Gives up the keys and values, which will be computed again when they are needed; false when
  // there are none or a request runs.
  bool DropCache();

  // Gives up what it holds only to go back to; false when there is nothing or a request runs.
  bool DropSnapshots();

  // The tokens and, held by a second cache, the pages of the computed ones. kBusy while a request
  // runs; none may start while the copy is there.
  struct Copy {
    std::vector<int32_t> tokens;
    kv::SequenceCache cache;
    model::AdapterSetId adapters{};  // that the cache was computed with
  };
  [[nodiscard]] Result<Copy> Share() const;
  // Takes tokens and cache in place of its own, for a sequence that is empty and idle.
  [[nodiscard]] Status Adopt(Copy copy);

  // An idle one of the same tokens, sharing pages; of a sequence with a running request, the tokens
  // there are now. Engine::Fork, so that its pages are known there.
  [[nodiscard]] std::shared_ptr<Sequence> Fork() const;

  // The length of the common prefix of the sequence and `tokens`.
  [[nodiscard]] int64_t CommonPrefix(std::span<const int32_t> tokens) const;

 private:
  friend class Engine;
  friend class ActiveRequest;

  // All with mutex_ held.
  void Restore(int64_t count) noexcept;
  // What is computed from now on is computed with these adapters. Keys and values of others are
  // given up. Only a bad_alloc may come out of it, and then nothing has changed.
  void ComputeWith(const model::AdapterSetId& adapters);

  const std::shared_ptr<ModelRunner> runner_;
  const int64_t context_limit_;
  const PrefixSharing sharing_;
  mutable std::mutex mutex_;  // guards what follows
  bool busy_ = false;
  std::vector<int32_t> tokens_;
  // What it held when its last request began, where tokens_ no longer begins with that.
  std::optional<std::vector<int32_t>> before_shifts_;
  int64_t cached_length_ = 0;
  // It began with keys and values from outside, which others are not to find.
  bool from_outside_ = false;
  model::AdapterSetId adapters_{};  // that the cache is computed with
  PrefixSharing shared_as_;         // sharing_, with these
  kv::SequenceCache cache_;
};

}  // namespace mirage::engine
