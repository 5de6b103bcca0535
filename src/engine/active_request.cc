// SPDX-License-Identifier: Apache-2.0
#include "engine/active_request.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

namespace mirage::engine {

namespace {

// Guesses of text that a constraint leaves no choice about, whether others are wanted or not.
constexpr int64_t kMostForced = 16;

// Common tokens that are worth waiting a step for, instead of computing them twice in it.
constexpr int64_t kWorthWaitingFor = 2 * kernels::kPageTokens;

}  // namespace

ActiveRequest::ActiveRequest(RequestOptions options, sample::Sampler sampler,
                             std::shared_ptr<Request::State> state)
    : options_(std::move(options)),
      sampler_(std::move(sampler)),
      state_(std::move(state)),
      draft_length_(options_.most_guesses),
      forced_length_(kMostForced) {}

Status ActiveRequest::Begin(int64_t now_ns) {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  if (seq.busy_) return Fail(Code::kBusy, "a generation runs on the session");
  start_length_ = static_cast<int64_t>(seq.tokens_.size());
  output_begin_ = start_length_ + static_cast<int64_t>(options_.prompt.size());
  if (output_begin_ == 0)
    return Fail(Code::kInvalidArgument,
                "nothing to go on from: the prompt and the session are empty");
  if (output_begin_ >= seq.context_limit())
    return Fail(Code::kContextFull, std::to_string(output_begin_) +
                                        " tokens leave no room for output in a context of " +
                                        std::to_string(seq.context_limit()));
  const int64_t first_scored = options_.prompt_logprobs_first;
  if (options_.prompt_logprobs > 0 && (first_scored < 1 || first_scored > output_begin_))
    return Fail(Code::kInvalidArgument, "prompt_logprobs_first is " + std::to_string(first_scored) +
                                            "; with a prompt of " + std::to_string(output_begin_) +
                                            " tokens it is 1 to as many");
  seq.ComputeWith(model::IdOf(adapters()));  // without memory for the rest, time is lost alone
  seq.tokens_.insert(seq.tokens_.end(), options_.prompt.begin(), options_.prompt.end());
  seq.before_shifts_.reset();
  seq.busy_ = true;
  // Logits come from computing a token: with everything cached the newest one is computed again,
  // and with scores wanted all from the one before the first of them.
  int64_t most_cached = output_begin_ - 1;
  if (options_.prompt_logprobs > 0 && first_scored < output_begin_) {
    prompt_scores_.emplace(first_scored, output_begin_,
                           std::min(options_.prompt_logprobs, runner().vocabulary()));
    most_cached = prompt_scores_->most_cached();
  }
  if (seq.cache_.length() > most_cached) seq.cached_length_ = seq.cache_.Truncate(most_cached);
  const auto prompt_tokens = static_cast<int64_t>(std::exchange(options_.prompt, {}).size());
  state_->UpdateStats([&](RequestStats& stats) {
    stats.prompt_tokens = prompt_tokens;
    stats.cached_tokens = seq.cache_.length();
    stats.submitted_ns = now_ns;
  });
  return {};
}

void ActiveRequest::Withdraw() noexcept {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  seq.tokens_.resize(static_cast<size_t>(start_length_));
  seq.cached_length_ = seq.cache_.Truncate(start_length_);
  seq.busy_ = false;
}

int64_t ActiveRequest::pending() const {
  return static_cast<int64_t>(sequence().tokens_.size()) - sequence().cache_.length();
}

std::span<const int32_t> ActiveRequest::PendingTokens(int64_t count) const {
  return std::span<const int32_t>(sequence().tokens_)
      .subspan(static_cast<size_t>(sequence().cache_.length()), static_cast<size_t>(count));
}

void ActiveRequest::Guess(int64_t streams, int64_t now_ns) {
  guesses_.clear();
  if (model_draft_) model_draft_->Stop();
  if (options_.external_sampler || pending() != 1) return;
  if (options_.most_guesses == 0 && options_.constraint == nullptr) return;
  const std::vector<int32_t>& tokens = sequence().tokens_;
  // What is guessed and the token after it must fit; the last one is never computed.
  int64_t room = sequence().context_limit() - static_cast<int64_t>(tokens.size()) - 1;
  if (options_.max_tokens > 0) room = std::min(room, options_.max_tokens - produced_ - 1);
  const StepCost& cost = runner().step_cost;
  try {
    if (options_.constraint != nullptr && room > 0)
      guesses_ = options_.constraint->Forced(std::min(room, kMostForced));
    guesses_forced_ = !guesses_.empty();
    const bool by_model = !guesses_forced_ && options_.draft_model != nullptr;
    DraftLength& length = guesses_forced_ ? forced_length_ : draft_length_;
    const double share = by_model ? cost.GuessShare(streams, options_.draft_model->step_cost)
                                  : cost.PerTokenShare(streams);
    const int64_t count = std::min(room, length.Next(share));
    if (guesses_forced_) {
      guesses_.resize(std::min(guesses_.size(), static_cast<size_t>(count)));
    } else if (by_model && count > 0) {
      if (!model_draft_) model_draft_.emplace(options_.draft_model, sequence().sharing_);
      model_draft_->Begin(tokens, count, now_ns);
    } else if (count > 0) {
      draft_.Sync(tokens);
      guesses_ = draft_.Propose(tokens, count);
      if (options_.constraint != nullptr)
        guesses_.resize(static_cast<size_t>(options_.constraint->CountAllowed(guesses_)));
    }
  } catch (const std::bad_alloc&) {  // a step without guesses is as good, only shorter
    guesses_.clear();
    draft_.Clear();
    GiveUpDraft();
  }
}

DraftWish ActiveRequest::MakeDraftWish() {
  DraftWish wish;
  wish.draft = &*model_draft_;
  wish.sampler = &sampler_;
  wish.context = DrawNext();
  wish.stop_tokens = options_.stop_tokens;
  return wish;
}

void ActiveRequest::TakeDraft() {
  if (model_draft_->cache().length() == 0) draft_length_.Rest();  // there are no pages for it
  const std::span<const int32_t> drafted = model_draft_->guesses();
  guesses_.assign(drafted.begin(), drafted.end());
  if (options_.constraint != nullptr)
    guesses_.resize(static_cast<size_t>(options_.constraint->CountAllowed(guesses_)));
}

bool ActiveRequest::GiveUpDraft() noexcept {
  if (!model_draft_) return false;
  const bool had = model_draft_->cache().length() > 0;
  model_draft_->GiveUp();
  if (had) draft_length_.Rest();
  return had;
}

void ActiveRequest::EndDraft() noexcept {
  guesses_.clear();
  model_draft_.reset();
  options_.draft_model.reset();
}

std::span<const int32_t> ActiveRequest::PassTokens(int64_t count, int64_t guesses) {
  const std::span<const int32_t> pending_tokens = PendingTokens(count);
  if (guesses == 0) return pending_tokens;
  pass_tokens_.assign(pending_tokens.begin(), pending_tokens.end());
  pass_tokens_.insert(pass_tokens_.end(), guesses_.begin(), guesses_.begin() + guesses);
  return pass_tokens_;
}

Scores ActiveRequest::PromptWish(int64_t count) {
  if (!prompt_scores_) return {};
  return prompt_scores_->Wish(sequence().tokens_, cache().length(), count);
}

Status ActiveRequest::GivePromptPart() {
  if (!prompt_scores_) return {};
  Output output;
  output.kind = Output::Kind::kPrompt;
  MIRAGE_TRY_ASSIGN(output.prompt, prompt_scores_->Take());
  if (prompt_scores_->done()) prompt_scores_.reset();
  if (output.prompt != nullptr) state_->Push(std::move(output));
  return {};
}

bool ActiveRequest::CameTrue(int64_t index) const {
  return !last_ && !paused() && sequence().tokens_.back() == guesses_[static_cast<size_t>(index)];
}

void ActiveRequest::EndGuesses(int64_t checked, int64_t accepted) {
  guesses_.clear();
  if (checked == 0) return;
  (guesses_forced_ ? forced_length_ : draft_length_).Learn(checked, accepted);
  state_->UpdateStats([&](RequestStats& stats) {
    stats.guessed_tokens += checked;
    stats.accepted_tokens += accepted;
  });
}

bool ActiveRequest::TakePrompt() {
  if (options_.prompt_from == nullptr) return true;
  const Sequence& from = *options_.prompt_from;
  Sequence& seq = sequence();
  int64_t gained = 0;
  try {
    kv::SequenceCache taken;
    {
      const std::lock_guard lock(from.mutex_);
      const bool alike = from.adapters_ == seq.adapters_;
      const int64_t same = std::mismatch(seq.tokens_.begin(), seq.tokens_.end(),
                                         from.tokens_.begin(), from.tokens_.end())
                               .first -
                           seq.tokens_.begin();
      // One that has shifted holds the prompt no longer.
      if (alike && from.busy_ && same >= output_begin_ && from.cache_.length() < output_begin_)
        return false;
      taken = from.cache_.Fork();
      // The newest token is computed in any case: logits come from that.
      taken.Truncate(alike ? std::min(same, output_begin_ - 1) : 0);
    }
    gained = taken.length() - seq.cache_.length();
    if (gained > 0) {
      const std::lock_guard lock(seq.mutex_);
      seq.cache_ = std::move(taken);
      seq.cached_length_ = seq.cache_.length();
    }
  } catch (const std::bad_alloc&) {  // then it computes the prompt itself
  }
  options_.prompt_from.reset();
  if (gained > 0) state_->UpdateStats([&](RequestStats& stats) { stats.cached_tokens += gained; });
  return true;
}

void ActiveRequest::FindPrefix(int64_t now_ns) {
  Sequence& seq = sequence();
  if (!seq.sharing_.enabled || pending() <= 1) return;
  // The newest token is computed in any case, and the one before each that is to be scored: logits
  // come from that.
  const auto length = static_cast<int64_t>(seq.tokens_.size());
  const int64_t most = prompt_scores_ ? prompt_scores_->most_cached() : length - 1;
  if (most <= seq.cache_.length()) return;
  int64_t gained = 0;
  {
    const std::lock_guard lock(seq.mutex_);
    gained = runner().prefixes().Find(seq.shared_as_.salt,
                                      std::span(seq.tokens_).first(static_cast<size_t>(most)),
                                      now_ns, &seq.cache_);
    seq.cached_length_ = seq.cache_.length();
  }
  if (gained > 0 && !recomputing_)
    state_->UpdateStats([&](RequestStats& stats) { stats.cached_tokens += gained; });
}

bool ActiveRequest::ForgetTail() {
  return sequence().sharing_.enabled && runner().prefixes().ForgetTail(cache());
}

bool ActiveRequest::Follows(const ActiveRequest& other) const {
  const Sequence& mine = sequence();
  const Sequence& theirs = other.sequence();
  if (&runner() != &other.runner() || !mine.sharing_.enabled || !theirs.sharing_.enabled ||
      mine.shared_as_.salt != theirs.shared_as_.salt || prompt_scores_)
    return false;
  if (pending() <= kWorthWaitingFor || other.pending() <= kWorthWaitingFor) return false;
  const int64_t wanted = cache().length() + kWorthWaitingFor;
  const auto [mine_end, theirs_end] = std::mismatch(mine.tokens_.begin(), mine.tokens_.end(),
                                                    theirs.tokens_.begin(), theirs.tokens_.end());
  return mine_end - mine.tokens_.begin() >= wanted;
}

int64_t ActiveRequest::MostAfter(int64_t tokens) const {
  const int64_t room = sequence().context_limit() - tokens;
  const int64_t wanted = options_.max_tokens < 0 ? room : options_.max_tokens - produced_;
  return std::clamp<int64_t>(wanted, 0, std::max<int64_t>(0, room));
}

int64_t ActiveRequest::most_left() const {
  return MostAfter(static_cast<int64_t>(sequence().tokens_.size()));
}

Status ActiveRequest::CheckCanFit(uint64_t most) const {
  return CheckFits(static_cast<int64_t>(sequence().tokens_.size()), most);
}

Status ActiveRequest::CheckWillFit(uint64_t most) const {
  const int64_t tokens = sequence().length() + static_cast<int64_t>(options_.prompt.size());
  // What else is wrong is said by Begin.
  if (sequence().busy() || tokens >= sequence().context_limit()) return {};
  return CheckFits(tokens, most);
}

Status ActiveRequest::CheckFits(int64_t tokens, uint64_t most) const {
  const kv::PagePool& pages = runner().pages();
  const uint64_t needed = pages.LeastBytesFor(tokens);
  if (needed <= most) return {};
  const int64_t all = tokens + MostAfter(tokens);
  return OutOfMemory("keys and values of " + std::to_string(tokens) + " tokens need " +
                         std::to_string(needed) + " bytes, of the " + std::to_string(all) +
                         " they may become " + std::to_string(pages.LeastBytesFor(all)) +
                         "; at most " + std::to_string(most) + " could be had",
                     pages.LeastBytesFor(all), most);
}

Status ActiveRequest::Reserve(int64_t count, int64_t guesses, kv::Snapshots snapshots) {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  const int64_t settled = seq.cache_.length() + count;
  return seq.cache_.Reserve(settled + guesses, settled, snapshots);
}

void ActiveRequest::Rollback() {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  seq.cache_.Rollback();
}

// Remembered before the commit, which lets go of pages a window has passed.
void ActiveRequest::CommitTokens(int64_t count, int64_t now_ns) {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  const int64_t begin = seq.cache_.length();
  const int64_t end = begin + count;
  if (begin / kernels::kPageTokens != end / kernels::kPageTokens) Remember(end, false, now_ns);
  seq.cache_.Commit(end);
  seq.cached_length_ = end;
  if (pending() <= 1) recomputing_ = false;
}

void ActiveRequest::Remember(int64_t count, bool with_partial, int64_t now_ns) noexcept {
  Sequence& seq = sequence();
  if (!seq.sharing_.enabled || seq.from_outside_) return;
  runner().prefixes().Insert(seq.shared_as_.salt,
                             std::span(seq.tokens_).first(static_cast<size_t>(count)), with_partial,
                             now_ns, &seq.cache_);
}

bool ActiveRequest::DropSnapshots() {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  return seq.cache_.DropSnapshots();
}

bool ActiveRequest::DropCache() noexcept {
  Sequence& seq = sequence();
  const std::lock_guard lock(seq.mutex_);
  const bool any = seq.cache_.length() > 0;
  seq.cache_.Clear();
  seq.cached_length_ = 0;
  return any;
}

void ActiveRequest::Preempt() noexcept {
  recomputing_ = true;
  DropCache();
  state_->UpdateStats([](RequestStats& stats) { ++stats.preemptions; });
}

Status ActiveRequest::SwapOut(memory::SwapSpace& space) {
  Sequence& seq = sequence();
  {
    const std::lock_guard lock(seq.mutex_);
    MIRAGE_TRY_ASSIGN(swapped_, SwappedCache::Leave(space, runner().pages(), &seq.cache_));
    seq.cached_length_ = 0;
  }
  recomputing_ = true;
  state_->UpdateStats([](RequestStats& stats) { ++stats.preemptions; });
  return {};
}

void ActiveRequest::TakeSwapped() {
  Sequence& seq = sequence();
  if (swapped_->place() == SwappedCache::Place::kBack) {
    const std::lock_guard lock(seq.mutex_);
    seq.cache_ = swapped_->Take();
    seq.cached_length_ = seq.cache_.length();
    if (pending() <= 1) recomputing_ = false;
  }
  swapped_.reset();
}

bool ActiveRequest::must_shift() const {
  return options_.shift_keep &&
         static_cast<int64_t>(sequence().tokens_.size()) >= sequence().context_limit();
}

// Not while its reader keeps it waiting: that may be the end of it.
bool ActiveRequest::Shift() {
  if (!must_shift() || paused()) return false;
  Sequence& seq = sequence();
  const auto length = static_cast<int64_t>(seq.tokens_.size());
  const int64_t keep = *options_.shift_keep;
  const int64_t dropped = std::max<int64_t>(1, (length - keep) / 2);
  swapped_.reset();  // of tokens that it will not hold
  {
    const std::lock_guard lock(seq.mutex_);
    if (keep < start_length_ && !seq.before_shifts_)
      seq.before_shifts_.emplace(seq.tokens_.begin(), seq.tokens_.begin() + start_length_);
    seq.tokens_.erase(seq.tokens_.begin() + keep, seq.tokens_.begin() + keep + dropped);
    // Logits come from computing a token: the newest one is computed in any case.
    seq.cached_length_ = seq.cache_.Truncate(std::min(keep, length - dropped - 1));
  }
  if (output_begin_ > keep) output_begin_ = std::max(keep, output_begin_ - dropped);
  shifted_out_ += dropped;
  draft_.Clear();
  recomputing_ = true;
  state_->UpdateStats([&](RequestStats& stats) {
    ++stats.shifts;
    stats.dropped_tokens += dropped;
  });
  return true;
}

sample::DrawContext ActiveRequest::DrawNext() const {
  sample::DrawContext context;
  context.history = sequence().tokens_;
  context.output_begin = static_cast<size_t>(output_begin_);
  context.position = static_cast<int64_t>(sequence().tokens_.size()) + shifted_out_;
  context.sample_index = options_.sample_index;
  context.mirostat_mu = mirostat_mu_;
  if (produced_ < options_.min_tokens) context.forbidden = options_.stop_tokens;
  return context;
}

Status ActiveRequest::Sample(std::span<float> logits, sample::Workspace& workspace,
                             int64_t now_ns) {
  if (options_.external_sampler) {
    Output output;
    output.kind = Output::Kind::kLogits;
    output.logits.assign(logits.begin(), logits.end());
    awaiting_accept_ = true;
    state_->Push(std::move(output));
    return {};
  }
  sample::DrawContext context = DrawNext();
  context.logprobs = options_.logprobs;
  if (options_.constraint != nullptr) {
    MIRAGE_TRY_ASSIGN(context.grammar, options_.constraint->Allowed());
  }
  MIRAGE_TRY_ASSIGN(sample::Choice choice, sampler_.Sample(logits, context, workspace));
  mirostat_mu_ = choice.mirostat_mu;
  bool complete = false;
  if (options_.constraint != nullptr) {
    MIRAGE_TRY_ASSIGN(complete, options_.constraint->Push(choice.token));
  }
  Produce(std::move(choice), complete, now_ns);
  return {};
}

void ActiveRequest::TakeAccepted(int64_t now_ns) {
  if (!awaiting_accept_) return;
  const std::optional<int32_t> token = state_->TakeAccepted();
  if (!token) return;
  awaiting_accept_ = false;
  sample::Choice choice;
  choice.token = *token;
  Produce(std::move(choice), false, now_ns);
}

void ActiveRequest::Produce(sample::Choice choice, bool complete, int64_t now_ns) {
  const int32_t token = choice.token;
  {
    const std::lock_guard lock(sequence().mutex_);
    sequence().tokens_.push_back(token);
  }
  ++produced_;
  Output output;
  output.choice = std::move(choice);
  output.stop_token = std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(), token) !=
                      options_.stop_tokens.end();
  if (output.stop_token || complete || (options_.stop_rule && options_.stop_rule->Push(token)))
    last_ = Finish::kStop;
  else if (produced_ == options_.max_tokens ||
           (!options_.shift_keep &&
            static_cast<int64_t>(sequence().tokens_.size()) >= sequence().context_limit()))
    last_ = Finish::kLength;
  state_->UpdateStats([&](RequestStats& stats) {
    stats.output_tokens = produced_;
    stats.last_token_ns = now_ns;
    if (stats.first_token_ns == 0) stats.first_token_ns = now_ns;
  });
  state_->Push(std::move(output));
}

