// SPDX-License-Identifier: Apache-2.0

#include "session/session.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "platform/random.h"
#include "session/dry_breakers.h"
#include "session/grammar_constraint.h"
#include "session/runtime.h"
#include "session/session_memory.h"
#include "session/token_check.h"
#include "text/unicode.h"

namespace mirage::session {
namespace {

constexpr int kMostLogprobs = 64;
constexpr int32_t kMostSamples = 128;

Status CheckUtf8(std::string_view name, std::string_view what) {
  if (!text::RepairUtf8(name).has_value()) return {};
  return Fail(Code::kInvalidArgument, std::string(what) + " is not UTF-8");
}

void Append(std::vector<int32_t>& to, std::span<const int32_t> tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

Status CheckCounts(const GenerationOptions& options) {
  if (options.logprobs < 0 || options.logprobs > kMostLogprobs)
    return Fail(Code::kInvalidArgument, "logprobs is " + std::to_string(options.logprobs) +
                                            "; 0 to " + std::to_string(kMostLogprobs) +
                                            " are allowed");
  if (options.prompt_logprobs < 0 || options.prompt_logprobs > kMostLogprobs)
    return Fail(Code::kInvalidArgument, "prompt_logprobs is " +
                                            std::to_string(options.prompt_logprobs) + "; 0 to " +
                                            std::to_string(kMostLogprobs) + " are allowed");
  if (options.prompt_logprobs_first < 1)
    return Fail(Code::kInvalidArgument,
                "prompt_logprobs_first is " + std::to_string(options.prompt_logprobs_first) +
                    "; nothing comes before the first token, so it is at least 1");
  if (options.prompt_logprobs == 0 && options.prompt_logprobs_first != 1)
    return Fail(Code::kInvalidArgument, "prompt_logprobs_first is " +
                                            std::to_string(options.prompt_logprobs_first) +
                                            ", but prompt_logprobs is 0");
  if (options.samples < 1 || options.samples > kMostSamples)
    return Fail(Code::kInvalidArgument, "samples is " + std::to_string(options.samples) +
                                            "; 1 to " + std::to_string(kMostSamples) +
                                            " are allowed");
  if (options.samples > 1 && options.external_sampler)
    return Fail(Code::kUnsupported, "samples is " + std::to_string(options.samples) +
                                        "; a sampler of the caller's gives one answer at a time");
  if (options.draft_model != nullptr && options.draft_tokens == 0)
    return Fail(Code::kInvalidArgument, "there is a draft_model, but draft_tokens is 0");
  if (options.max_tokens < -1)
    return Fail(Code::kInvalidArgument, "max_tokens is " + std::to_string(options.max_tokens));
  if (options.strict_max_tokens && options.max_tokens == -1)
    return Fail(Code::kInvalidArgument, "strict_max_tokens is 1 without max_tokens");
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
  if (options.draft_model != nullptr) request.draft_model = options.draft_model->runner();
  return request;
}

bool HasTools(const Conversation& conversation) {
  return !conversation.tools().empty() && conversation.tools() != "[]";
}

// Tools may be described in words that only their template knows: then any name may be one.
std::shared_ptr<const text::ToolSet> ToolsOf(const Conversation& conversation) {
  Result<text::ToolSet> tools = text::ToolSet::Read(conversation.tools());
  return std::make_shared<const text::ToolSet>(tools ? *std::move(tools) : text::ToolSet());
}

// What a prompt ends with, control tokens spelled out: enough for a tag.
std::string EndOf(const text::Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  constexpr size_t kTokens = 16;
  text::Detokenizer detokenizer(tokenizer, {.special = true, .text_start = false});
  std::string end;
  for (const int32_t token : prompt.last(std::min(prompt.size(), kTokens)))
    static_cast<void>(detokenizer.Push(token, &end));
  return end;
}

std::vector<AnswerStream> Answers(const TextStream& text,
                                  const std::shared_ptr<const text::Tokenizer>& tokenizer,
                                  const std::optional<text::AnswerOptions>& reading,
                                  int32_t samples) {
  std::vector<AnswerStream> answers;
  answers.reserve(static_cast<size_t>(samples));
  for (int32_t i = 0; i < samples; ++i) {
    std::optional<text::AnswerOptions> one = reading;
    if (one.has_value()) one->id_seed += static_cast<uint64_t>(i);
    answers.emplace_back(text, tokenizer, std::move(one));
  }
  return answers;
}

}  // namespace

Session::Session(std::shared_ptr<LoadedModel> model, std::shared_ptr<engine::Sequence> sequence,
                 ContextOverflow overflow)
    : model_(std::move(model)), sequence_(std::move(sequence)), overflow_(overflow) {}

Result<std::shared_ptr<Session>> Session::Create(std::shared_ptr<LoadedModel> model,
                                                 SessionOptions options) {
  MIRAGE_TRY(model->runtime().CheckOpen());
  if (model->runner() == nullptr)
    return Fail(Code::kInvalidArgument,
                "the model was opened without its weights, so it cannot answer");
  const int64_t most = model->runner()->max_context();
  if (options.context < 0 || options.context > most)
    return Fail(Code::kInvalidArgument, "a context of " + std::to_string(options.context) +
                                            " tokens; the model was opened for " +
                                            std::to_string(most));
  const int64_t context = options.context == 0 ? most : options.context;
  MIRAGE_TRY(CheckOverflow(options.overflow, context));
  auto sequence =
      std::make_shared<engine::Sequence>(model->runner(), context, std::move(options.sharing));
  std::shared_ptr<Session> session(
      new Session(std::move(model), std::move(sequence), options.overflow));
  MIRAGE_TRY(session->Hold(session->OwnBytes()));
  return session;
}

Result<std::shared_ptr<Session>> Session::Fork() {
  MIRAGE_TRY(model_->runtime().CheckOpen());
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  if (Status settled = Settle(); !settled && settled.error().code != Code::kBusy)
    return Fail(std::move(settled).error());
  MIRAGE_TRY_ASSIGN(std::shared_ptr<engine::Sequence> sequence, compute->engine.Fork(*sequence_));
  std::shared_ptr<Session> fork(new Session(model_, std::move(sequence), overflow_));
  MIRAGE_TRY(fork->Hold(OwnBytes()));
  fork->content_ = content_;
  fork->conversation_ = conversation_;
  fork->waiting_ = waiting_;
  return fork;
}

uint64_t Session::OwnBytes() const {
  const uint64_t tokens = static_cast<uint64_t>(sequence_->length()) + waiting_.size();
  return kSessionBytes + conversation_.heap_bytes() + tokens * kTokenBytes;
}

Status Session::Hold(uint64_t bytes, Runtime::GiveUp give_up) {
  const uint64_t wanted = RoundUp(bytes, kChargeStep);
  if (wanted <= memory_.bytes()) {
    memory_.Shrink(wanted);
    return {};
  }
  MIRAGE_TRY(Touch());
  MIRAGE_TRY_ASSIGN(memory::Holding more, model_->TakeSessionBytes(wanted - memory_.bytes(),
                                                                   "the session's text", give_up));
  memory_.Join(std::move(more));
  return {};
}

// What others are asked to give up is not this session's, as long as there is something else.
Status Session::Touch() {
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  compute->engine.Touch(sequence_);
  return {};
}

void Session::HoldWhatThereIs() noexcept {
  // What an answer's text is too long by is held by the next change, so no session gives up pages.
  static_cast<void>(Guarded([this] { return Hold(OwnBytes(), Runtime::GiveUp::kPrefixes); }));
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
  {
    const std::lock_guard lock(mutex_);
    Conclude(outcome);
    started_.reset();  // not before the answer is part of the conversation
  }
  HoldWhatThereIs();
  return {};
}

void Session::Conclude(const Run::Outcome& outcome) {
  if (outcome.undone) {
    // The engine undoes a rollback itself; after an error what was committed is still there.
    Undo(*started_);
    return;
  }
  if (content_ == Content::kConversation && !outcome.message.empty())
    conversation_.Add(Conversation::OneAnswer(outcome.message));
}

void Session::Undo(Started& started) noexcept {
  sequence_->TakeBack(started.computed);
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
  MIRAGE_TRY(CheckUtf8(role, "the role"));
  return AddToConversation(Conversation::OneMessage(role, content));
}

Status Session::AppendToolResult(std::string_view call_id, std::string_view name,
                                 std::string_view content) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY(CheckUtf8(call_id, "call_id"));
  MIRAGE_TRY(CheckUtf8(name, "name"));
  return AddToConversation(Conversation::OneToolResult(call_id, name, content));
}

Status Session::AppendConversation(std::string_view json) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY_ASSIGN(ConversationJson parts, Conversation::Read(json));
  return AddToConversation(std::move(parts));
}

