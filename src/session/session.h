// SPDX-License-Identifier: Apache-2.0
#pragma once

// Session: one conversation, or one run of plain tokens, and what the engine has computed of it.
//
//   computed   the engine's sequence: tokens whose keys and values it holds, or will compute again
//   waiting    tokens after those, which the next generation computes first
//   messages   of a conversation; rendered anew for each answer, where the tokens it shares with
//   the computed ones
//              are kept and the rest replaced
//
// The first append decides between conversation and tokens, Clear undoes that. While a run is
// unfinished every change, but not a fork, is refused with kBusy. A run that has finished is
// settled by the next call: its answer joins the conversation. Text and tokens are held in the
// runtime's ledger (session/session_memory.h).
//
// One thread at a time, except stats and GiveUp.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "engine/sequence.h"
#include "format/session_file.h"
#include "grammar/token_masks.h"
#include "memory/ledger.h"
#include "sample/params.h"
#include "session/context_overflow.h"
#include "session/conversation_reader.h"
#include "session/generation.h"
#include "session/loaded_adapter.h"
#include "session/loaded_model.h"
#include "session/runtime.h"
#include "text/answer/answer_parser.h"
#include "text/infill.h"

namespace mirage::session {

struct GenerationOptions {
  sample::Params sampling;       // its seed and dry_breakers are replaced
  std::optional<uint64_t> seed;  // nothing: random
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
  int32_t samples = 1;  // answers at once; the session goes on from the first
  bool external_sampler = false;
  int64_t min_tokens = 0;   // before them nothing but max_tokens or the context ends the answer
  int64_t max_tokens = -1;  // -1: until the context is full
  bool strict_max_tokens = false;  // they have to fit the context
  std::optional<int64_t> deadline_ms;
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;  // besides the model's own
  std::vector<std::string> stop_strings;
  // How calls of tools and reasoning are told apart in the answer; nothing: as the model writes
  // them in answers to a conversation, calls where it has tools.
  std::optional<text::AnswerFormat> answer_format;
  std::optional<GrammarOptions> grammar;  // the answer is held to; not with external_sampler
  int logprobs = 0;
  bool echo = false;  // the prompt's text comes before the answer's
  int prompt_logprobs = 0;
  int64_t prompt_logprobs_first = 1;  // as for a request
  int32_t priority = 0;
  int64_t draft_tokens = 0;                  // guessed ahead in a step, at most
  std::shared_ptr<LoadedModel> draft_model;  // by it; null: from what was said before
  // Of the session's model. What the session has computed with others is computed again.
  std::vector<AdapterChoice> adapters;
};

struct SessionStats {
  bool busy = false;
  size_t messages = 0;
  int64_t tokens = 0;  // computed and waiting
  int64_t waiting = 0;
  int64_t cached = 0;  // of the computed ones, with keys and values
  int64_t context = 0;
};

struct SessionOptions {
  int64_t context = 0;  // 0: the model's
  engine::PrefixSharing sharing;
  ContextOverflow overflow;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // Fails with kInvalidArgument for a context above the model's, for a model without weights, and
  // as CheckOverflow does.
  [[nodiscard]] static Result<std::shared_ptr<Session>> Create(std::shared_ptr<LoadedModel> model,
                                                               SessionOptions options);
  // Another one that holds the same; while a run is unfinished, with the tokens it has by now.
  [[nodiscard]] Result<std::shared_ptr<Session>> Fork();

  [[nodiscard]] Status AppendMessage(std::string_view role, std::string_view content);
  [[nodiscard]] Status AppendToolResult(std::string_view call_id, std::string_view name,
                                        std::string_view content);
  [[nodiscard]] Status AppendConversation(std::string_view json);
  [[nodiscard]] Status AppendText(std::string_view text, text::EncodeOptions options);
  [[nodiscard]] Status AppendInfill(const text::InfillText& text);
  [[nodiscard]] Status AppendTokens(std::span<const int32_t> tokens);

  [[nodiscard]] Result<std::vector<int32_t>> Tokens();
  // Messages of a conversation, else tokens.
  [[nodiscard]] Status Truncate(uint64_t count);
  [[nodiscard]] Status Clear();

  // An idle session as bytes (format/session_file.h), with the keys and values that are there.
  [[nodiscard]] Status Save(const format::Sink& sink);
  [[nodiscard]] Result<uint64_t> SavedBytes();
  // A session as it was saved. Options as for Create; what was saved must fit the context.
  // kCorrupt, kUnsupported, kInvalidArgument for one of another model. Where memory for the keys
  // and values is short, they will be computed again.
  [[nodiscard]] static Result<std::shared_ptr<Session>> Restore(std::shared_ptr<LoadedModel> model,
                                                                SessionOptions options,
                                                                const ByteSource& source);

  [[nodiscard]] Result<std::unique_ptr<Generation>> Start(GenerationOptions options);

