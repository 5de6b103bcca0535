// SPDX-License-Identifier: Apache-2.0

#include "session/session.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "platform/random.h"
#include "session/dry_breakers.h"
#include "session/grammar_constraint.h"
#include "session/runtime.h"

namespace mirage::session {
namespace {

constexpr int kMostLogprobs = 64;
constexpr int32_t kMostSamples = 128;
constexpr int64_t kNanosPerMilli = 1'000'000;

Status CheckTokens(std::span<const int32_t> tokens, int32_t vocabulary, std::string_view what) {
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary)
      return Fail(Code::kInvalidArgument,
                  std::string(what) + " " + std::to_string(i) + " is " + std::to_string(tokens[i]) +
                      ", outside of the vocabulary of " + std::to_string(vocabulary));
  return {};
}

void Append(std::vector<int32_t>& to, std::span<const int32_t> tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

// Milliseconds from `now_ns`; nothing where that is past all times.
std::optional<int64_t> After(int64_t now_ns, int64_t ms) {
  const std::optional<int64_t> ns = CheckedMul(ms, kNanosPerMilli);
  return ns ? CheckedAdd(now_ns, *ns) : std::nullopt;
}

Status CheckCounts(const GenerationOptions& options) {
  if (options.logprobs < 0 || options.logprobs > kMostLogprobs)
    return Fail(Code::kInvalidArgument, "logprobs is " + std::to_string(options.logprobs) +
                                            "; 0 to " + std::to_string(kMostLogprobs) +
                                            " are allowed");
  if (options.samples < 1 || options.samples > kMostSamples)
    return Fail(Code::kInvalidArgument, "samples is " + std::to_string(options.samples) +
                                            "; 1 to " + std::to_string(kMostSamples) +
                                            " are allowed");
  if (options.samples > 1 && options.external_sampler)
    return Fail(Code::kUnsupported, "samples is " + std::to_string(options.samples) +
                                        "; a sampler of the caller's gives one answer at a time");
  if (options.max_tokens < -1)
    return Fail(Code::kInvalidArgument, "max_tokens is " + std::to_string(options.max_tokens));
  return {};
}

// What the samples have in common, but their deadline.
engine::RequestOptions MakeRequest(const GenerationOptions& options,
                                   const text::Tokenizer& tokenizer, const TextStream& text) {
  engine::RequestOptions request;
  request.sampling = options.sampling;
  request.sampling.seed = *options.seed;
  request.external_sampler = options.external_sampler;
  request.min_tokens = options.min_tokens;
  request.max_tokens = options.max_tokens;
  if (!options.ignore_eos) request.stop_tokens = tokenizer.special().end_of_generation;
  Append(request.stop_tokens, options.stop_tokens);
  request.stop_rule = MakeStopRule(text);
  request.logprobs = options.logprobs;
  request.priority = options.priority;
  request.most_guesses = options.draft_tokens;
  return request;
}

}  // namespace

Session::Session(std::shared_ptr<LoadedModel> model, std::shared_ptr<engine::Sequence> sequence)
    : model_(std::move(model)), sequence_(std::move(sequence)) {}

Result<std::shared_ptr<Session>> Session::Create(std::shared_ptr<LoadedModel> model,
                                                 int64_t context, engine::PrefixSharing sharing) {
  MIRAGE_TRY(model->runtime().CheckOpen());
  if (model->runner() == nullptr)
    return Fail(Code::kInvalidArgument,
                "the model was opened without its weights, so it cannot answer");
  const int64_t most = model->runner()->max_context();
  if (context < 0 || context > most)
    return Fail(Code::kInvalidArgument, "a context of " + std::to_string(context) +
                                            " tokens; the model was opened for " +
                                            std::to_string(most));
  auto sequence = std::make_shared<engine::Sequence>(model->runner(), context == 0 ? most : context,
                                                     std::move(sharing));
  return std::shared_ptr<Session>(new Session(std::move(model), std::move(sequence)));
}

Result<std::shared_ptr<Session>> Session::Fork() {
  MIRAGE_TRY(model_->runtime().CheckOpen());
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  if (Status settled = Settle(); !settled && settled.error().code != Code::kBusy)
    return Fail(std::move(settled).error());
  const std::lock_guard lock(mutex_);
  MIRAGE_TRY_ASSIGN(std::shared_ptr<engine::Sequence> sequence, compute->engine.Fork(*sequence_));
  std::shared_ptr<Session> fork(new Session(model_, std::move(sequence)));
  fork->content_ = content_;
  fork->conversation_ = conversation_;
  fork->waiting_ = waiting_;
  return fork;
}

Status Session::Settle() {
  if (!started_.has_value()) return {};
  Run& run = *started_->run;
  if (!run.finished()) {
    // One whose generation was closed is cancelled and ends within a step: worth waiting for.
    if (!run.abandoned() || Dispatcher::OnDispatchThread())
      return Fail(Code::kBusy, "a generation is running on the session");
  }
  const Run::Outcome outcome = run.Collect();
  const std::lock_guard lock(mutex_);
  Conclude(outcome);
  started_.reset();  // not before the answer is part of the conversation
  return {};
}

void Session::Conclude(const Run::Outcome& outcome) {
  if (outcome.undone) {
    // The engine undoes a rollback itself; after an error what was committed is still there.
    Undo(*started_);
    return;
  }
  if (content_ == Content::kConversation && !outcome.text.empty())
    conversation_.AddMessage("assistant", outcome.text);
}

void Session::Undo(Started& started) noexcept {
  static_cast<void>(sequence_->Truncate(std::min(started.computed, sequence_->length())));
  waiting_ = std::move(started.undo);
}

Status Session::BeginChange() {
  MIRAGE_TRY(model_->runtime().CheckOpen());
  return Settle();
}

Status Session::Expect(Content content) const {
  if (content_ == Content::kNothing || content_ == content) return {};
  return Fail(Code::kInvalidArgument,
              content_ == Content::kConversation
                  ? "the session holds a conversation, not plain tokens; clear it first"
                  : "the session holds plain tokens, not a conversation; clear it first");
}

Status Session::AppendMessage(std::string_view role, std::string_view content) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY(model_->RequireChatTemplate());
  const std::lock_guard lock(mutex_);
  MIRAGE_TRY(Expect(Content::kConversation));
  conversation_.AddMessage(role, content);
  content_ = Content::kConversation;
  return {};
}

