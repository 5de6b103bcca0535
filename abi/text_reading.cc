// SPDX-License-Identifier: Apache-2.0

// Texts that are read and not answered: scores, embeddings.

#include "session/text_reading.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "abi/tokenize_flags.h"
#include "base/clock.h"

namespace mirage::abi {
namespace {

mirage_embed_options DefaultEmbedOptions() {
  mirage_embed_options options{};
  options.struct_size = sizeof options;
  options.normalize = 1;
  options.tokenize_flags = MIRAGE_TOKENIZE_ADD_SPECIAL;
  options.deadline_ms = -1;
  return options;
}

mirage_score_options DefaultScoreOptions() {
  mirage_score_options options{};
  options.struct_size = sizeof options;
  options.tokenize_flags = MIRAGE_TOKENIZE_ADD_SPECIAL;
  options.deadline_ms = -1;
  return options;
}

Result<mirage_score_options> ReadScoreOptions(const mirage_score_options* given) {
  return ReadOptions(given, DefaultScoreOptions(), kFirstScoreOptions, "mirage_score_options");
}

Result<session::Patience> ReadPatience(const session::LoadedModel& model, int64_t deadline_ms,
                                       mirage_progress_callback progress, void* user_data) {
  if (deadline_ms < -1)
    return Fail(Code::kInvalidArgument, "deadline_ms is " + std::to_string(deadline_ms));
  session::Patience patience;
  if (deadline_ms >= 0)
    patience.deadline_ns = AfterMillis(model.runtime().clock().NowNs(), deadline_ms);
  if (progress != nullptr)
    patience.progress = [progress, user_data](uint64_t done, uint64_t total) {
      return AbiCallProgress(progress, done, total, user_data) == 0;
    };
  return patience;
}

// LAST where nobody says anything: of a model that looks back alone, the last token has seen all.
Result<session::Pooling> ReadPooling(int32_t pooling, const session::LoadedModel& model) {
  switch (pooling) {
    case MIRAGE_POOLING_NONE:
      return session::Pooling::kNone;
    case MIRAGE_POOLING_MEAN:
      return session::Pooling::kMean;
    case MIRAGE_POOLING_CLS:
      return session::Pooling::kFirst;
    case MIRAGE_POOLING_LAST:
      return session::Pooling::kLast;
    case MIRAGE_POOLING_DEFAULT: {
      MIRAGE_TRY_ASSIGN(const std::optional<session::Pooling> own, session::OwnPooling(model));
      return own.value_or(session::Pooling::kLast);
    }
    default:
      return Fail(Code::kUnsupported,
                  "pooling is " + std::to_string(pooling) + "; 0 to 4 are known");
  }
}

Result<std::vector<int32_t>> ReadText(const mirage_text& text, const text::Tokenizer& tokenizer,
                                      const text::EncodeOptions& options) {
  MIRAGE_TRY(CheckSpan(text.text, text.text_bytes, "its text"));
  MIRAGE_TRY(CheckSpan(text.tokens, text.token_count, "its tokens"));
  if (text.tokens == nullptr)
    return tokenizer.Encode(
        std::string_view(text.text != nullptr ? text.text : "", text.text_bytes), options);
  if (text.text != nullptr)
    return Fail(Code::kInvalidArgument, "there are both a text and tokens; one of them is NULL");
  return std::vector<int32_t>(text.tokens, text.tokens + text.token_count);
}

Result<std::vector<std::vector<int32_t>>> ReadTexts(const mirage_text* texts, size_t count,
                                                    const text::Tokenizer& tokenizer,
                                                    const text::EncodeOptions& options,
                                                    const char* what = "text") {
  std::vector<std::vector<int32_t>> read;
  for (size_t i = 0; i < count; ++i) {
    Result<std::vector<int32_t>> tokens = ReadText(texts[i], tokenizer, options);
    if (!tokens)
      return Fail(std::move(tokens).error().Within(std::string(what) + " " + std::to_string(i)));
    read.push_back(*std::move(tokens));
  }
  return read;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

mirage_status mirage_score(mirage_model* model, const int32_t* tokens, size_t count, size_t first,
                           float* logprobs, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckMayBlock("mirage_score"));
    MIRAGE_TRY(CheckSpan(tokens, count, "tokens"));
    MIRAGE_TRY(CheckPointer(logprobs, "logprobs"));
    if (first < 1 || first >= count)
      return Fail(Code::kInvalidArgument, "first is " + std::to_string(first) + " of " +
                                              std::to_string(count) +
                                              " tokens; it must be at least 1 and below the count");
    return session::ScoreTokens(*model->model, std::span(tokens, count), first,
                                std::span(logprobs, count - first));
  });
}

void mirage_score_options_init(mirage_score_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultScoreOptions());
}