Status Session::AddToConversation(ConversationJson parts) {
  MIRAGE_TRY(model_->RequireChatTemplate());
  MIRAGE_TRY(Expect(Content::kConversation));
  MIRAGE_TRY(Hold(OwnBytes() + Conversation::HeapBytes(parts)));
  const std::lock_guard lock(mutex_);
  conversation_.Add(std::move(parts));
  content_ = Content::kConversation;
  return {};
}

Status Session::AppendText(std::string_view text, text::EncodeOptions options) {
  MIRAGE_TRY(BeginChange());
  if (!IsEmpty()) options.add_special = false;
  MIRAGE_TRY_ASSIGN(const std::vector<int32_t> tokens, model_->tokenizer()->Encode(text, options));
  return AddWaiting(tokens);
}

Status Session::AppendInfill(const text::InfillText& text) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY_ASSIGN(const std::vector<int32_t> tokens,
                    text::EncodeInfill(*model_->tokenizer(), text, IsEmpty()));
  return AddWaiting(tokens, true);
}

Status Session::AppendTokens(std::span<const int32_t> tokens) {
  MIRAGE_TRY(BeginChange());
  MIRAGE_TRY(CheckTokens(tokens, model_->runner()->vocabulary(), "token"));
  return AddWaiting(tokens);
}