Status Session::AppendConversation(std::string_view json) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY(model_->RequireChatTemplate());
  const std::lock_guard lock(mutex_);
  MIRAGE_TRY(Expect(Content::kConversation));
  MIRAGE_TRY(conversation_.AddJson(json));
  content_ = Content::kConversation;
  return {};
}

Status Session::AppendText(std::string_view text, text::EncodeOptions options) {
  MIRAGE_TRY(BeginChange());
  if (sequence_->length() > 0 || !waiting_.empty()) options.add_special = false;
  MIRAGE_TRY_ASSIGN(const std::vector<int32_t> tokens, model_->tokenizer()->Encode(text, options));
  const std::lock_guard lock(mutex_);
  return AddWaiting(tokens);
}

Status Session::AppendTokens(std::span<const int32_t> tokens) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY(CheckTokens(tokens, model_->runner()->vocabulary(), "token"));
  const std::lock_guard lock(mutex_);
  return AddWaiting(tokens);
}

Status Session::AddWaiting(std::span<const int32_t> tokens) {
  const int64_t total = sequence_->length() + static_cast<int64_t>(waiting_.size() + tokens.size());
  if (total > sequence_->context_limit())
    return Fail(Code::kContextFull, std::to_string(total) + " tokens; the session holds " +
                                        std::to_string(sequence_->context_limit()));
  MIRAGE_TRY(Expect(Content::kTokens));
  Append(waiting_, tokens);
  content_ = Content::kTokens;
  return {};
}

Result<std::vector<int32_t>> Session::Tokens() {
  MIRAGE_TRY(Settle());
  const std::lock_guard lock(mutex_);
  std::vector<int32_t> tokens = sequence_->tokens();
  Append(tokens, waiting_);
  return tokens;
}

Status Session::Truncate(uint64_t count) {
  MIRAGE_TRY(BeginChange());
  const std::lock_guard lock(mutex_);
  const bool conversation = content_ == Content::kConversation;
  const uint64_t held = conversation ? conversation_.message_count()
                                     : static_cast<uint64_t>(sequence_->length()) + waiting_.size();
  if (count > held)
    return Fail(Code::kInvalidArgument, "cannot keep " + std::to_string(count) + " of " +
                                            std::to_string(held) +
                                            (conversation ? " messages" : " tokens"));
  if (conversation) {
    conversation_.KeepMessages(count);
    return {};
  }
  const auto computed = static_cast<uint64_t>(sequence_->length());
  if (count < computed) MIRAGE_TRY(sequence_->Truncate(static_cast<int64_t>(count)));
  waiting_.resize(count > computed ? count - computed : 0);
  return {};
}