  // Nobody will read `run`. Any thread.
  void GiveUp(const Run& run);

  [[nodiscard]] SessionStats stats() const;
  [[nodiscard]] LoadedModel& model() const { return *model_; }

 private:
  enum class Content { kNothing, kConversation, kTokens };
  // What a run was started from, to settle or undo it.
  struct Started {
    std::shared_ptr<Run> run;
    int64_t computed = 0;  // length of the sequence at the start
    std::vector<int32_t> prompt;
    std::optional<int64_t> shift_keep;  // as for a request
    std::vector<int32_t> undo;          // what waits after a rollback
    bool tells_apart = false;           // the pieces of its answers
    memory::Holding memory;             // what the run may come to hold
  };

  Session(std::shared_ptr<LoadedModel> model, std::shared_ptr<engine::Sequence> sequence,
          ContextOverflow overflow);

  // Both without mutex_ held.
  [[nodiscard]] Status Settle();       // takes in a run that has finished
  [[nodiscard]] Status BeginChange();  // and refuses after a shutdown

  // The session's own part, and the pages' owner.
  struct Saved {
    format::SavedSession session;
    engine::Sequence::Copy copy;
  };
  [[nodiscard]] Result<Saved> MakeSaved();
  [[nodiscard]] Status TakeSaved(const format::SessionFile& file);

  // All tokens of the next prompt, of a conversation with the answer's beginning, as far as there
  // is room for them. Without mutex_ held: it takes long.
  [[nodiscard]] Result<FittedPrompt> FitPrompt(int64_t max_tokens) const;

  // What the session holds besides keys and values and what runs on it; to be held before more is
  // taken in. kOutOfMemory changes nothing.
  [[nodiscard]] uint64_t OwnBytes() const;
  [[nodiscard]] Status Hold(uint64_t bytes, Runtime::GiveUp give_up = Runtime::GiveUp::kIdleToo);
  [[nodiscard]] Status Touch();
  // After a change that needed less than was held, or could not be refused.
  void HoldWhatThereIs() noexcept;
  [[nodiscard]] Result<memory::Holding> HoldRun(const GenerationOptions& options,
                                                int64_t prompt_tokens, uint64_t echo_bytes,
                                                bool tells_apart) const;

  [[nodiscard]] Status Expect(Content content) const;
  // Of tokens.
  [[nodiscard]] bool IsEmpty() const { return sequence_->length() == 0 && waiting_.empty(); }
  [[nodiscard]] Status AddToConversation(ConversationJson parts);
  // `indivisible`: the tokens mean nothing unless all are there.
  [[nodiscard]] Status AddWaiting(std::span<const int32_t> tokens, bool indivisible = false);

  // All with mutex_ held.
  void Conclude(const Run::Outcome& outcome);
  void Undo(Started& started) noexcept;  // of an idle sequence
  [[nodiscard]] Status CheckFits(int64_t tokens) const;
  // Whether an answer that fills the context goes on.
  [[nodiscard]] bool Shifts(const FittedPrompt& whole) const {
    return overflow_.policy == ContextOverflow::Policy::kShift && whole.divisible;
  }
  // An answer that has to be whole.
  [[nodiscard]] Status CheckAnswerFits(const FittedPrompt& whole, int64_t answer) const;
  // How to read an answer that follows `prompt`; nothing: all of it is content.
  [[nodiscard]] std::optional<text::AnswerOptions> ReadingOf(const GenerationOptions& options,
                                                             std::span<const int32_t> prompt) const;
  [[nodiscard]] Result<Started> PreparePrompt(const FittedPrompt& whole);
  // One request per sample into `requests`; after a failure those before it run.
  [[nodiscard]] Status SubmitSamples(engine::Engine& engine, const GenerationOptions& options,
                                     const Started& started, const TextStream& text,
                                     const std::shared_ptr<grammar::TokenMasks>& masks,
                                     const std::shared_ptr<const model::AdapterSet>& adapters,
                                     std::vector<std::shared_ptr<engine::Request>>* requests) const;
  // What holds one answer to a grammar, each to its own.
  [[nodiscard]] Result<std::unique_ptr<engine::Constraint>> Constrain(
      std::shared_ptr<grammar::TokenMasks> masks, const GenerationOptions& options,
      const std::vector<int32_t>& stop_tokens) const;

  const std::shared_ptr<LoadedModel> model_;  // destroyed last
  const std::shared_ptr<engine::Sequence> sequence_;
  memory::Holding memory_;
  const ContextOverflow overflow_;
  // Of what stats() reads: changed with it held, and by the session's one thread at a time, which
  // reads without.
  mutable std::mutex mutex_;
  Content content_ = Content::kNothing;
  Conversation conversation_;
  std::vector<int32_t> waiting_;
  std::optional<Started> started_;
};

}  // namespace mirage::session
