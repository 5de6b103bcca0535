// SPDX-License-Identifier: Apache-2.0
#pragma once

// ActiveRequest: a request between Submit and its end, as the engine keeps it.
//
// Made and begun by the submitting thread, the engine thread's alone afterwards.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/model_draft.h"
#include "engine/ngram_draft.h"
#include "engine/prompt_scores.h"
#include "engine/request.h"
#include "engine/request_state.h"
#include "engine/sequence.h"
#include "engine/swapped_cache.h"

namespace mirage::engine {

class ActiveRequest {
 public:
  ActiveRequest(RequestOptions options, sample::Sampler sampler,
                std::shared_ptr<Request::State> state);

  // Claims the sequence and appends the prompt: kBusy, kInvalidArgument, kContextFull. All or
  // nothing.
  [[nodiscard]] Status Begin(int64_t now_ns);
  // Undoes Begin, for a request that never reached the engine.
  void Withdraw() noexcept;

  [[nodiscard]] ModelRunner& runner() const { return *sequence().runner_; }
  [[nodiscard]] Request::State& state() const { return *state_; }
  [[nodiscard]] const kv::SequenceCache& cache() const { return sequence().cache_; }
  [[nodiscard]] const model::AdapterSet* adapters() const { return options_.adapters.get(); }

  // Tokens to compute before the next one can be sampled.
  [[nodiscard]] int64_t pending() const;
  [[nodiscard]] std::span<const int32_t> PendingTokens(int64_t count) const;
  // Guesses what follows, when it only needs its next token and there is memory for it. `streams`:
  // requests of its model that do. With a draft model it only begins to: MakeDraftWish is
  // for GuessTogether, and TakeDraft takes what came of it.
  void Guess(int64_t streams, int64_t now_ns);
  [[nodiscard]] ModelRunner* draft_runner() const { return options_.draft_model.get(); }
  [[nodiscard]] const kv::SequenceCache* draft_cache() const {
    return model_draft_ ? &model_draft_->cache() : nullptr;
  }
  [[nodiscard]] bool wants_draft() const { return model_draft_ && !model_draft_->done(); }
  [[nodiscard]] DraftWish MakeDraftWish();
  void TakeDraft();
  // Its draft model's keys and values go; false when there were none.
  bool GiveUpDraft() noexcept;
  // It goes on without its draft model.
  void EndDraft() noexcept;
  [[nodiscard]] int64_t guesses() const { return static_cast<int64_t>(guesses_.size()); }
  // The tokens of a pass: `count` pending ones, then the first `guesses` guesses. Valid until the
  // next call.
  [[nodiscard]] std::span<const int32_t> PassTokens(int64_t count, int64_t guesses);
  // What is to be learnt of the prompt from a pass over `count` pending tokens. Good until the next
  // call.
  [[nodiscard]] Scores PromptWish(int64_t count);
  // Gives out what the pass that was committed told of the prompt.
  [[nodiscard]] Status GivePromptPart();
  // It waits for its reader or for an answer to its logits.
  [[nodiscard]] bool paused() const { return awaiting_accept_ || state_->Full(); }

  // Takes over what prompt_from holds; false while that is still computing the prompt.
  [[nodiscard]] bool TakePrompt();
  // Takes over what other sequences have computed of its pending tokens.
  void FindPrefix(int64_t now_ns);
  // The model's prefix cache gives up the pages this one is about to write into; false when it has
  // none of them.
  [[nodiscard]] bool ForgetTail();
  // It may as well wait for what `other` is about to compute of their common beginning.
  [[nodiscard]] bool Follows(const ActiveRequest& other) const;