Status Session::Clear() {
  MIRAGE_TRY(BeginChange());
  const std::lock_guard lock(mutex_);
  MIRAGE_TRY(sequence_->Truncate(0));
  waiting_.clear();
  conversation_ = Conversation();
  content_ = Content::kNothing;
  return {};
}

Result<std::vector<int32_t>> Session::Render() const {
  if (content_ != Content::kConversation) return std::vector<int32_t>();
  if (conversation_.message_count() == 0)
    return Fail(Code::kInvalidArgument, "the conversation has no messages");
  return model_->TokenizeConversation(conversation_.ToJson());
}

// What the next run computes. Of a conversation's rendering this is what the sequence does not hold
// already; the part of the sequence that differs is dropped, and comes back to wait if the run is
// undone.
Result<Session::Started> Session::PreparePrompt(const std::vector<int32_t>& rendered) {
  Started started;
  started.undo = waiting_;
  if (content_ == Content::kConversation) {
    MIRAGE_TRY(CheckFits(static_cast<int64_t>(rendered.size())));
    const std::vector<int32_t> computed = sequence_->tokens();
    const int64_t shared = sequence_->CommonPrefix(rendered);
    started.undo.insert(started.undo.begin(), computed.begin() + shared, computed.end());
    started.prompt.assign(rendered.begin() + shared, rendered.end());
    MIRAGE_TRY(sequence_->Truncate(shared));  // last: what is dropped is in `undo`
  } else {
    MIRAGE_TRY(CheckFits(sequence_->length() + static_cast<int64_t>(waiting_.size())));
    started.prompt = waiting_;
  }
  started.computed = sequence_->length();
  return started;
}

Status Session::CheckFits(int64_t tokens) const {
  if (tokens < sequence_->context_limit()) return {};
  return Fail(Code::kContextFull, "a prompt of " + std::to_string(tokens) +
                                      " tokens leaves no room for an answer in a context of " +
                                      std::to_string(sequence_->context_limit()));
}

Result<std::unique_ptr<Generation>> Session::Start(GenerationOptions options) {
  MIRAGE_TRY(model_->runtime().CheckOpen());
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  MIRAGE_TRY(Settle());
  MIRAGE_TRY(CheckTokens(options.stop_tokens, model_->runner()->vocabulary(), "stop token"));
  MIRAGE_TRY(CheckCounts(options));
  MIRAGE_TRY_ASSIGN(const StopMatcher matcher, StopMatcher::Create(options.stop_strings));
  MIRAGE_TRY(CheckDryBreakers(options.dry_breakers));
  if (options.sampling.dry_multiplier > 0) {
    MIRAGE_TRY_ASSIGN(options.sampling.dry_breakers, model_->DryBreakers(options.dry_breakers));
  }
  if (!options.seed.has_value()) {
    MIRAGE_TRY_ASSIGN(options.seed, platform::RandomSeed());
  }
  std::shared_ptr<grammar::TokenMasks> masks;
  if (options.grammar.has_value()) {
    MIRAGE_TRY(CheckTokens(options.grammar->trigger_tokens, model_->runner()->vocabulary(),
                           "trigger token"));
    MIRAGE_TRY_ASSIGN(masks, model_->grammars().Compile(*options.grammar));
  }

  memory::Holding row;
  if (options.external_sampler) {
    MIRAGE_TRY_ASSIGN(row, HoldRow());
  }
  MIRAGE_TRY_ASSIGN(const std::vector<int32_t> rendered, Render());
  std::unique_lock lock(mutex_);
  MIRAGE_TRY_ASSIGN(Started started, PreparePrompt(rendered));
  started.row = std::move(row);
  std::vector<std::shared_ptr<engine::Request>> requests;
  // Whatever fails from here on, the session is as it was.
  const auto take_back = [&] {
    lock.unlock();  // statistics do not wait for a step
    for (const auto& request : requests) request->Cancel(engine::CancelMode::kRollback);
    for (const auto& request : requests) request->Drain();
    lock.lock();
    Undo(started);
  };
  try {
    // An answer to a conversation is a text of its own; a continuation keeps the space it may begin
    // with.
    const TextStream text(model_->tokenizer(), {.text_start = content_ == Content::kConversation},
                          matcher, options.min_tokens);
    if (Status submitted = SubmitSamples(compute->engine, options, started, text, masks, &requests);
        !submitted) {
      take_back();
      return Fail(std::move(submitted).error());
    }
    Runtime& runtime = model_->runtime();
    started.run =
        std::make_shared<Run>(requests, text, runtime.dispatcher(), runtime.delivered_tokens());
    started.run->Watch();
    const auto prompt_tokens = started.computed + static_cast<int64_t>(started.prompt.size());
    auto generation =
        std::make_unique<Generation>(shared_from_this(), started.run, *options.seed, prompt_tokens);
    waiting_.clear();
    started_ = std::move(started);
    return generation;
  } catch (...) {
    take_back();
    throw;
  }
}