std::optional<Finish> ActiveRequest::Ending(int64_t now_ns) const {
  if (last_) return last_;
  if (state_->cancelled()) return Finish::kCancelled;
  if (options_.deadline_ns && now_ns >= *options_.deadline_ns) return Finish::kDeadline;
  return std::nullopt;
}

void ActiveRequest::End(Finish finish, Error error, int64_t now_ns) noexcept {
  if (options_.sequence == nullptr) return;
  swapped_.reset();  // its pages are of the sequence's pool
  {
    Sequence& seq = sequence();
    const std::lock_guard lock(seq.mutex_);
    seq.cache_.Rollback();
    // What a cancelled or failed prompt left half computed stays as tokens; the next request
    // computes the rest.
    if (finish == Finish::kCancelled && state_->cancelled() == CancelMode::kRollback)
      seq.Restore(start_length_);
    Remember(seq.cache_.length(), true, now_ns);
    seq.cached_length_ = seq.cache_.length();
    if (model_draft_) model_draft_->End(seq.tokens_, now_ns);
    seq.busy_ = false;
  }
  model_draft_.reset();
  options_.draft_model.reset();
  options_.adapters.reset();
  options_.sequence.reset();
  options_.constraint.reset();
  state_->Finish(finish, std::move(error));
}

}  // namespace mirage::engine