  // Tokens that it may still produce.
  [[nodiscard]] int64_t most_left() const;
  // kOutOfMemory with the numbers when its tokens need more than the `most` bytes that pages could
  // ever take.
  [[nodiscard]] Status CheckCanFit(uint64_t most) const;
  // The same before it has begun: of the sequence with the prompt.
  [[nodiscard]] Status CheckWillFit(uint64_t most) const;
  // Pages for `count` pending tokens and the first `guesses` guesses. All or nothing.
  [[nodiscard]] Status Reserve(int64_t count, int64_t guesses, kv::Snapshots snapshots);
  // Gives back what was reserved.
  void Rollback();
  // `count` pending tokens have been computed.
  void CommitTokens(int64_t count, int64_t now_ns);
  // Gives up what it holds only to go back to; false when there is nothing.
  bool DropSnapshots();
  // Gives up what its sequence held before it started; false when there is nothing.
  bool DropCache() noexcept;
  // Gives up the cache, to be computed again.
  void Preempt() noexcept;
  // The same, but what it holds is written to `space`; an error changes nothing.
  [[nodiscard]] Status SwapOut(memory::SwapSpace& space);
  // What it holds is elsewhere, or on its way; null when it is not.
  [[nodiscard]] SwappedCache* swapped() const { return swapped_.get(); }
  // Takes what came back, or forgets what did not.
  void TakeSwapped();
  // Its context is full, and it goes on only after a shift.
  [[nodiscard]] bool must_shift() const;
  // In a full context drops the oldest tokens that need not be kept, if that is wanted: what
  // follows is what follows the tokens that are left in a sequence that never held others, since
  // all but the kept ones are computed again. True if it did; only a bad_alloc may come out of it,
  // and then nothing has changed.
  [[nodiscard]] bool Shift();
  // It was preempted or shifted and has not caught up since; one that was swapped out is back.
  [[nodiscard]] bool recomputing() const { return recomputing_; }
  // Chooses the next token from logits and produces it, or hands the logits out.
  [[nodiscard]] Status Sample(std::span<float> logits, sample::Workspace& workspace,
                              int64_t now_ns);
  // The token just produced is the index-th guess, and more may follow.
  [[nodiscard]] bool CameTrue(int64_t index) const;
  // Of the first `checked` guesses `accepted` came true; the others are forgotten.
  void EndGuesses(int64_t checked, int64_t accepted);
  // Takes an answer of the caller's own sampler, when there is one.
  void TakeAccepted(int64_t now_ns);

  // Why it must end now, if it must: cancelled, past its deadline, or with its last token produced.
  [[nodiscard]] std::optional<Finish> Ending(int64_t now_ns) const;
  // Ends it: the sequence is idle again before anybody can see that it ended.
  void End(Finish finish, Error error, int64_t now_ns) noexcept;

  [[nodiscard]] std::optional<int64_t> deadline_ns() const { return options_.deadline_ns; }
  [[nodiscard]] int32_t priority() const { return options_.priority; }

  uint64_t number = 0;       // of all requests of the engine, in order of arrival
  uint64_t last_served = 0;  // the number of the last step it took part in, or before which it came
  bool started = false;      // where requests start whole: it may take pages

 private:
  [[nodiscard]] Sequence& sequence() const { return *options_.sequence; }
  // The most tokens that may be produced when there are `tokens`.
  [[nodiscard]] int64_t MostAfter(int64_t tokens) const;
  [[nodiscard]] Status CheckFits(int64_t tokens, uint64_t most) const;
  // Where the next token is drawn.
  [[nodiscard]] sample::DrawContext DrawNext() const;
  // `complete`: by its constraint nothing may follow.
  void Produce(sample::Choice choice, bool complete, int64_t now_ns);
  // Lets others find the first `count` tokens. With the sequence's lock held.
  void Remember(int64_t count, bool with_partial, int64_t now_ns) noexcept;

  RequestOptions options_;
  const sample::Sampler sampler_;
  const std::shared_ptr<Request::State> state_;
  int64_t start_length_ = 0;  // of the sequence before the prompt
  int64_t output_begin_ = 0;  // of the output in the sequence
  int64_t produced_ = 0;
  int64_t shifted_out_ = 0;            // tokens dropped of the sequence
  std::optional<double> mirostat_mu_;  // after the newest token
  bool awaiting_accept_ = false;
  bool recomputing_ = false;
  std::unique_ptr<SwappedCache> swapped_;
  std::optional<PromptScores> prompt_scores_;  // until the prompt is scored
  std::vector<int32_t> guesses_;
  std::vector<int32_t> pass_tokens_;
  NgramDraft draft_;
  std::optional<ModelDraft> model_draft_;  // made with the first guess
  DraftLength draft_length_;
  DraftLength forced_length_;
  bool guesses_forced_ = false;  // by the constraint
  std::optional<Finish> last_;   // the reason the newest token was the last
};

}  // namespace mirage::engine
