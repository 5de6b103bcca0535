// SPDX-License-Identifier: Apache-2.0
#pragma once

// Request: one generation as the engine sees it, integers only.
//
// The caller keeps a shared_ptr and reads outputs; the engine thread produces them into a bounded
// queue. A full queue pauses this request alone. Cancel, stats and reading are safe from any
// thread; there is one reader at a time. Dropping the last reference cancels the request.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "engine/prompt_scores.h"
#include "engine/sequence.h"
#include "model/adapter_set.h"
#include "sample/params.h"
#include "sample/sampler.h"

namespace mirage::engine {

enum class Finish : int32_t {
  kNone = 0,
  kStop = 1,
  kLength = 2,
  kCancelled = 3,
  kDeadline = 4,
  kError = 5
};

enum class CancelMode : int32_t {
  kStop = 0,      // keeps what was produced
  kRollback = 1,  // the sequence is as it was before the request
};

// A stop rule compiled by a room that knows text. Called on the engine thread, once per token in
// order.
class StopRule {
 public:
  virtual ~StopRule() = default;
  // True when the request ends with this token.
  [[nodiscard]] virtual bool Push(int32_t token) = 0;
};

// Outputs a reader may lag behind before the request pauses.
inline constexpr size_t kQueueCapacity = 256;

struct RequestOptions {
  std::shared_ptr<Sequence> sequence;  // idle; the request is its only user until finished
  std::vector<int32_t>
      prompt;  // appended to the sequence; may be empty only if the sequence is not
  // Another request's, submitted before, which comes to hold the same tokens: what that one has
  // computed of them when it comes to its first output is taken over instead of computed.
  std::shared_ptr<const Sequence> prompt_from;
  std::shared_ptr<const model::AdapterSet> adapters;  // of the sequence's model; null: none
  sample::Params sampling;
  uint32_t sample_index = 0;      // of several answers to one prompt, which: keys the draws
  bool external_sampler = false;  // outputs are logits, answered by Accept
  int64_t min_tokens = 0;         // before these were produced no stop token is drawn
  int64_t max_tokens = -1;        // -1: until the context is full
  // When the context is full the older half of the tokens after the first `shift_keep` is dropped
  // and it goes on; nothing: it ends. Below the sequence's context_limit.
  std::optional<int64_t> shift_keep;
  std::vector<int32_t> stop_tokens;  // the end-of-generation set; empty to ignore it
  std::unique_ptr<StopRule> stop_rule;
  std::unique_ptr<Constraint> constraint;  // not with external_sampler; null: all tokens may come
  int logprobs = 0;
  // Likeliest tokens to give with each token of the prompt, from one on that is counted from the
  // beginning of the sequence: at least 1, at most where the output begins. 0: nothing is given.
  int prompt_logprobs = 0;
  int64_t prompt_logprobs_first = 1;
  int64_t most_guesses = 0;  // tokens guessed ahead in a step and checked by the model; 0: none
  // Guesses; null: guesses come from what was said before.
  std::shared_ptr<ModelRunner> draft_model;
  std::optional<int64_t> deadline_ns;  // on the engine's clock
  int32_t priority = 0;                // those of higher ones come first
  size_t queue_capacity = kQueueCapacity;
};

struct Output {
  enum class Kind { kPrompt, kToken, kLogits, kDone };
  Kind kind = Kind::kToken;
  std::shared_ptr<const PromptPart> prompt;  // kPrompt
  sample::Choice choice;                     // kToken
  bool stop_token = false;                   // kToken: it is of the end-of-generation set
  std::vector<float> logits;                 // kLogits: [vocabulary]
  Finish finish = Finish::kNone;             // kDone
  Error error;                               // kDone with Finish::kError
};

struct RequestStats {
  int64_t prompt_tokens = 0;  // given
  int64_t cached_tokens = 0;  // of sequence and prompt, not computed again
  int64_t output_tokens = 0;
  int64_t guessed_tokens = 0;   // checked ahead
  int64_t accepted_tokens = 0;  // of these, those that came true
  int64_t submitted_ns = 0;     // on the engine's clock, as all of these
  int64_t first_step_ns = 0;    // 0 until it happened
  int64_t first_token_ns = 0;
  int64_t last_token_ns = 0;
  int64_t waits_for_pages = 0;  // steps it was left out of for want of pages
  int64_t preemptions = 0;      // times its pages were taken, to be computed again or read back
  int64_t shifts = 0;           // times the context was full and its older half was dropped
  int64_t dropped_tokens = 0;   // in these
};

class Request {
 public:
  struct State;
  explicit Request(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // The next output, waiting at most `timeout` (negative: forever). nullopt on time-out. After
  // kDone it gives kDone again.
  [[nodiscard]] std::optional<Output> Next(std::chrono::nanoseconds timeout);
  // Waits for the last output, dropping those before it. Allocates nothing.
  void Drain() noexcept;
  // Whether Next would return at once.
  [[nodiscard]] bool ready() const;
  // `callback` runs under no lock, on the thread that caused it, whenever Next may have become
  // ready, and once now. It must be quick. An empty callback ends this; the old one may still be
  // running when the call returns.
  void OnReady(std::function<void()> callback);

  void Cancel(CancelMode mode);
  // Answers kLogits. kInvalidArgument when none is outstanding or the token is not in the
  // vocabulary.
  [[nodiscard]] Status Accept(int32_t token);

  [[nodiscard]] RequestStats stats() const;
  [[nodiscard]] bool finished() const;  // kDone was produced, read or not
  [[nodiscard]] Finish finish() const;  // kNone until then

 private:
  std::shared_ptr<State> state_;
};

}  // namespace mirage::engine
