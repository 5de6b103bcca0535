// SPDX-License-Identifier: Apache-2.0

#include "sample/constraints.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace mirage::sample {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void Forbid(std::span<float> logits, int32_t token) {
  if (token >= 0 && static_cast<size_t>(token) < logits.size())
    logits[static_cast<size_t>(token)] = kForbidden;
}

void KeepAllowed(std::span<const int32_t> allowed, std::span<float> logits,
                 std::vector<float>& kept) {
  kept.resize(allowed.size());
  for (size_t i = 0; i < allowed.size(); ++i) kept[i] = logits[static_cast<size_t>(allowed[i])];
  std::fill(logits.begin(), logits.end(), kForbidden);
  for (size_t i = 0; i < allowed.size(); ++i) logits[static_cast<size_t>(allowed[i])] = kept[i];
}

void ForbidCompletions(const TokenSequences& banned, std::span<const int32_t> history,
                       std::span<float> logits) {
  for (const std::vector<int32_t>& sequence : banned.all()) {
    const size_t before = sequence.size() - 1;
    if (before <= history.size() && std::equal(sequence.begin(), sequence.end() - 1,
                                               history.end() - static_cast<ptrdiff_t>(before)))
      Forbid(logits, sequence.back());
  }
}

void KeepOnly(const BitSet& kept, std::span<float> logits) {
  const std::span<const uint64_t> words = kept.words();
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t word = begin / 64 < words.size() ? words[begin / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    const std::span<float> part =
        logits.subspan(begin, std::min<size_t>(64, logits.size() - begin));
    if (word == 0) {
      std::fill(part.begin(), part.end(), kForbidden);
      continue;
    }
    for (size_t i = 0; i < part.size(); ++i)
      if (((word >> i) & 1) == 0) part[i] = kForbidden;
  }
}

}  // namespace

bool HasConstraints(const Params& params, std::span<const int32_t> forbidden,
                    const BitSet* grammar) {
  return !params.logit_bias.empty() || !params.allowed_tokens.empty() ||
         params.banned_sequences != nullptr || !forbidden.empty() || grammar != nullptr;
}

void ApplyConstraints(const Params& params, std::span<const int32_t> history,
                      std::span<const int32_t> forbidden, const BitSet* grammar,
                      std::span<float> logits, Workspace& workspace) {
  for (const auto& [token, bias] : params.logit_bias) logits[static_cast<size_t>(token)] += bias;
  if (grammar != nullptr) KeepOnly(*grammar, logits);
  if (!params.allowed_tokens.empty()) KeepAllowed(params.allowed_tokens, logits, workspace.kept);
  if (params.banned_sequences != nullptr)
    ForbidCompletions(*params.banned_sequences, history, logits);
  for (const int32_t token : forbidden) Forbid(logits, token);
}

std::string ConstraintNames(const Params& params, std::span<const int32_t> forbidden,
                            const BitSet* grammar) {
  std::string names;
  const auto add = [&](const char* name) {
    names += (names.empty() ? " by " : ", ") + std::string(name);
  };
  if (std::any_of(params.logit_bias.begin(), params.logit_bias.end(),
                  [](const auto& bias) { return bias.second == kForbidden; }))
    add("logit_bias");
  if (!params.allowed_tokens.empty()) add("allowed_tokens");
  if (params.banned_sequences != nullptr) add("banned_sequences");
  if (!forbidden.empty()) add("min_tokens");
  if (grammar != nullptr) add("the grammar");
  return names;
}

}  // namespace mirage::sample
