// SPDX-License-Identifier: Apache-2.0

#include "session/text_reading.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "base/file_error.h"
#include "session/runtime.h"
#include "session/session_memory.h"
#include "session/token_check.h"

namespace mirage::session {
namespace {

// How often a waiting caller is asked whether it still waits.
constexpr std::chrono::milliseconds kAskEvery{10};

Status CheckReads(const LoadedModel& model, const char* what) {
  if (model.runner() != nullptr) return {};
  return Fail(Code::kInvalidArgument,
              std::string("the model was opened without its weights, so it cannot ") + what);
}

ReadShape ShapeOf(const LoadedModel& model, const std::vector<engine::Text>& texts) {
  const engine::ModelRunner& runner = *model.runner();
  ReadShape shape;
  shape.texts = static_cast<int64_t>(texts.size());
  shape.width = runner.hidden_width();
  shape.texts_in_a_pass = std::min(shape.texts, runner.max_step_tokens());
  for (const engine::Text& text : texts) {
    const auto tokens = static_cast<int64_t>(text.tokens.size());
    shape.tokens += tokens;
    if (text.score_from) shape.scored_tokens += tokens - *text.score_from;
    if (text.pooling) shape.rows += *text.pooling == Pooling::kNone ? tokens : 1;
  }
  return shape;
}

// With a progress function the caller's thread asks it now and then.
Result<engine::TextBatch::Results> WaitFor(engine::TextBatch& batch, const Patience& patience,
                                           std::atomic<bool>& cancelled) {
  while (patience.progress && !batch.Wait(kAskEvery))
    if (!cancelled && !patience.progress(static_cast<uint64_t>(batch.computed()),
                                         static_cast<uint64_t>(batch.tokens())))
      cancelled = true;
  Result<engine::TextBatch::Results> results = batch.Take();
  if (results && cancelled) return Fail(Code::kCancelled, "cancelled");  // it was too late to stop
  return results;
}

// With what it takes of the ledger, to be held as long as the results are.
struct Read {
  memory::Holding memory;
  engine::TextBatch::Results results;
};

Result<memory::Holding> HoldFor(const LoadedModel& model, const ReadShape& shape) {
  return model.TakeSessionBytes(ReadBytes(shape), "the texts");
}

// `memory`: what their shape takes.
Result<Read> ReadTexts(const LoadedModel& model, std::vector<engine::Text> texts,
                       memory::Holding memory, const Patience& patience, const char* what = nullptr,
                       int64_t shared = 0) {
  Runtime& runtime = model.runtime();
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, runtime.compute());
  engine::TextCall call;
  call.runner = model.runner();
  call.texts = std::move(texts);
  call.what = what;
  call.shared = shared;
  MIRAGE_TRY(engine::CheckTexts(call));
  Read read;
  read.memory = std::move(memory);
  call.deadline_ns = patience.deadline_ns;
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  call.cancelled = [cancelled] { return cancelled->load(); };
  const auto tokens = static_cast<uint64_t>(engine::TokensToCompute(call));
  if (patience.progress && !patience.progress(0, tokens))
    return Fail(Code::kCancelled, "cancelled");
  MIRAGE_TRY_ASSIGN(const std::shared_ptr<engine::TextBatch> batch,
                    compute->engine.Submit(std::move(call)));
  Result<engine::TextBatch::Results> results = WaitFor(*batch, patience, *cancelled);
  if (!results) return Fail(runtime.AsLimit(std::move(results).error()));
  read.results = *std::move(results);
  return read;
}

Result<Read> ReadPooled(const LoadedModel& model, std::vector<std::vector<int32_t>> texts,
                        Pooling pooling, const Patience& patience) {
  std::vector<engine::Text> wanted(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    wanted[i].tokens = std::move(texts[i]);
    wanted[i].pooling = pooling;
  }
  MIRAGE_TRY_ASSIGN(memory::Holding memory, HoldFor(model, ShapeOf(model, wanted)));
  return ReadTexts(model, std::move(wanted), std::move(memory), patience);
}

// Softmax over the classes; returns where the next text's go.
std::span<float>::iterator WriteClasses(const model::ClassifierConfig& head,
                                        std::span<const float> hidden,
                                        std::span<float>::iterator to) {
  std::vector<double> scores(static_cast<size_t>(head.classes));
  for (size_t i = 0; i < scores.size(); ++i)
    scores[i] = std::inner_product(
        hidden.begin(), hidden.end(),
        head.weight.begin() + static_cast<std::ptrdiff_t>(i * hidden.size()), 0.0);
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - most);
  return std::transform(scores.begin(), scores.end(), to,
                        [sum](double weight) { return static_cast<float>(weight / sum); });
}

void Normalize(std::span<float> row) {
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * static_cast<double>(value);
  const double norm = std::sqrt(squares);
  if (norm == 0) return;
  for (float& value : row) value = static_cast<float>(static_cast<double>(value) / norm);
}

}  // namespace

