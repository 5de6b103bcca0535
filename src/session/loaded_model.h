// SPDX-License-Identifier: Apache-2.0
#pragma once

// LoadedModel: a model file as far as its user asked for it: the header alone, with its vocabulary
// and chat template, or whole with its weights on the runtime's device.
//
// Immutable to its users once opened, so any thread; what computes goes through the runtime's
// engine.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "engine/model_runner.h"
#include "engine/real_runner.h"
#include "format/model_file.h"
#include "model/plan.h"
#include "sample/params.h"
#include "session/grammars.h"
#include "session/runtime.h"
#include "text/answer/answer_format.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace mirage::session {

enum class Extent { kAll, kVocabulary, kMetadata };

using KvType = kv::KvType;

// What memory is planned for.
struct Capacity {
  int64_t context = 0;   // tokens a session may hold; 0: chosen by the plan
  int32_t sessions = 1;  // of that context
  KvType kv_type = KvType::kF16;
  uint64_t adapter_bytes = 0;  // for LoRA adapters
};

struct ModelOptions {
  Extent extent = Extent::kAll;
  Capacity capacity;
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> progress;  // false cancels
};

class LoadedModel {
 public:
  // `parts` are the files of the model in order, one for most.
  [[nodiscard]] static Result<std::shared_ptr<LoadedModel>> Open(
      std::shared_ptr<Runtime> runtime, std::vector<std::shared_ptr<const ByteSource>> parts,
      const ModelOptions& options);

  [[nodiscard]] Runtime& runtime() const { return *runtime_; }
  [[nodiscard]] Extent extent() const { return extent_; }
  [[nodiscard]] const format::ModelFile& file() const;
  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  // Null when opened for metadata alone.
  [[nodiscard]] const std::shared_ptr<const text::Tokenizer>& tokenizer() const {
    return tokenizer_;
  }
  // kInvalidArgument when opened for metadata alone.
  [[nodiscard]] Result<const text::Tokenizer*> RequireTokenizer() const;
  // The file's own. kUnsupported when it has none, or why it cannot be used.
  [[nodiscard]] Result<const text::ChatTemplate*> RequireChatTemplate() const;
  [[nodiscard]] bool has_chat_template() const { return chat_template_.has_value(); }
  // What the file's template makes of a conversation's JSON, as tokens.
  [[nodiscard]] Result<std::vector<int32_t>> TokenizeConversation(std::string_view json) const;
  // How the model writes reasoning and calls of tools, as its template and its vocabulary tell.
  [[nodiscard]] const text::AnswerFormat& answer_format() const { return answer_format_; }
  [[nodiscard]] const sample::Params& sampling_defaults() const { return sampling_defaults_; }
  // The order of samplers that the file asks for; "" when it does not.
  [[nodiscard]] const std::string& sampler_names() const { return sampler_names_; }
  // The strings as tokens (session/dry_breakers.h); those asked for last are remembered. Null for
  // none.
  [[nodiscard]] Result<std::shared_ptr<const sample::TokenSequences>> DryBreakers(
      const std::vector<std::string>& strings) const;

  // Whether `draft` may guess what this model says: a model of the same runtime, opened whole, with
  // the same vocabulary but for a few tokens at its end. kInvalidArgument says what is in the way.
  [[nodiscard]] Status CheckDraftModel(const LoadedModel& draft) const;

  // Null unless opened whole.
  [[nodiscard]] const std::shared_ptr<engine::RealRunner>& runner() const { return runner_; }
  // Of one opened whole.
  [[nodiscard]] Grammars& grammars() const { return *grammars_; }
  [[nodiscard]] double load_seconds() const { return load_seconds_; }

  // Of the ledger, from what the plan has for sessions and then from what is free: for what its
  // users hold besides keys and values. Of one opened whole.
  [[nodiscard]] Result<memory::Holding> TakeSessionBytes(
      uint64_t bytes, const char* what, Runtime::GiveUp give_up = Runtime::GiveUp::kIdleToo) const;

  // What it would take under a limit (bytes for the ledger) with these options; `fits` false gives
  // the plan without a limit, with the least that works.
  struct Estimate {
    bool fits = false;
    model::Plan plan;
  };
  // What the runtime's ledger has for this model: what is available, and what the model has
  // already.
  [[nodiscard]] uint64_t Room() const;
  // What everything else of the runtime holds or is promised.
  [[nodiscard]] uint64_t HeldByOthers() const;
  [[nodiscard]] Result<Estimate> EstimatePlan(uint64_t limit_bytes, const Capacity& capacity) const;

 private:
  explicit LoadedModel(std::shared_ptr<Runtime> runtime, Extent extent)
      : runtime_(std::move(runtime)), extent_(extent) {}
  [[nodiscard]] Status ReadNames();
  [[nodiscard]] Status ReadText();
  void WarnOfVocabularySize() const;
  [[nodiscard]] Status LoadWeights(const ModelOptions& options);
  [[nodiscard]] Result<uint64_t> TableBytes() const;
  [[nodiscard]] Result<model::PlanRequest> MakePlanRequest(const Capacity& capacity) const;

  const std::shared_ptr<Runtime> runtime_;  // destroyed last
  const Extent extent_;
  std::optional<format::ModelFile> file_;  // until the weights are loaded; then the loaded model's
  std::string architecture_;
  std::string name_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> chat_template_;
  std::optional<Error> chat_template_error_;
  text::ToolCallForm tool_call_form_;
  text::AnswerFormat answer_format_;
  sample::Params sampling_defaults_;
  std::string sampler_names_;
  mutable std::mutex breakers_mutex_;
  mutable std::vector<std::string> breaker_strings_;
  mutable std::shared_ptr<const sample::TokenSequences> breakers_;
  mutable std::mutex draft_mutex_;
  mutable std::weak_ptr<const text::Tokenizer> draft_tokenizer_;  // known to be alike
  std::shared_ptr<engine::RealRunner> runner_;
  std::unique_ptr<Grammars> grammars_;
  double load_seconds_ = 0;
};

}  // namespace mirage::session
