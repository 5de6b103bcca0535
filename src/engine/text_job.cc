// SPDX-License-Identifier: Apache-2.0
#include "engine/text_job.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/file_error.h"
#include "base/guarded.h"
#include "engine/prompt_scores.h"

namespace mirage::engine {

namespace {

// What follows a text's last token is no score.
int64_t ComputedOf(const Text& text) {
  return static_cast<int64_t>(text.tokens.size()) - (text.pooling ? 0 : 1);
}

Status CheckText(const Text& text, const ModelRunner& runner) {
  const auto count = static_cast<int64_t>(text.tokens.size());
  if (count == 0) return Fail(Code::kInvalidArgument, "there are no tokens");
  if (count > runner.max_context())
    return Fail(Code::kContextFull, std::to_string(count) + " tokens do not fit the context of " +
                                        std::to_string(runner.max_context()));
  if (text.score_from && (*text.score_from < 1 || *text.score_from > count))
    return Fail(Code::kInvalidArgument, "scoring from token " + std::to_string(*text.score_from) +
                                            " of " + std::to_string(count));
  for (const int32_t token : text.tokens)
    if (token < 0 || token >= runner.vocabulary())
      return Fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(runner.vocabulary()));
  return {};
}

Status CheckShared(const TextCall& call) {
  if (call.shared == 0) return {};
  const auto shared = static_cast<size_t>(call.shared);
  for (const Text& text : call.texts) {
    const std::vector<int32_t>& first = call.texts.front().tokens;
    if (call.shared < 0 || shared >= text.tokens.size() ||
        !std::equal(text.tokens.begin(), text.tokens.begin() + call.shared, first.begin()) ||
        text.pooling || (text.score_from && *text.score_from <= call.shared))
      return Fail(Code::kInternal,
                  "texts that do not share " + std::to_string(call.shared) + " tokens");
  }
  return {};
}

}  // namespace

int64_t TokensToCompute(const TextCall& call) {
  int64_t tokens = call.texts.empty() ? 0 : call.shared;
  for (const Text& text : call.texts) tokens += ComputedOf(text) - call.shared;
  return tokens;
}

Status CheckTexts(const TextCall& call) {
  for (size_t i = 0; i < call.texts.size(); ++i) {
    Status checked = CheckText(call.texts[i], *call.runner);
    if (checked) continue;
    if (call.what == nullptr && call.texts.size() == 1) return checked;
    const std::string what = call.what != nullptr ? call.what : "text";
    return Fail(std::move(checked).error().Within(what + " " + std::to_string(i)));
  }
  return CheckShared(call);
}

TextBatch::TextBatch(TextCall call)
    : call_(std::move(call)), results_(call_.texts.size()), future_(promise_.get_future()) {
  tokens_ = TokensToCompute(call_);
}

Status TextBatch::CheckWanted(int64_t now_ns) const noexcept {
  if (call_.cancelled && call_.cancelled()) return FailInWords(Code::kCancelled, "cancelled");
  if (call_.deadline_ns && now_ns >= *call_.deadline_ns)
    return FailInWords(Code::kDeadline, "the deadline has passed");
  return {};
}

void TextBatch::Finish(Status status) noexcept {
  if (status)
    promise_.set_value(std::move(results_));
  else
    promise_.set_value(Fail(std::move(status).error()));
}

TextJob::TextJob(std::shared_ptr<TextBatch> batch, size_t index)
    : batch_(std::move(batch)),
      index_(index),
      length_(ComputedOf(text())),
      cache_(batch_->runner().pages()),
      taken_(batch_->shared()) {}

TextJob::TextJob(std::shared_ptr<TextBatch> batch)
    : batch_(std::move(batch)),
      index_(0),
      length_(batch_->shared()),
      wanted_(false),
      cache_(batch_->runner().pages()),
      taken_(0) {}

Slice TextJob::Wish(int64_t count) {
  const int64_t begin = cache_.length();
  wish_ = {};
  wish_.cache = &cache_;
  wish_.tokens = std::span<const int32_t>(text().tokens)
                     .subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  if (wanted_) {
    wish_.scores = WishScores(begin, begin + count);
    wish_.hidden = WishHidden(begin, begin + count);
  }
  return wish_;
}

// Of tokens [begin, end), those not taken already, which are a beginning of them after a
// preemption. A token's probability comes of computing the one before it.
Scores TextJob::WishScores(int64_t begin, int64_t end) {
  if (!text().score_from) return {};
  const int64_t first = std::max({begin, taken_, *text().score_from - 1});
  const int64_t last = std::min(end, static_cast<int64_t>(text().tokens.size()) - 1);
  if (first >= last) return {};
  const auto count = static_cast<size_t>(last - first);
  logprobs_.resize(count);
  return {first - begin,
          std::span<const int32_t>(text().tokens).subspan(static_cast<size_t>(first) + 1, count),
          logprobs_,
          0,
          {}};
}

HiddenRows TextJob::WishHidden(int64_t begin, int64_t end) const {
  if (!text().pooling) return {};
  int64_t first = std::max(begin, taken_);
  int64_t last = end;
  if (*text().pooling == Pooling::kFirst) last = std::min<int64_t>(last, 1);
  if (*text().pooling == Pooling::kLast) first = std::max(first, length_ - 1);
  if (first >= last) return {};
  return {first - begin, static_cast<int32_t>(last - first)};
}

Status TextJob::Take(int32_t index) {
  const Scores& scores = wish_.scores;
  const int64_t begin = cache_.length();
  const int64_t end = begin + static_cast<int64_t>(wish_.tokens.size());
  MIRAGE_TRY(CheckNumbers(scores.logprobs, begin + scores.first + 1));
  TextResult& result = batch_->result(index_);
  if (!scores.targets.empty() && result.logprobs.empty())
    result.logprobs.reserve(text().tokens.size() - static_cast<size_t>(*text().score_from));
  result.logprobs.insert(result.logprobs.end(), scores.logprobs.begin(), scores.logprobs.end());
  for (int32_t row = 0; row < wish_.hidden.count; ++row) {
    const std::span<const float> hidden = runner().Hidden(index + row);
    if (!std::all_of(hidden.begin(), hidden.end(), [](float x) { return std::isfinite(x); }))
      return FileError(Code::kCorrupt,
                       "the model gives hidden states that are not numbers at position " +
                           std::to_string(begin + wish_.hidden.first + row));
    Pool(hidden);
  }
  if (end > taken_) {
    batch_->CountComputed(end - taken_);
    taken_ = end;
  }
  cache_.Commit(end);
  if (wanted_ && pending() == 0) EndPooling();
  return {};
}

// In the order of the tokens, however they were cut into passes.
void TextJob::Pool(std::span<const float> hidden) {
  if (*text().pooling == Pooling::kMean) {
    sums_.resize(hidden.size());
    for (size_t i = 0; i < hidden.size(); ++i) sums_[i] += static_cast<double>(hidden[i]);
    return;
  }
  std::vector<float>& embedding = batch_->result(index_).embedding;
  if (embedding.empty())
    embedding.reserve(hidden.size() *
                      (*text().pooling == Pooling::kNone ? text().tokens.size() : 1));
  embedding.insert(embedding.end(), hidden.begin(), hidden.end());
}

void TextJob::EndPooling() {
  if (!text().pooling || *text().pooling != Pooling::kMean) return;
  const auto count = static_cast<double>(text().tokens.size());
  std::vector<float>& embedding = batch_->result(index_).embedding;
  embedding.reserve(sums_.size());
  for (const double sum : sums_) embedding.push_back(static_cast<float>(sum / count));
}

}  // namespace mirage::engine
