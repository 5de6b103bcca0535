// SPDX-License-Identifier: Apache-2.0

#include "session/loaded_model.h"

#include <algorithm>
#include <utility>

#include "base/file_error.h"
#include "base/printable.h"
#include "format/open.h"
#include "model/model.h"
#include "platform/address_space.h"
#include "session/deep.h"
#include "session/dry_breakers.h"
#include "session/render.h"
#include "session/session_memory.h"
#include "session/vocabulary.h"

namespace mirage::session {
namespace {

constexpr int32_t kMostSessions = 4096;
// Rows of logits in one step, for sequences and guesses, whatever was planned: each is small beside
// the weights.
constexpr int32_t kLeastLogitRows = 8;

// No limit that is raised later can give more pages than the machine has memory for. Where
// addresses are limited, pages get a share of them.
uint64_t KvAddresses() {
  constexpr uint64_t kShare = 8;
  const uint64_t most = platform::MachineMemoryBytes();
  const std::optional<platform::AddressLimit> addresses = platform::ReadAddressLimit();
  return addresses ? std::min(most, addresses->limit_bytes / kShare) : most;
}

Result<std::unique_ptr<text::Tokenizer>> MakeTokenizer(const format::Metadata& metadata) {
  MIRAGE_TRY_ASSIGN(text::VocabData vocabulary, ReadVocabulary(metadata));
  return text::Tokenizer::Create(std::move(vocabulary));
}

// Sizes of one family's vocabularies differ by what is padded or added at their ends.
constexpr size_t kMostTokensMore = 512;
constexpr size_t kMostChars = 64;  // of a token in a message

Status CheckSameTokens(const text::Tokenizer& tokenizer, const text::Tokenizer& draft) {
  const size_t fewer = std::min(tokenizer.token_count(), draft.token_count());
  if (std::max(tokenizer.token_count(), draft.token_count()) - fewer > kMostTokensMore)
    return Fail(Code::kInvalidArgument,
                "the draft model has " + std::to_string(draft.token_count()) +
                    " tokens, the model has " + std::to_string(tokenizer.token_count()));
  for (int32_t id = 0; id < static_cast<int32_t>(fewer); ++id)
    if (tokenizer.TokenText(id) != draft.TokenText(id))
      return Fail(Code::kInvalidArgument,
                  "token " + std::to_string(id) + " of the draft model is '" +
                      Printable(draft.TokenText(id), kMostChars) + "', of the model '" +
                      Printable(tokenizer.TokenText(id), kMostChars) + "'");
  return {};
}

}  // namespace

Result<std::shared_ptr<LoadedModel>> LoadedModel::Open(
    std::shared_ptr<Runtime> runtime, std::vector<std::shared_ptr<const ByteSource>> parts,
    const ModelOptions& options) {
  MIRAGE_TRY(runtime->CheckOpen());
  const int64_t begin_ns = runtime->clock().NowNs();
  std::shared_ptr<LoadedModel> model(new LoadedModel(std::move(runtime), options.extent));
  MIRAGE_TRY_ASSIGN(model->file_, format::OpenModel(std::move(parts)));
  MIRAGE_TRY(model->file().Locate(model->ReadNames()));
  if (options.extent != Extent::kMetadata) MIRAGE_TRY(model->file().Locate(model->ReadText()));
  if (options.extent == Extent::kAll) MIRAGE_TRY(model->LoadWeights(options));
  model->load_seconds_ = static_cast<double>(model->runtime().clock().NowNs() - begin_ns) * 1e-9;
  return model;
}

Status LoadedModel::ReadNames() {
  const format::Metadata& metadata = file().metadata();
  MIRAGE_TRY_ASSIGN(architecture_, metadata.GetOr<std::string>("general.architecture", ""));
  MIRAGE_TRY_ASSIGN(name_, metadata.GetOr<std::string>("general.name", ""));
  return {};
}

Status LoadedModel::ReadText() {
  const format::Metadata& metadata = file().metadata();
  MIRAGE_TRY_ASSIGN(tokenizer_, MakeTokenizer(metadata));
  if (!tokenizer_->warning().empty())
    runtime_->log().Log(LogLevel::kWarning, "text", tokenizer_->warning());
  if (!tokenizer_->note().empty()) runtime_->log().Log(LogLevel::kInfo, "text", tokenizer_->note());

  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  MIRAGE_TRY_ASSIGN(const std::string source, metadata.GetOr<std::string>(kTemplate, ""));
  if (!source.empty()) {
    // A template this build cannot read costs the model its chat, not its life.
    Result<text::ChatTemplate> chat_template = ParseTemplate(source);
    if (chat_template) {
      chat_template_ = *std::move(chat_template);
      if (source.find("tool_calls") != std::string::npos)
        tool_call_form_ = Deep([&] { return text::FindToolCallForm(*chat_template_); });
    } else {
      Error error = std::move(chat_template).error().Within("the model's chat template");
      error.part = std::make_shared<const FilePart>(
          FilePart{FilePart::Kind::kKey, std::string(kTemplate), 0});
      chat_template_error_ = file().Locate(std::move(error));
    }
    answer_format_ = text::DetectAnswerFormat(source, [&](std::string_view spelling) {
      return tokenizer_->FindControl(spelling) != text::kNoToken;
    });
  }

  SamplingDefaults defaults =
      ReadSamplingDefaults(metadata, static_cast<int32_t>(tokenizer_->token_count()));
  sampling_defaults_ = std::move(defaults.params);
  if (defaults.has_order) sampler_names_ = sample::OrderNames(sampling_defaults_.order);
  for (const std::string& warning : defaults.warnings)
    runtime_->log().Log(LogLevel::kWarning, "session", warning);
  return {};
}

Result<std::shared_ptr<const sample::TokenSequences>> LoadedModel::DryBreakers(
    const std::vector<std::string>& strings) const {
  const std::lock_guard lock(breakers_mutex_);
  if (strings != breaker_strings_) {
    MIRAGE_TRY_ASSIGN(breakers_, CompileDryBreakers(*tokenizer_, strings));
    breaker_strings_ = strings;
  }
  return breakers_;
}

Status LoadedModel::CheckDraftModel(const LoadedModel& draft) const {
  if (&draft == this) return Fail(Code::kInvalidArgument, "a model cannot guess for itself");
  if (draft.runtime_ != runtime_)
    return Fail(Code::kInvalidArgument, "the draft model is of another runtime");
  if (draft.runner_ == nullptr)
    return Fail(Code::kInvalidArgument, "the draft model was opened without its weights");
  const std::lock_guard lock(draft_mutex_);
  const std::shared_ptr<const text::Tokenizer>& tokenizer = draft.tokenizer_;
  if (draft_tokenizer_.lock() == tokenizer) return {};
  MIRAGE_TRY(CheckSameTokens(*tokenizer_, *tokenizer));
  draft_tokenizer_ = tokenizer;
  return {};
}

Status LoadedModel::LoadWeights(const ModelOptions& options) {
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, runtime_->compute());
  model::LoadOptions load;
  MIRAGE_TRY_ASSIGN(load.plan, MakePlanRequest(options.capacity));
  load.model_number = runtime_->NextModelNumber();
  uint64_t file_bytes = 0;
  for (const std::shared_ptr<const ByteSource>& shard : file_->shards())
    file_bytes += shard->bytes();
  // The runtime outlives its models and their transfers.
  load.caching = [runtime = runtime_.get(), file_bytes] { return runtime->CachingFor(file_bytes); };
  load.progress = options.progress;
  // As much as it could use of what nobody needs: what is given up is computed again when it is
  // asked for. What idle sessions will need stays theirs: a model may have less.
  if (runtime_->PrefixBytes() > 0) {
    MIRAGE_TRY_ASSIGN(const Estimate whole, EstimatePlan(UINT64_MAX, options.capacity));
    runtime_->MakeAvailable(whole.plan.total, nullptr, Runtime::GiveUp::kPrefixes);
  }
  const model::Host host{*compute->device, compute->arena, *compute->transfer, runtime_->ops()};
  Result<std::unique_ptr<model::Model>> loaded = model::Model::Load(host, *std::move(file_), load);
  if (!loaded) {
    MIRAGE_TRY(runtime_->CheckOpen());  // what a shutdown ends looks cancelled
    return Fail(runtime_->AsLimit(std::move(loaded).error()));
  }
  file_.reset();
  runner_ = std::make_shared<engine::RealRunner>(*std::move(loaded));
  compute->engine.Know(runner_);
  WarnOfVocabularySize();
  grammars_ = std::make_unique<Grammars>(*runtime_, tokenizer_);
  return {};
}