Result<std::unique_ptr<engine::Constraint>> Session::Constrain(
    std::shared_ptr<grammar::TokenMasks> masks, const GenerationOptions& options,
    const std::vector<int32_t>& stop_tokens) const {
  ConstraintOptions constraint;
  constraint.stop_tokens = stop_tokens;
  constraint.trigger_tokens = options.grammar->trigger_tokens;
  constraint.vocabulary = static_cast<size_t>(model_->runner()->vocabulary());
  constraint.drop_space =
      content_ == Content::kConversation && model_->tokenizer()->adds_space_prefix();
  return GrammarConstraint::Create(std::move(masks), std::move(constraint));
}

Result<memory::Holding> Session::HoldRow() const {
  Runtime& runtime = model_->runtime();
  const uint64_t bytes = static_cast<uint64_t>(model_->runner()->vocabulary()) * sizeof(float);
  runtime.MakeAvailable(bytes);
  return memory::Holding::Take(runtime.ledger(), memory::Owner::kSessions, bytes,
                               "a row for the caller to choose from");
}

// The first sample runs on the session's own sequence, each further one on a fork of it, and takes
// the prompt from where the first one computes it.
Status Session::SubmitSamples(engine::Engine& engine, const GenerationOptions& options,
                              const Started& started, const TextStream& text,
                              const std::shared_ptr<grammar::TokenMasks>& masks,
                              std::vector<std::shared_ptr<engine::Request>>* requests) const {
  std::vector<std::shared_ptr<engine::Sequence>> sequences = {sequence_};
  for (int32_t i = 1; i < options.samples; ++i) {
    MIRAGE_TRY_ASSIGN(std::shared_ptr<engine::Sequence> fork, engine.Fork(*sequence_));
    sequences.push_back(std::move(fork));
  }
  std::optional<int64_t> deadline_ns;
  if (options.deadline_ms.has_value())
    deadline_ns = After(model_->runtime().clock().NowNs(), *options.deadline_ms);
  requests->reserve(sequences.size());  // one that was submitted is in there
  for (size_t i = 0; i < sequences.size(); ++i) {
    engine::RequestOptions request = MakeRequest(options, *model_->tokenizer(), text);
    request.sequence = std::move(sequences[i]);
    request.prompt = started.prompt;
    request.sample_index = static_cast<uint32_t>(i);
    if (i > 0) request.prompt_from = sequence_;
    request.deadline_ns = deadline_ns;
    if (masks != nullptr) {
      MIRAGE_TRY_ASSIGN(request.constraint, Constrain(masks, options, request.stop_tokens));
    }
    MIRAGE_TRY_ASSIGN(std::shared_ptr<engine::Request> submitted,
                      engine.Submit(std::move(request)));
    requests->push_back(std::move(submitted));
  }
  return {};
}

SessionStats Session::stats() const {
  const std::lock_guard lock(mutex_);
  SessionStats stats;
  stats.messages = conversation_.message_count();
  stats.waiting = static_cast<int64_t>(waiting_.size());
  int64_t computed = sequence_->length();
  if (started_.has_value()) {
    const Run& run = *started_->run;
    stats.busy = !run.finished();
    // As the next call will find it, though nothing has been settled yet.
    if (run.undone()) {
      computed = std::min(computed, started_->computed);
      stats.waiting = static_cast<int64_t>(started_->undo.size());
    } else if (content_ == Content::kConversation && run.has_answer()) {
      ++stats.messages;
    }
  }
  stats.tokens = computed + stats.waiting;
  stats.cached = sequence_->cached_length();
  stats.context = sequence_->context_limit();
  return stats;
}

}  // namespace mirage::session
