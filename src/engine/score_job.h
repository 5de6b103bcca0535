// SPDX-License-Identifier: Apache-2.0
#pragma once

// ScoreJob: a text whose tokens' probabilities are wanted, computed chunk by chunk between steps.
//
// Made by the asking thread, the engine thread's alone afterwards.

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/model_runner.h"
#include "kv/sequence_cache.h"

namespace mirage::engine {

class ScoreJob {
 public:
  using Logprobs = std::vector<double>;

  // Scores tokens[first + 1] and those after it; first is below the number of tokens.
  ScoreJob(std::shared_ptr<ModelRunner> runner, std::vector<int32_t> tokens, int64_t first,
           std::function<bool()> cancelled);

  [[nodiscard]] std::future<Result<Logprobs>> result() { return promise_.get_future(); }
  [[nodiscard]] ModelRunner& runner() const { return *runner_; }
  [[nodiscard]] bool done() const {
    return cache_.length() == static_cast<int64_t>(tokens_.size());
  }
  [[nodiscard]] bool cancelled() const { return cancelled_ && cancelled_(); }
  [[nodiscard]] const kv::SequenceCache& cache() const { return cache_; }
  [[nodiscard]] bool holds_pages() const { return cache_.length() > 0; }

  // Pages for the next at most `tokens` tokens.
  [[nodiscard]] Status Reserve(int64_t tokens);
  // Computes what was reserved.
  [[nodiscard]] Status Run();
  // Gives up its pages; what was scored stays.
  void Preempt() noexcept { cache_.Clear(); }
  // Hands the result, or the failure, to whoever waits.
  void Finish(Status status) noexcept;

 private:
  const std::shared_ptr<ModelRunner> runner_;
  const std::vector<int32_t> tokens_;
  const int64_t first_;
  const std::function<bool()> cancelled_;
  int64_t reserved_ = 0;
  kv::SequenceCache cache_;
  Logprobs logprobs_;
  std::promise<Result<Logprobs>> promise_;
};

}  // namespace mirage::engine