// Between the tokens and the embedding's rows any number may be meant (model/arch/common.cc).
void LoadedModel::WarnOfVocabularySize() const {
  const std::string key = architecture_ + ".vocab_size";
  const auto tokens = static_cast<uint64_t>(tokenizer_->token_count());
  const auto rows = static_cast<uint64_t>(runner_->vocabulary());
  const Result<uint64_t> stated = file().metadata().GetOr<uint64_t>(key, tokens);
  if (!stated || (*stated >= tokens && *stated <= rows)) return;
  const Error contradiction =
      file().Locate(KeyError(Code::kCorrupt, key,
                             "is " + std::to_string(*stated) + " and is ignored: there are " +
                                 std::to_string(tokens) + " tokens and " + std::to_string(rows) +
                                 " rows of the embedding")
                        .value());
  runtime_->log().Log(LogLevel::kWarning, "session", contradiction.message);
}

const format::ModelFile& LoadedModel::file() const {
  return runner_ != nullptr ? runner_->model().file() : *file_;
}

Result<const text::Tokenizer*> LoadedModel::RequireTokenizer() const {
  if (tokenizer_ == nullptr)
    return Fail(Code::kInvalidArgument,
                "the model was opened for its metadata alone, without its vocabulary");
  return tokenizer_.get();
}

