// SPDX-License-Identifier: Apache-2.0
#pragma once

// ShortagePolicy: what gives way when keys and values want more memory than is free.
//
// By then nothing is left that is kept only to be found again. Either a request that came later
// gives up its pages and is computed again (recompute, as vLLM does), or weights are lent: they are
// read again in every pass from then on (remap, arXiv 2507.11507), until there is room for them to
// come home. The hybrid takes what is cheaper, in the time of all who compute together.

#include <cstdint>

namespace mirage::engine {

enum class ShortagePolicy : uint8_t { kHybrid, kRecompute, kRemap };

struct ShortageCosts {
  double fill_ns = 0;         // of the bytes that would be lent, in every pass
  double step_ns = 0;         // of a pass as it is
  double token_ns = 0;        // of a token computed among many
  int64_t steps = 0;          // that the shortage is likely to last
  int64_t others = 0;         // that compute now
  double waiting_share = 1;   // of all the pages of the one that would wait, those asked for
  int64_t victim_tokens = 0;  // whose pages are as many bytes, to be computed again; 0: there is
                              // nobody to take from, and the one that wants pages would wait
};

// Lending slows every step of everybody, the more the more is lent, so the one that would wait
// counts by the part of all its pages that is asked for. Without it that one does not take part
// meanwhile, and everybody waits for what is computed again. Where nobody else computes there is no
// choice.
[[nodiscard]] inline bool LendingIsCheaper(const ShortageCosts& costs) {
  if (costs.others == 0) return true;
  const auto steps = static_cast<double>(costs.steps);
  const auto all = static_cast<double>(costs.others + 1);
  return costs.fill_ns * steps * all <=
         costs.step_ns * steps * costs.waiting_share +
             costs.token_ns * static_cast<double>(costs.victim_tokens) * all;
}

}  // namespace mirage::engine