Status ScoreTokens(const LoadedModel& model, std::span<const int32_t> tokens, size_t first,
                   std::span<float> logprobs) {
  MIRAGE_TRY(CheckReads(model, "score"));
  std::vector<engine::Text> texts(1);
  texts.front().tokens.assign(tokens.begin(), tokens.end());
  texts.front().score_from = static_cast<int64_t>(first);
  MIRAGE_TRY_ASSIGN(memory::Holding memory, HoldFor(model, ShapeOf(model, texts)));
  MIRAGE_TRY_ASSIGN(const Read read, ReadTexts(model, std::move(texts), std::move(memory), {}));
  const std::vector<double>& scores = read.results.front().logprobs;
  std::transform(scores.begin(), scores.end(), logprobs.begin(),
                 [](double score) { return static_cast<float>(score); });
  return {};
}

Status ScoreChoices(const LoadedModel& model, std::span<const int32_t> prompt,
                    const std::vector<std::vector<int32_t>>& choices, const Patience& patience,
                    std::span<double> logprobs) {
  MIRAGE_TRY(CheckReads(model, "score"));
  if (prompt.empty()) return Fail(Code::kInvalidArgument, "the prompt has no tokens");
  MIRAGE_TRY(CheckTokens(prompt, model.runner()->vocabulary(), "the prompt: token"));
  const auto length = static_cast<int64_t>(prompt.size());
  ReadShape shape;
  shape.texts = static_cast<int64_t>(choices.size());
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].empty())
      return Fail(Code::kInvalidArgument, "choice " + std::to_string(i) + " has no tokens");
    shape.scored_tokens += static_cast<int64_t>(choices[i].size());
  }
  // Each text has the prompt's tokens, whose keys and values are shared; asked for before they are
  // copied.
  shape.tokens = shape.texts * length + shape.scored_tokens;
  MIRAGE_TRY_ASSIGN(memory::Holding memory, HoldFor(model, shape));
  std::vector<engine::Text> texts;
  for (const std::vector<int32_t>& choice : choices) {
    engine::Text& text = texts.emplace_back();
    text.tokens.reserve(prompt.size() + choice.size());
    text.tokens.assign(prompt.begin(), prompt.end());
    text.tokens.insert(text.tokens.end(), choice.begin(), choice.end());
    text.score_from = length;
  }
  // The prompt's last token is computed for each choice: its logits say how likely the first token
  // is.
  MIRAGE_TRY_ASSIGN(const Read read, ReadTexts(model, std::move(texts), std::move(memory), patience,
                                               "choice", length - 1));
  std::transform(read.results.begin(), read.results.end(), logprobs.begin(),
                 [](const engine::TextResult& result) {
                   return std::accumulate(result.logprobs.begin(), result.logprobs.end(), 0.0);
                 });
  return {};
}

Result<size_t> ClassesOf(const LoadedModel& model) {
  MIRAGE_TRY(CheckReads(model, "classify"));
  const int32_t classes = model.runner()->model().config().classifier.classes;
  if (classes == 0)
    return Fail(Code::kUnsupported, "the model has no head to classify by ('cls.output.weight')");
  return static_cast<size_t>(classes);
}

Status ClassifyTexts(const LoadedModel& model, std::vector<std::vector<int32_t>> texts,
                     const Patience& patience, std::span<float> probabilities) {
  MIRAGE_TRY(ClassesOf(model));
  const model::ClassifierConfig& head = model.runner()->model().config().classifier;
  MIRAGE_TRY_ASSIGN(const Read read, ReadPooled(model, std::move(texts), Pooling::kLast, patience));
  auto to = probabilities.begin();
  for (const engine::TextResult& result : read.results)
    to = WriteClasses(head, result.embedding, to);
  return {};
}

Result<std::optional<Pooling>> OwnPooling(const LoadedModel& model) {
  // llama.cpp's numbers.
  enum : int64_t { kNone = 0, kMean = 1, kFirst = 2, kLast = 3, kUnspecified = -1 };
  const std::string key = model.architecture() + ".pooling_type";
  const format::ModelFile& file = model.file();
  MIRAGE_TRY_ASSIGN(const int64_t type,
                    file.Locate(file.metadata().GetOr<int64_t>(key, int64_t{kUnspecified})));
  switch (type) {
    case kUnspecified:
      return std::optional<Pooling>();
    case kNone:
      return Pooling::kNone;
    case kMean:
      return Pooling::kMean;
    case kFirst:
      return Pooling::kFirst;
    case kLast:
      return Pooling::kLast;
    default:
      return Fail(file.Locate(
          KeyError(Code::kUnsupported, key,
                   "is " + std::to_string(type) + ", which is no way to make an embedding")
              .value()));
  }
}

Status EmbedTexts(const LoadedModel& model, std::vector<std::vector<int32_t>> texts,
                  Pooling pooling, bool normalize, const Patience& patience,
                  std::span<float> embeddings) {
  MIRAGE_TRY(CheckReads(model, "embed"));
  MIRAGE_TRY_ASSIGN(const Read read, ReadPooled(model, std::move(texts), pooling, patience));
  auto to = embeddings.begin();
  for (const engine::TextResult& result : read.results)
    to = std::copy(result.embedding.begin(), result.embedding.end(), to);
  const auto width = static_cast<size_t>(model.runner()->hidden_width());
  for (size_t begin = 0; normalize && begin < embeddings.size(); begin += width)
    Normalize(embeddings.subspan(begin, width));
  return {};
}

}  // namespace mirage::session