Status Session::AddWaiting(std::span<const int32_t> tokens, bool indivisible) {
  const int64_t total = sequence_->length() + static_cast<int64_t>(waiting_.size() + tokens.size());
  const bool whole = indivisible || overflow_.policy == ContextOverflow::Policy::kError;
  if (whole && total > sequence_->context_limit())
    return Fail(Code::kContextFull, std::to_string(total) + " tokens; the session holds " +
                                        std::to_string(sequence_->context_limit()));
  MIRAGE_TRY(Expect(Content::kTokens));
  MIRAGE_TRY(Hold(OwnBytes() + tokens.size() * kTokenBytes));
  const std::lock_guard lock(mutex_);
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
    HoldWhatThereIs();
    return {};
  }
  const auto computed = static_cast<uint64_t>(sequence_->length());
  if (count < computed) MIRAGE_TRY(sequence_->Truncate(static_cast<int64_t>(count)));
  waiting_.resize(count > computed ? count - computed : 0);
  HoldWhatThereIs();
  return {};
}

Status Session::Clear() {
  MIRAGE_TRY(BeginChange());
  const std::lock_guard lock(mutex_);
  MIRAGE_TRY(sequence_->Truncate(0));
  waiting_.clear();
  conversation_ = Conversation();
  content_ = Content::kNothing;
  HoldWhatThereIs();
  return {};
}

Result<FittedPrompt> Session::FitPrompt(int64_t max_tokens) const {
  const PromptSpace space{overflow_, sequence_->context_limit(), max_tokens,
                          model_->tokenizer()->special().fim_mid};
  if (content_ != Content::kConversation) {
    std::vector<int32_t> tokens = sequence_->tokens();
    Append(tokens, waiting_);
    return FitTokens(std::move(tokens), space);
  }
  if (conversation_.message_count() == 0)
    return Fail(Code::kInvalidArgument, "the conversation has no messages");
  return FitConversation(
      conversation_, [this](const std::string& json) { return model_->TokenizeConversation(json); },
      space);
}

// What the next run computes: of all tokens those that the sequence does not hold already. The part
// of the sequence that differs is dropped, and comes back to wait if the run is undone.
Result<Session::Started> Session::PreparePrompt(const FittedPrompt& whole) {
  MIRAGE_TRY(CheckFits(static_cast<int64_t>(whole.tokens.size())));
  Started started;
  const std::vector<int32_t> computed = sequence_->tokens();
  started.computed = sequence_->CommonPrefix(whole.tokens);
  started.undo.assign(computed.begin() + started.computed, computed.end());
  Append(started.undo, waiting_);
  started.prompt.assign(whole.tokens.begin() + started.computed, whole.tokens.end());
  if (Shifts(whole)) started.shift_keep = whole.keep;
  MIRAGE_TRY(sequence_->Truncate(started.computed));  // last: what is dropped is in `undo`
  return started;
}

