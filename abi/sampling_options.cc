// SPDX-License-Identifier: Apache-2.0

#include "abi/sampling_options.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mirage::abi {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

Status CheckLists(const mirage_generation_options& options) {
  MIRAGE_TRY(CheckSpan(options.logit_bias, options.logit_bias_count, "logit_bias"));
  MIRAGE_TRY(CheckSpan(options.dry_breakers, options.dry_breaker_count, "dry_breakers"));
  MIRAGE_TRY(
      CheckSpan(options.banned_sequences, options.banned_sequence_count, "banned_sequences"));
  return CheckSpan(options.allowed_tokens, options.allowed_token_count, "allowed_tokens");
}

// Limits on tokens and guesses of them are the library's; a sampler of the caller's has all tokens
// to choose from, one at a time.
Status CheckExternal(const mirage_generation_options& options) {
  const char* set = options.min_tokens != 0              ? "min_tokens"
                    : options.banned_sequence_count != 0 ? "banned_sequences"
                    : options.allowed_token_count != 0   ? "allowed_tokens"
                    : options.draft_tokens != 0          ? "draft_tokens"
                    : options.draft_model != nullptr     ? "draft_model"
                    : options.logit_bias_count != 0      ? "logit_bias"
                    : options.logprobs != 0              ? "logprobs"
                    : options.grammar_kind != 0          ? "grammar_kind"
                                                         : nullptr;
  if (options.sampler != MIRAGE_SAMPLER_EXTERNAL || set == nullptr) return {};
  return Fail(Code::kInvalidArgument,
              std::string(set) + " is set, but with SAMPLER_EXTERNAL the caller chooses");
}

Result<Sequences> ReadBanned(const mirage_generation_options& options) {
  Sequences banned;
  for (size_t i = 0; i < options.banned_sequence_count; ++i) {
    const mirage_token_sequence& sequence = options.banned_sequences[i];
    MIRAGE_TRY(CheckSpan(sequence.tokens, sequence.count, "a banned sequence"));
    banned.emplace_back(sequence.tokens, sequence.tokens + sequence.count);
  }
  return banned;
}

// The order, and what is not a plain number.
Status ReadLists(const mirage_generation_options& options, sample::Params* sampling) {
  if (options.samplers != nullptr) {
    MIRAGE_TRY_ASSIGN(sampling->order, sample::ParseOrder(options.samplers));
  }
  for (size_t i = 0; i < options.logit_bias_count; ++i)
    sampling->logit_bias.emplace_back(options.logit_bias[i].token, options.logit_bias[i].bias);
  sampling->allowed_tokens.assign(options.allowed_tokens,
                                  options.allowed_tokens + options.allowed_token_count);
  if (options.banned_sequence_count > 0) {
    MIRAGE_TRY_ASSIGN(Sequences banned, ReadBanned(options));
    sampling->banned_sequences = std::make_shared<const sample::TokenSequences>(std::move(banned));
  }
  return {};
}

void ReadNumbers(const mirage_generation_options& options, sample::Params* sampling) {
  sampling->temperature = options.temperature;
  sampling->top_k = options.top_k;
  sampling->top_p = options.top_p;
  sampling->min_p = options.min_p;
  sampling->typical_p = options.typical_p;
  sampling->top_n_sigma = options.top_n_sigma;
  sampling->repeat_penalty = options.repeat_penalty;
  sampling->repeat_last_n = options.repeat_last_n;
  sampling->presence_penalty = options.presence_penalty;
  sampling->frequency_penalty = options.frequency_penalty;
  sampling->dry_multiplier = options.dry_multiplier;
  sampling->dry_base = options.dry_base;
  sampling->dry_allowed_length = options.dry_allowed_length;
  sampling->dry_penalty_last_n = options.dry_penalty_last_n;
  sampling->xtc_probability = options.xtc_probability;
  sampling->xtc_threshold = options.xtc_threshold;
  sampling->dynatemp_range = options.dynatemp_range;
  sampling->dynatemp_exponent = options.dynatemp_exponent;
  sampling->mirostat = options.mirostat;
  sampling->mirostat_tau = options.mirostat_tau;
  sampling->mirostat_eta = options.mirostat_eta;
}

}  // namespace

void ShowSampling(const sample::Params& sampling, mirage_generation_options* options) {
  options->temperature = sampling.temperature;
  options->top_k = sampling.top_k;
  options->top_p = sampling.top_p;
  options->min_p = sampling.min_p;
  options->typical_p = sampling.typical_p;
  options->top_n_sigma = sampling.top_n_sigma;
  options->repeat_penalty = sampling.repeat_penalty;
  options->repeat_last_n = sampling.repeat_last_n;
  options->presence_penalty = sampling.presence_penalty;
  options->frequency_penalty = sampling.frequency_penalty;
  options->dry_multiplier = sampling.dry_multiplier;
  options->dry_base = sampling.dry_base;
  options->dry_allowed_length = sampling.dry_allowed_length;
  options->dry_penalty_last_n = sampling.dry_penalty_last_n;
  options->xtc_probability = sampling.xtc_probability;
  options->xtc_threshold = sampling.xtc_threshold;
  options->dynatemp_range = sampling.dynatemp_range;
  options->dynatemp_exponent = sampling.dynatemp_exponent;
  options->mirostat = sampling.mirostat;
  options->mirostat_tau = sampling.mirostat_tau;
  options->mirostat_eta = sampling.mirostat_eta;
}

Status ReadSampling(const mirage_generation_options& options, session::GenerationOptions* read) {
  MIRAGE_TRY(CheckLists(options));
  MIRAGE_TRY(CheckExternal(options));
  ReadNumbers(options, &read->sampling);
  MIRAGE_TRY(ReadLists(options, &read->sampling));
  if (options.dry_breakers != nullptr) {
    read->dry_breakers.clear();
    for (size_t i = 0; i < options.dry_breaker_count; ++i) {
      const mirage_string& string = options.dry_breakers[i];
      MIRAGE_TRY(CheckSpan(string.text, string.bytes, "a DRY breaker"));
      read->dry_breakers.emplace_back(
          string.text != nullptr ? std::string(string.text, string.bytes) : std::string());
    }
  }
  read->min_tokens = options.min_tokens;
  return {};
}

}  // namespace mirage::abi
