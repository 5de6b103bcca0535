// SPDX-License-Identifier: Apache-2.0
#define FMT_HEADER_ONLY
#include "sample/params.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace mirage::sample {
namespace {

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

Status CheckFiniteAtLeast(const char* name, float value, float low) {
  if (std::isfinite(value) && value >= low) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} is {}, expected a finite number of at least {}", name, value, low));
}

Status CheckToken(const char* name, int32_t token, int32_t vocabulary) {
  if (token >= 0 && token < vocabulary) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} names token {}, the vocabulary has {}", name, token, vocabulary));
}

Status CheckPenalties(const Params& params) {
  MIRAGE_TRY(CheckFinite("repeat_penalty", params.repeat_penalty));
  if (params.repeat_penalty <= 0)
    return Fail(Code::kInvalidArgument,
                fmt::format("repeat_penalty is {}, expected above 0", params.repeat_penalty));
  MIRAGE_TRY(CheckAtLeast("repeat_last_n", params.repeat_last_n, -1));
  MIRAGE_TRY(CheckFinite("presence_penalty", params.presence_penalty));
  MIRAGE_TRY(CheckFinite("frequency_penalty", params.frequency_penalty));
  MIRAGE_TRY(CheckFiniteAtLeast("dry_multiplier", params.dry_multiplier, 0));
  MIRAGE_TRY(CheckFiniteAtLeast("dry_base", params.dry_base, 1));
  MIRAGE_TRY(CheckAtLeast("dry_allowed_length", params.dry_allowed_length, 0));
  return CheckAtLeast("dry_penalty_last_n", params.dry_penalty_last_n, -1);
}

Status CheckTruncation(const Params& params) {
  MIRAGE_TRY(CheckAtLeast("top_k", params.top_k, 0));
  MIRAGE_TRY(CheckRange("top_p", params.top_p, 0, 1));
  MIRAGE_TRY(CheckRange("min_p", params.min_p, 0, 1));
  MIRAGE_TRY(CheckRange("typical_p", params.typical_p, 0, 1));
  MIRAGE_TRY(CheckFiniteAtLeast("top_n_sigma", params.top_n_sigma, 0));
  MIRAGE_TRY(CheckRange("xtc_probability", params.xtc_probability, 0, 1));
  return CheckRange("xtc_threshold", params.xtc_threshold, 0, 1);
}

Status CheckTemperature(const Params& params) {
  MIRAGE_TRY(CheckFinite("temperature", params.temperature));
  MIRAGE_TRY(CheckFiniteAtLeast("dynatemp_range", params.dynatemp_range, 0));
  MIRAGE_TRY(CheckFinite("dynatemp_exponent", params.dynatemp_exponent));
  if (params.dynatemp_exponent <= 0)
    return Fail(Code::kInvalidArgument,
                fmt::format("dynatemp_exponent is {}, expected above 0", params.dynatemp_exponent));
  if (params.mirostat < 0 || params.mirostat > 2)
    return Fail(Code::kInvalidArgument,
                fmt::format("mirostat is {}, expected 0, 1 or 2", params.mirostat));
  MIRAGE_TRY(CheckRange("mirostat_tau", params.mirostat_tau, 0, 100));
  return CheckRange("mirostat_eta", params.mirostat_eta, 0, 1);
}

Status CheckBias(const Params& params, int32_t vocabulary) {
  for (const auto& [token, bias] : params.logit_bias) {
    MIRAGE_TRY(CheckToken("logit_bias", token, vocabulary));
    if (!(bias < std::numeric_limits<float>::infinity()))
      return Fail(Code::kInvalidArgument,
                  fmt::format("logit_bias of token {} is {}, expected a finite number or -inf",
                              token, bias));
  }
  return {};
}

Status CheckSequences(const char* name, const TokenSequences* sequences, int32_t vocabulary) {
  if (sequences == nullptr) return {};
  for (const std::vector<int32_t>& sequence : sequences->all()) {
    if (sequence.empty())
      return Fail(Code::kInvalidArgument, fmt::format("{} has a sequence of no tokens", name));
    for (const int32_t token : sequence) MIRAGE_TRY(CheckToken(name, token, vocabulary));
  }
  return {};
}

}  // namespace

Status CheckParams(const Params& params, int32_t vocabulary) {
  MIRAGE_TRY(CheckAtLeast("vocabulary", vocabulary, 1));
  MIRAGE_TRY(CheckPenalties(params));
  MIRAGE_TRY(CheckTruncation(params));
  MIRAGE_TRY(CheckTemperature(params));
  MIRAGE_TRY(CheckBias(params, vocabulary));
  for (const int32_t token : params.allowed_tokens)
    MIRAGE_TRY(CheckToken("allowed_tokens", token, vocabulary));
  MIRAGE_TRY(CheckSequences("dry_breakers", params.dry_breakers.get(), vocabulary));
  return CheckSequences("banned_sequences", params.banned_sequences.get(), vocabulary);
}

}  // namespace mirage::sample
