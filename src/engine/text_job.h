// SPDX-License-Identifier: Apache-2.0
#pragma once

// TextJob: a text that is only read: what is wanted are the probabilities of its tokens or its
// hidden states, no answer. Computed chunk by chunk in passes between steps, many texts in one.
//
// The texts of one call are a TextBatch: they succeed or fail together. Keys and values are of the
// texts alone: none are found, and none are left to be found. What all texts of a call begin with
// is computed once, if the call says so, in a job of its own, and shared by them.
//
// Batches are made by the asking thread, which waits for them and looks at their counters; the rest
// is the engine thread's.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/model_runner.h"
#include "kv/sequence_cache.h"

namespace mirage::engine {

// What becomes of the hidden states of a text's tokens.
enum class Pooling {
  kNone,   // all, one after the other
  kMean,   // their mean
  kFirst,  // that of the first token
  kLast,   // that of the last token
};

struct Text {
  std::vector<int32_t> tokens;
  // Log probabilities of tokens[score_from] and those after it are wanted; at least 1.
  std::optional<int64_t> score_from;
  std::optional<Pooling> pooling;
};

struct TextResult {
  std::vector<double> logprobs;  // [tokens - score_from]
  std::vector<float> embedding;  // [hidden_width], of kNone [tokens][hidden_width]
};

// One call.
struct TextCall {
  std::shared_ptr<ModelRunner> runner;
  std::vector<Text> texts;
  // What each is, in the words of an error; null: a text, named where there are others.
  const char* what = nullptr;
  // All texts begin with the same so many tokens, of which nothing is wanted but that what follows
  // follows them: no pooling, and scores from shared + 1 on at the earliest.
  int64_t shared = 0;
  std::function<bool()> cancelled;     // polled from the engine thread; empty: never
  std::optional<int64_t> deadline_ns;  // on the engine's clock
};

// Tokens to compute for what is wanted, what all begin with once.
[[nodiscard]] int64_t TokensToCompute(const TextCall& call);

// kInvalidArgument, kContextFull naming the text, where there is more than one; kInternal for what
// is not shared.
[[nodiscard]] Status CheckTexts(const TextCall& call);

class TextBatch {
 public:
  using Results = std::vector<TextResult>;

  explicit TextBatch(TextCall call);

  // The asking thread.
  // Whether the results are there, waiting at most so long for them.
  [[nodiscard]] bool Wait(std::chrono::nanoseconds timeout) const {
    return future_.wait_for(timeout) == std::future_status::ready;
  }
  // Waits for the results; once.
  [[nodiscard]] Result<Results> Take() { return future_.get(); }
  // TokensToCompute(), and how many of them are.
  [[nodiscard]] int64_t tokens() const { return tokens_; }
  [[nodiscard]] int64_t computed() const { return computed_; }

  // Engine thread.
  [[nodiscard]] ModelRunner& runner() const { return *call_.runner; }
  [[nodiscard]] size_t size() const { return call_.texts.size(); }
  [[nodiscard]] const Text& text(size_t index) const { return call_.texts[index]; }
  [[nodiscard]] int64_t shared() const { return call_.shared; }
  [[nodiscard]] TextResult& result(size_t index) { return results_[index]; }
  // kCancelled or kDeadline when nobody wants it any more.
  [[nodiscard]] Status CheckWanted(int64_t now_ns) const noexcept;
  void CountComputed(int64_t tokens) { computed_ += tokens; }
  // Hands the results, or the failure, to whoever waits. Allocates nothing.
  void Finish(Status status) noexcept;

 private:
  const TextCall call_;
  int64_t tokens_ = 0;
  std::atomic<int64_t> computed_ = 0;
  Results results_;
  std::promise<Result<Results>> promise_;
  std::future<Result<Results>> future_;
};

// Engine thread, once made.
class TextJob {
 public:
  // A text of the batch.
  TextJob(std::shared_ptr<TextBatch> batch, size_t index);
  // What they all begin with.
  explicit TextJob(std::shared_ptr<TextBatch> batch);

  [[nodiscard]] TextBatch& batch() const { return *batch_; }
  [[nodiscard]] ModelRunner& runner() const { return batch_->runner(); }
  [[nodiscard]] const kv::SequenceCache& cache() const { return cache_; }
  // Tokens still to compute.
  [[nodiscard]] int64_t pending() const { return length_ - cache_.length(); }
  // It has computed nothing, or has lost it: it can go on from what all begin with.
  [[nodiscard]] bool at_beginning() const { return cache_.length() == 0; }
  void GoOnFrom(const TextJob& beginning) { cache_ = beginning.cache_.Fork(); }

  // Pages for the next `count` tokens, all or nothing.
  [[nodiscard]] Status Reserve(int64_t count) { return cache_.Reserve(cache_.length() + count); }
  // What a pass over these tokens is to give. Good until the next call.
  [[nodiscard]] Slice Wish(int64_t count);
  // The pass was made: takes what it gave, hidden states from the index-th on, and commits.
  // kCorrupt for what is not a number.
  [[nodiscard]] Status Take(int32_t index);
  void Rollback() { cache_.Rollback(); }
  // Gives up its pages, to be computed again; what was taken stays.
  void Preempt() noexcept { cache_.Clear(); }

 private:
  [[nodiscard]] const Text& text() const { return batch_->text(index_); }
  [[nodiscard]] Scores WishScores(int64_t begin, int64_t end);
  [[nodiscard]] HiddenRows WishHidden(int64_t begin, int64_t end) const;
  void Pool(std::span<const float> hidden);
  void EndPooling();

  const std::shared_ptr<TextBatch> batch_;
  const size_t index_;
  const int64_t length_;
  const bool wanted_ = true;  // not a beginning, of which nothing is
  kv::SequenceCache cache_;
  int64_t taken_;  // positions whose results have been taken
  Slice wish_;
  std::vector<double> logprobs_;  // of the wish
  std::vector<double> sums_;      // of hidden states, for their mean
};

}  // namespace mirage::engine
