// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequence: the tokens of one conversation, and the keys and values the engine holds of them.
//
// Between requests its owner may truncate it; while a request runs on it every change is refused
// with kBusy. The cache may be shorter than the tokens (a newest token not yet computed, pages
// taken by preemption, a window that lost what a rollback needs): the engine computes what is
// missing before it goes on. Its pages go back when it is destroyed.
//
// While a request runs, the engine thread alone changes the cache, under the lock: so it may read
// it without, and others may fork it.
//
// Any thread; calls are short.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/model_runner.h"
#include "kv/sequence_cache.h"

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

  // Gives up the keys and values, which will be computed again when they are needed; false when
  // there are none or a request runs.
  bool DropCache();

  // The tokens and, held by a second cache, the pages of the computed ones. kBusy while a request
  // runs; none may start while the copy is there.
  struct Copy {
    std::vector<int32_t> tokens;
    kv::SequenceCache cache;
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

  const std::shared_ptr<ModelRunner> runner_;
  const int64_t context_limit_;
  const PrefixSharing sharing_;
  mutable std::mutex mutex_;  // guards what follows
  bool busy_ = false;
  std::vector<int32_t> tokens_;
  int64_t cached_length_ = 0;
  // It began with keys and values from outside, which others are not to find.
  bool from_outside_ = false;
  kv::SequenceCache cache_;
};

}  // namespace mirage::engine
