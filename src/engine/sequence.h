// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequence: the tokens of one conversation whose keys and values the engine holds.
//
// Between requests its owner may truncate it; while a request runs on it every change is refused with kBusy. Its pages
// come from the model's pool and go back when it is destroyed.
//
// Any thread; calls are short.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "kv/sequence_cache.h"

namespace mirage::engine {

class ModelRunner;

class Sequence {
 public:
  // `context_limit` in tokens: the most it may ever hold.
  Sequence(std::shared_ptr<ModelRunner> runner, int64_t context_limit);
  ~Sequence();

  // The tokens whose keys and values are cached, plus at most one newest token not yet computed.
  [[nodiscard]] std::vector<int32_t> tokens() const;
  [[nodiscard]] int64_t length() const;
  [[nodiscard]] int64_t context_limit() const { return context_limit_; }
  [[nodiscard]] bool busy() const;

  // Keeps the first `tokens` tokens. kBusy while a request runs, kInvalidArgument beyond the length.
  [[nodiscard]] Status Truncate(int64_t tokens);

  // The length of the common prefix of the sequence and `tokens`.
  [[nodiscard]] int64_t CommonPrefix(std::span<const int32_t> tokens) const;

 private:
  friend class Engine;
  friend class Scheduler;
  friend class ModelRunner;
  mutable std::mutex mutex_;
  std::shared_ptr<ModelRunner> runner_;
  const int64_t context_limit_;
  bool busy_ = false;
  std::vector<int32_t> tokens_;
  kv::SequenceCache cache_;
};

}  // namespace mirage::engine
