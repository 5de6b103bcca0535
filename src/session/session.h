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
// settled by the next call: its answer joins the conversation.
//
// One thread at a time, except stats.

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
#include "session/conversation.h"
#include "session/generation.h"
#include "session/loaded_model.h"

namespace mirage::session {

struct GenerationOptions {
  sample::Params sampling;       // its seed and dry_breakers are replaced
  std::optional<uint64_t> seed;  // nothing: random
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
  int32_t samples = 1;  // answers at once; the session goes on from the first
  bool external_sampler = false;
  int64_t min_tokens = 0;   // before them nothing but max_tokens or the context ends the answer
  int64_t max_tokens = -1;  // -1: until the context is full
  std::optional<int64_t> deadline_ms;
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;  // besides the model's own
  std::vector<std::string> stop_strings;
  std::optional<GrammarOptions> grammar;  // the answer is held to; not with external_sampler
  int logprobs = 0;
  int32_t priority = 0;
  int64_t draft_tokens = 0;  // guessed ahead in a step, at most
};

struct SessionStats {
  bool busy = false;
  size_t messages = 0;
  int64_t tokens = 0;  // computed and waiting
  int64_t waiting = 0;
  int64_t cached = 0;  // of the computed ones, with keys and values
  int64_t context = 0;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `context` 0: the model's. Fails with kInvalidArgument above it or for a model without weights.
  [[nodiscard]] static Result<std::shared_ptr<Session>> Create(std::shared_ptr<LoadedModel> model,
                                                               int64_t context,
                                                               engine::PrefixSharing sharing = {});
  // Another one that holds the same; while a run is unfinished, with the tokens it has by now.
  [[nodiscard]] Result<std::shared_ptr<Session>> Fork();

  [[nodiscard]] Status AppendMessage(std::string_view role, std::string_view content);
  [[nodiscard]] Status AppendConversation(std::string_view json);
  [[nodiscard]] Status AppendText(std::string_view text, text::EncodeOptions options);
  [[nodiscard]] Status AppendTokens(std::span<const int32_t> tokens);

  [[nodiscard]] Result<std::vector<int32_t>> Tokens();
  // Messages of a conversation, else tokens.
  [[nodiscard]] Status Truncate(uint64_t count);
  [[nodiscard]] Status Clear();

  // An idle session as bytes (format/session_file.h), with the keys and values that are there.
  [[nodiscard]] Status Save(const format::Sink& sink);
  [[nodiscard]] Result<uint64_t> SavedBytes();
  // A session as it was saved. `context` as for Create; what was saved must fit it. kCorrupt,
  // kUnsupported, kInvalidArgument for one of another model. Where memory for the keys and values
  // is short, they will be computed again.
  [[nodiscard]] static Result<std::shared_ptr<Session>> Restore(std::shared_ptr<LoadedModel> model,
                                                                int64_t context,
                                                                engine::PrefixSharing sharing,
                                                                const ByteSource& source);

  [[nodiscard]] Result<std::unique_ptr<Generation>> Start(GenerationOptions options);

  [[nodiscard]] SessionStats stats() const;
  [[nodiscard]] LoadedModel& model() const { return *model_; }

 private:
  enum class Content { kNothing, kConversation, kTokens };
  // What a run was started from, to settle or undo it.
  struct Started {
    std::shared_ptr<Run> run;
    int64_t computed = 0;  // length of the sequence at the start
    std::vector<int32_t> prompt;
    std::vector<int32_t> undo;  // what waits after a rollback
    memory::Holding row;        // for a sampler of the caller's
  };

  Session(std::shared_ptr<LoadedModel> model, std::shared_ptr<engine::Sequence> sequence);

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

  // The tokens of a conversation, with the answer's beginning. Without mutex_ held: it takes long.
  [[nodiscard]] Result<std::vector<int32_t>> Render() const;
  // Room for the row that a caller who samples has in hand.
  [[nodiscard]] Result<memory::Holding> HoldRow() const;

  // All with mutex_ held.
  void Conclude(const Run::Outcome& outcome);
  void Undo(Started& started) noexcept;  // of an idle sequence
  [[nodiscard]] Status Expect(Content content) const;
  [[nodiscard]] Status AddWaiting(std::span<const int32_t> tokens);
  [[nodiscard]] Status CheckFits(int64_t tokens) const;
  [[nodiscard]] Result<Started> PreparePrompt(const std::vector<int32_t>& rendered);
  // One request per sample into `requests`; after a failure those before it run.
  [[nodiscard]] Status SubmitSamples(engine::Engine& engine, const GenerationOptions& options,
                                     const Started& started, const TextStream& text,
                                     const std::shared_ptr<grammar::TokenMasks>& masks,
                                     std::vector<std::shared_ptr<engine::Request>>* requests) const;
  // What holds one answer to a grammar, each to its own.
  [[nodiscard]] Result<std::unique_ptr<engine::Constraint>> Constrain(
      std::shared_ptr<grammar::TokenMasks> masks, const GenerationOptions& options,
      const std::vector<int32_t>& stop_tokens) const;

  const std::shared_ptr<LoadedModel> model_;  // destroyed last
  const std::shared_ptr<engine::Sequence> sequence_;
  // Of what stats() reads: changed with it held, and by the session's one thread at a time, which
  // reads without.
  mutable std::mutex mutex_;
  Content content_ = Content::kNothing;
  Conversation conversation_;
  std::vector<int32_t> waiting_;
  std::optional<Started> started_;
};

}  // namespace mirage::session