Result<const text::ChatTemplate*> LoadedModel::RequireChatTemplate() const {
  MIRAGE_TRY(RequireTokenizer());
  if (chat_template_error_.has_value()) return Fail(*chat_template_error_);
  if (!chat_template_.has_value())
    return Fail(Code::kUnsupported, "the model has no chat template");
  return &*chat_template_;
}

Result<std::vector<int32_t>> LoadedModel::TokenizeConversation(std::string_view json) const {
  MIRAGE_TRY_ASSIGN(const text::ChatTemplate* const chat_template, RequireChatTemplate());
  MIRAGE_TRY_ASSIGN(const text::Rendered rendered,
                    RenderConversation(*chat_template, json, *tokenizer_, tool_call_form_));
  return TokenizeRendered(rendered, *tokenizer_);
}

Result<memory::Holding> LoadedModel::TakeSessionBytes(uint64_t bytes, const char* what,
                                                      Runtime::GiveUp give_up) const {
  memory::Promise& promise = runner_->model().session_promise();
  runtime_->MakeAvailable(bytes, &promise, give_up);
  Result<memory::Holding> held =
      memory::Holding::Take(runtime_->ledger(), memory::Owner::kSessions, bytes, what, &promise);
  if (!held) return Fail(runtime_->AsLimit(std::move(held).error()));
  return held;
}

// Opened for its metadata alone, the vocabulary is read to learn what it would weigh, and dropped
// again.
Result<uint64_t> LoadedModel::TableBytes() const {
  const uint64_t metadata_bytes = file().metadata().heap_bytes();
  const auto bytes_of = [](const text::Tokenizer& tokenizer) {
    return tokenizer.heap_bytes() + Grammars::ReservedBytes(tokenizer);
  };
  if (tokenizer_ != nullptr) return metadata_bytes + bytes_of(*tokenizer_);
  MIRAGE_TRY_ASSIGN(const std::unique_ptr<text::Tokenizer> tokenizer,
                    file().Locate(MakeTokenizer(file().metadata())));
  return metadata_bytes + bytes_of(*tokenizer);
}

Result<model::PlanRequest> LoadedModel::MakePlanRequest(const Capacity& capacity) const {
  if (capacity.context < 0)
    return Fail(Code::kInvalidArgument,
                "a context of " + std::to_string(capacity.context) + " tokens");
  if (capacity.sessions < 1 || capacity.sessions > kMostSessions)
    return Fail(Code::kInvalidArgument, std::to_string(capacity.sessions) + " sessions; 1 to " +
                                            std::to_string(kMostSessions) + " are allowed");
  model::PlanRequest request;
  MIRAGE_TRY_ASSIGN(request.table_bytes, TableBytes());
  request.context = capacity.context;
  request.sequences = capacity.sessions;
  request.kv_type = capacity.kv_type;
  request.adapter_bytes = capacity.adapter_bytes;
  request.offload_bytes = runtime_->offload_bytes();
  request.logit_rows = std::max(capacity.sessions, kLeastLogitRows);
  request.transfer_workers = Runtime::kTransferWorkers;
  request.kv_address_bytes = KvAddresses();
  request.session_bytes = {kPlannedForAll, kPlannedPerSession, kPlannedPerToken};
  return request;
}

uint64_t LoadedModel::Room() const {
  const uint64_t limit = runtime_->ledger().limit();
  return limit - std::min(limit, HeldByOthers());
}

uint64_t LoadedModel::HeldByOthers() const {
  const uint64_t own = runner_ == nullptr ? 0 : runner_->model().committed_bytes();
  const uint64_t all = runtime_->ledger().committed();
  return all - std::min(all, own);
}

Result<LoadedModel::Estimate> LoadedModel::EstimatePlan(uint64_t limit_bytes,
                                                        const Capacity& capacity) const {
  MIRAGE_TRY_ASSIGN(model::PlanRequest request, MakePlanRequest(capacity));
  request.limit_bytes = limit_bytes;
  Result<model::Plan> plan = model::MakePlan(file(), request);
  if (plan) return Estimate{true, *std::move(plan)};
  if (plan.error().code != Code::kOutOfMemory) return Fail(std::move(plan).error());
  request.limit_bytes = UINT64_MAX;
  MIRAGE_TRY_ASSIGN(model::Plan unlimited, model::MakePlan(file(), request));
  return Estimate{false, std::move(unlimited)};
}

}  // namespace mirage::session
