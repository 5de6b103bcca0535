// SPDX-License-Identifier: Apache-2.0
#include "engine/score_job.h"

#include <algorithm>
#include <span>
#include <utility>

namespace mirage::engine {

ScoreJob::ScoreJob(std::shared_ptr<ModelRunner> runner, std::vector<int32_t> tokens, int64_t first,
                   std::function<bool()> cancelled)
    : runner_(std::move(runner)),
      tokens_(std::move(tokens)),
      first_(first),
      cancelled_(std::move(cancelled)),
      cache_(runner_->pages()) {}

Status ScoreJob::Reserve(int64_t tokens) {
  const int64_t end = std::min(cache_.length() + tokens, static_cast<int64_t>(tokens_.size()));
  MIRAGE_TRY(cache_.Reserve(end));
  reserved_ = end - cache_.length();
  return {};
}

Status ScoreJob::Run() {
  const int64_t begin = cache_.length();
  const int64_t end = begin + reserved_;
  const std::span<const int32_t> tokens(tokens_);
  // Token i is followed by its target, token i + 1; the last has none, and a preempted job has some
  // already.
  const int64_t from = std::max(begin, first_ + static_cast<int64_t>(logprobs_.size()));
  const int64_t to = std::min(end, static_cast<int64_t>(tokens_.size()) - 1);
  const auto count = static_cast<size_t>(std::max<int64_t>(0, to - from));
  const size_t scored = logprobs_.size();
  logprobs_.resize(scored + count);
  Status status = runner_->Score(
      {&cache_, tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(reserved_)), false},
      count > 0 ? from - begin : 0,
      count > 0 ? tokens.subspan(static_cast<size_t>(from) + 1, count) : tokens.first(0),
      std::span(logprobs_).subspan(scored), cancelled_);
  if (!status) {
    logprobs_.resize(scored);
    cache_.Rollback();
    return status;
  }
  cache_.Commit(end);
  return {};
}

void ScoreJob::Finish(Status status) noexcept {
  cache_.Clear();
  if (status)
    promise_.set_value(std::move(logprobs_));
  else
    promise_.set_value(Fail(std::move(status).error()));
}

}  // namespace mirage::engine