Status Session::CheckFits(int64_t tokens) const {
  if (tokens < sequence_->context_limit()) return {};
  return Fail(Code::kContextFull, "a prompt of " + std::to_string(tokens) +
                                      " tokens leaves no room for an answer in a context of " +
                                      std::to_string(sequence_->context_limit()));
}

Status Session::CheckAnswerFits(const FittedPrompt& whole, int64_t answer) const {
  const auto prompt = static_cast<int64_t>(whole.tokens.size());
  const int64_t room = sequence_->context_limit() - prompt;
  if (Shifts(whole) || answer <= room) return {};
  return Fail(Code::kContextFull,
              "an answer of " + std::to_string(answer) + " tokens after a prompt of " +
                  std::to_string(prompt) + " does not fit a context of " +
                  std::to_string(sequence_->context_limit()) + " (strict_max_tokens)");
}

Result<std::unique_ptr<Generation>> Session::Start(GenerationOptions options) {
  MIRAGE_TRY(model_->runtime().CheckOpen());
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  MIRAGE_TRY(Settle());
  MIRAGE_TRY(CheckTokens(options.stop_tokens, model_->runner()->vocabulary(), "stop token"));
  MIRAGE_TRY(CheckCounts(options));
  if (options.draft_model != nullptr) MIRAGE_TRY(model_->CheckDraftModel(*options.draft_model));
  MIRAGE_TRY_ASSIGN(const std::shared_ptr<const model::AdapterSet> adapters,
                    SetOf(options.adapters, *model_));
  MIRAGE_TRY_ASSIGN(const StopMatcher matcher, StopMatcher::Create(options.stop_strings));
  MIRAGE_TRY(CheckDryBreakers(options.dry_breakers));
  if (options.sampling.dry_multiplier > 0) {
    MIRAGE_TRY_ASSIGN(options.sampling.dry_breakers, model_->DryBreakers(options.dry_breakers));
  }
  if (!options.seed.has_value()) {
    MIRAGE_TRY_ASSIGN(options.seed, platform::RandomSeed());
  }
  MIRAGE_TRY(Touch());
  std::shared_ptr<grammar::TokenMasks> masks;
  if (options.grammar.has_value()) {
    MIRAGE_TRY(CheckTokens(options.grammar->trigger_tokens, model_->runner()->vocabulary(),
                           "trigger token"));
    MIRAGE_TRY_ASSIGN(masks, model_->grammars().Compile(*options.grammar));
  }

  MIRAGE_TRY_ASSIGN(const FittedPrompt whole, FitPrompt(options.max_tokens));
  if (options.strict_max_tokens) MIRAGE_TRY(CheckAnswerFits(whole, options.max_tokens));
  std::string echo;
  if (options.echo) echo = TextOf(*model_->tokenizer(), whole.tokens);
  const std::optional<text::AnswerOptions> reading = ReadingOf(options, whole.tokens);
  MIRAGE_TRY_ASSIGN(memory::Holding memory,
                    HoldRun(options, static_cast<int64_t>(whole.tokens.size()), echo.size(),
                            reading.has_value()));
  std::unique_lock lock(mutex_);
  MIRAGE_TRY_ASSIGN(Started started, PreparePrompt(whole));
  started.memory = std::move(memory);
  started.tells_apart = reading.has_value();
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
                          matcher, options.min_tokens, reading.has_value());
    if (Status submitted =
            SubmitSamples(compute->engine, options, started, text, masks, adapters, &requests);
        !submitted) {
      take_back();
      return Fail(model_->runtime().AsLimit(std::move(submitted).error()));
    }
    started.run = std::make_shared<Run>(
        requests, Answers(text, model_->tokenizer(), reading, options.samples), model_->runtime(),
        std::move(echo));
    started.run->Watch();
    const Generation::Prompt prompt{static_cast<int64_t>(whole.tokens.size()), whole.dropped};
    auto generation =
        std::make_unique<Generation>(shared_from_this(), started.run, *options.seed, prompt);
    waiting_.clear();
    started_ = std::move(started);
    return generation;
  } catch (...) {
    take_back();
    throw;
  }
}