mirage_status mirage_score_choices(mirage_model* model, const mirage_score_options* options,
                                   const mirage_text* prompt, const mirage_text* choices,
                                   size_t choice_count, double* logprobs, size_t* token_counts,
                                   mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckMayBlock("mirage_score_choices"));
    MIRAGE_TRY(CheckPointer(prompt, "prompt"));
    MIRAGE_TRY(CheckSpan(choices, choice_count, "choices"));
    MIRAGE_TRY(CheckSpan(logprobs, choice_count, "logprobs"));
    MIRAGE_TRY_ASSIGN(const mirage_score_options given, ReadScoreOptions(options));
    const session::LoadedModel& loaded = *model->model;
    MIRAGE_TRY_ASSIGN(
        const session::Patience patience,
        ReadPatience(loaded, given.deadline_ms, given.progress, given.progress_user_data));
    MIRAGE_TRY_ASSIGN(text::EncodeOptions encode, ReadTokenizeFlags(given.tokenize_flags));
    MIRAGE_TRY_ASSIGN(const text::Tokenizer* const tokenizer, loaded.RequireTokenizer());
    Result<std::vector<int32_t>> tokens = ReadText(*prompt, *tokenizer, encode);
    if (!tokens) return Fail(std::move(tokens).error().Within("the prompt"));
    encode.add_special = encode.text_start = false;  // a choice goes on from the prompt
    MIRAGE_TRY_ASSIGN(const std::vector<std::vector<int32_t>> read,
                      ReadTexts(choices, choice_count, *tokenizer, encode, "choice"));
    MIRAGE_TRY(
        session::ScoreChoices(loaded, *tokens, read, patience, std::span(logprobs, choice_count)));
    for (size_t i = 0; token_counts != nullptr && i < choice_count; ++i)
      token_counts[i] = read[i].size();
    return {};
  });
}

mirage_status mirage_classify(mirage_model* model, const mirage_score_options* options,
                              const mirage_text* texts, size_t text_count, float* probabilities,
                              size_t capacity, size_t* count, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckMayBlock("mirage_classify"));
    MIRAGE_TRY(CheckSpan(texts, text_count, "texts"));
    MIRAGE_TRY_ASSIGN(const mirage_score_options given, ReadScoreOptions(options));
    const session::LoadedModel& loaded = *model->model;
    MIRAGE_TRY_ASSIGN(const size_t classes, session::ClassesOf(loaded));
    MIRAGE_TRY_ASSIGN(
        const session::Patience patience,
        ReadPatience(loaded, given.deadline_ms, given.progress, given.progress_user_data));
    MIRAGE_TRY_ASSIGN(const text::EncodeOptions encode, ReadTokenizeFlags(given.tokenize_flags));
    MIRAGE_TRY_ASSIGN(std::vector<std::vector<int32_t>> read,
                      ReadTexts(texts, text_count, *loaded.tokenizer(), encode));
    const size_t values = text_count * classes;
    MIRAGE_TRY_ASSIGN(const bool writes,
                      CheckRoom(probabilities, values, capacity, count, "values"));
    if (!writes) return {};
    return session::ClassifyTexts(loaded, std::move(read), patience,
                                  std::span(probabilities, values));
  });
}

void mirage_embed_options_init(mirage_embed_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultEmbedOptions());
}

mirage_status mirage_embed(mirage_model* model, const mirage_embed_options* options,
                           const mirage_text* texts, size_t text_count, float* embeddings,
                           size_t capacity, size_t* count, size_t* rows, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckMayBlock("mirage_embed"));
    MIRAGE_TRY(CheckSpan(texts, text_count, "texts"));
    MIRAGE_TRY_ASSIGN(
        const mirage_embed_options given,
        ReadOptions(options, DefaultEmbedOptions(), kFirstEmbedOptions, "mirage_embed_options"));
    const session::LoadedModel& loaded = *model->model;
    if (loaded.runner() == nullptr)
      return Fail(Code::kInvalidArgument,
                  "the model was opened without its weights, so it cannot embed");
    MIRAGE_TRY(CheckFlag(given.normalize, "normalize"));
    MIRAGE_TRY_ASSIGN(const session::Pooling pooling, ReadPooling(given.pooling, loaded));
    MIRAGE_TRY_ASSIGN(
        const session::Patience patience,
        ReadPatience(loaded, given.deadline_ms, given.progress, given.progress_user_data));
    MIRAGE_TRY_ASSIGN(const text::EncodeOptions encode, ReadTokenizeFlags(given.tokenize_flags));
    MIRAGE_TRY_ASSIGN(std::vector<std::vector<int32_t>> read,
                      ReadTexts(texts, text_count, *loaded.tokenizer(), encode));
    size_t all_rows = 0;
    std::vector<size_t> rows_of_texts;
    for (const std::vector<int32_t>& tokens : read) {
      rows_of_texts.push_back(pooling == session::Pooling::kNone ? tokens.size() : 1);
      all_rows += rows_of_texts.back();
    }
    const size_t values = all_rows * static_cast<size_t>(loaded.runner()->hidden_width());
    MIRAGE_TRY_ASSIGN(const bool writes, CheckRoom(embeddings, values, capacity, count, "values"));
    if (writes)
      MIRAGE_TRY(session::EmbedTexts(loaded, std::move(read), pooling, given.normalize == 1,
                                     patience, std::span(embeddings, values)));
    if (rows != nullptr) std::copy(rows_of_texts.begin(), rows_of_texts.end(), rows);
    return {};
  });
}

}  // extern "C"
