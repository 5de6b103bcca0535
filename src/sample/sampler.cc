// SPDX-License-Identifier: Apache-2.0
#define FMT_HEADER_ONLY
#include "sample/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sample/draw.h"
#include "sample/penalties.h"
#include "sample/truncation.h"

namespace mirage::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Status CheckRange(const char* name, float value, float low, float high) {
  if (value >= low && value <= high) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} is {}, expected {} to {}", name, value, low, high));
}

Status CheckFinite(const char* name, float value) {
  if (std::isfinite(value)) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} is {}, expected a finite number", name, value));
}

Status CheckAtLeast(const char* name, int32_t value, int32_t low) {
  if (value >= low) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} is {}, expected at least {}", name, value, low));
}

Status CheckBias(const Params& params, int32_t vocabulary) {
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocabulary)
      return Fail(
          Code::kInvalidArgument,
          fmt::format("logit_bias names token {}, the vocabulary has {}", token, vocabulary));
    if (!(bias < kInfinity))
      return Fail(Code::kInvalidArgument,
                  fmt::format("logit_bias of token {} is {}, expected a finite number or -inf",
                              token, bias));
  }
  return {};
}

// Everything below relies on logits that compare: neither NaN nor +inf.
Status CheckLogits(std::span<const float> logits) {
  for (size_t i = 0; i < logits.size(); ++i)
    if (!(logits[i] < kInfinity))
      return Fail(Code::kInvalidArgument, fmt::format("the logit of token {} is {}", i, logits[i]));
  return {};
}

// The lowest id among the highest logits, or -1 when every token is forbidden.
int32_t ArgMax(std::span<const float> logits) {
  float best = -kInfinity;
  int32_t token = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best) {
      best = logits[i];
      token = static_cast<int32_t>(i);
    }
  }
  return token;
}

void ApplyBias(const Params& params, std::span<float> logits) {
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
}

bool ChangesLogits(const Params& params) {
  return !params.logit_bias.empty() || params.repeat_penalty != 1.0f ||
         params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f;
}

std::vector<Candidate> Truncate(const Params& params, std::span<const float> logits) {
  const size_t top_k = static_cast<size_t>(params.top_k);
  const bool cuts = top_k > 0 && top_k < logits.size();
  std::vector<Candidate> candidates = cuts ? HighestLogits(logits, top_k) : AllowedTokens(logits);
  if (candidates.empty()) return candidates;
  if (params.typical_p < 1.0f) KeepTypical(params.typical_p, candidates);
  if (params.top_p < 1.0f) KeepTopP(params.top_p, candidates);
  if (params.min_p > 0.0f) KeepMinP(params.min_p, candidates);
  return candidates;
}

double LogSumExp(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

void FillLogprobs(std::span<const float> original, int count, Choice& choice) {
  const double log_sum = LogSumExp(original);
  choice.logprob = static_cast<float>(original[choice.token] - log_sum);
  for (const Candidate& candidate : HighestLogits(original, static_cast<size_t>(count)))
    choice.top.push_back({candidate.token, static_cast<float>(candidate.logit - log_sum)});
}

}  // namespace

Result<Sampler> Sampler::Create(Params params, int32_t vocabulary) {
  MIRAGE_TRY(CheckAtLeast("vocabulary", vocabulary, 1));
  MIRAGE_TRY(CheckFinite("temperature", params.temperature));
  MIRAGE_TRY(CheckAtLeast("top_k", params.top_k, 0));
  MIRAGE_TRY(CheckRange("top_p", params.top_p, 0, 1));
  MIRAGE_TRY(CheckRange("min_p", params.min_p, 0, 1));
  MIRAGE_TRY(CheckRange("typical_p", params.typical_p, 0, 1));
  MIRAGE_TRY(CheckFinite("repeat_penalty", params.repeat_penalty));
  if (params.repeat_penalty <= 0)
    return Fail(Code::kInvalidArgument,
                fmt::format("repeat_penalty is {}, expected above 0", params.repeat_penalty));
  MIRAGE_TRY(CheckAtLeast("repeat_last_n", params.repeat_last_n, -1));
  MIRAGE_TRY(CheckFinite("presence_penalty", params.presence_penalty));
  MIRAGE_TRY(CheckFinite("frequency_penalty", params.frequency_penalty));
  MIRAGE_TRY(CheckBias(params, vocabulary));
  return Sampler(std::move(params), vocabulary);
}

Result<Choice> Sampler::Sample(std::span<float> logits, const DrawContext& context) const {
  if (logits.size() != static_cast<size_t>(vocabulary_))
    return Fail(Code::kInvalidArgument,
                fmt::format("{} logits for a vocabulary of {}", logits.size(), vocabulary_));
  MIRAGE_TRY(CheckLogits(logits));

  std::vector<float> original;
  if (context.logprobs > 0) original.assign(logits.begin(), logits.end());
  if (ChangesLogits(params_)) {
    ApplyBias(params_, logits);
    ApplyPenalties(params_, context.history, context.output_begin, logits);
    MIRAGE_TRY(CheckLogits(logits));  // finite numbers can still overflow when added
  }

  Choice choice;
  if (params_.temperature <= 0) {
    choice.token = ArgMax(logits);
  } else if (std::vector<Candidate> candidates = Truncate(params_, logits); !candidates.empty()) {
    choice.token = Draw(candidates, params_.temperature,
                        Uniform(params_.seed, context.sample_index, context.position));
  }
  if (choice.token < 0)
    return Fail(Code::kInvalidArgument,
                fmt::format("every one of the {} tokens is forbidden", vocabulary_));
  if (context.logprobs > 0) FillLogprobs(original, context.logprobs, choice);
  return choice;
}

}  // namespace mirage::sample