std::optional<text::AnswerOptions> Session::ReadingOf(const GenerationOptions& options,
                                                      std::span<const int32_t> prompt) const {
  const bool conversation = content_ == Content::kConversation;
  text::AnswerOptions reading;
  if (options.answer_format.has_value())
    reading.format = *options.answer_format;
  else if (conversation)
    reading.format = model_->answer_format();
  const bool has_tools = HasTools(conversation_);
  reading.calls = options.answer_format.has_value() || has_tools;
  if (!reading.calls && !reading.format.marks_all()) reading.format.calls = text::CallFormat::kNone;
  if (reading.format.plain()) return std::nullopt;
  if (has_tools) reading.tools = ToolsOf(conversation_);
  reading.in_reasoning =
      text::OpensReasoning(EndOf(*model_->tokenizer(), prompt), reading.format.reasoning);
  // Another for each answer of a conversation, be its seed the same.
  reading.id_seed = *options.seed ^ static_cast<uint64_t>(prompt.size()) << 32;
  return reading;
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

// With a context that shifts an answer may become longer than this: its text is held when it has
// ended.
Result<memory::Holding> Session::HoldRun(const GenerationOptions& options, int64_t prompt_tokens,
                                         uint64_t echo_bytes, bool tells_apart) const {
  RunShape shape;
  shape.prompt_tokens = prompt_tokens;
  const int64_t room = std::max<int64_t>(0, sequence_->context_limit() - prompt_tokens);
  shape.answer_tokens = options.max_tokens < 0 ? room : std::min(room, options.max_tokens);
  shape.samples = options.samples;
  shape.tells_apart = tells_apart;
  shape.logprobs = options.logprobs;
  shape.guesses = options.draft_tokens > 0;
  if (options.external_sampler || options.draft_model != nullptr)
    shape.row_bytes = static_cast<uint64_t>(model_->runner()->vocabulary()) * sizeof(float);
  shape.echo_bytes = echo_bytes;
  if (options.prompt_logprobs > 0) {
    shape.prompt_logprobs = options.prompt_logprobs;
    shape.scored_tokens = std::max<int64_t>(0, prompt_tokens - options.prompt_logprobs_first);
    shape.scored_in_a_step = std::min(shape.scored_tokens, model_->runner()->max_step_tokens());
  }
  return model_->TakeSessionBytes(RunBytes(shape), "the answer");
}

// The first sample runs on the session's own sequence, each further one on a fork of it, and takes
// the prompt from where the first one computes it.
Status Session::SubmitSamples(engine::Engine& engine, const GenerationOptions& options,
                              const Started& started, const TextStream& text,
                              const std::shared_ptr<grammar::TokenMasks>& masks,
                              const std::shared_ptr<const model::AdapterSet>& adapters,
                              std::vector<std::shared_ptr<engine::Request>>* requests) const {
  std::vector<std::shared_ptr<engine::Sequence>> sequences = {sequence_};
  for (int32_t i = 1; i < options.samples; ++i) {
    MIRAGE_TRY_ASSIGN(std::shared_ptr<engine::Sequence> fork, engine.Fork(*sequence_));
    sequences.push_back(std::move(fork));
  }
  std::optional<int64_t> deadline_ns;
  if (options.deadline_ms.has_value())
    deadline_ns = AfterMillis(model_->runtime().clock().NowNs(), *options.deadline_ms);
  requests->reserve(sequences.size());  // one that was submitted is in there
  for (size_t i = 0; i < sequences.size(); ++i) {
    engine::RequestOptions request = MakeRequest(options, *model_->tokenizer(), text);
    request.sequence = std::move(sequences[i]);
    request.prompt = started.prompt;
    request.adapters = adapters;
    request.shift_keep = started.shift_keep;
    request.sample_index = static_cast<uint32_t>(i);
    if (i > 0) {
      request.prompt_from = sequence_;
    } else {  // what is told of the prompt is told once
      request.prompt_logprobs = options.prompt_logprobs;
      request.prompt_logprobs_first = options.prompt_logprobs_first;
    }
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

void Session::GiveUp(const Run& run) {
  const engine::RequestStats stats = run.stats();
  const std::lock_guard lock(mutex_);
  if (started_.has_value() && started_->run.get() == &run)
    started_->memory.Shrink(
        AnswerBytes(stats.prompt_tokens, stats.output_tokens, started_->tells_apart));
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
      computed = started_->computed;
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
