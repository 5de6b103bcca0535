// SPDX-License-Identifier: Apache-2.0
#pragma once

// ShortagePolicy: what gives way when keys and values want more memory than is free.
//
// By then nothing is left that is kept only to be found again. The engine (room.cc) finds out what
// each way would cost and does what the policy answers; a policy keeps no state, and sees no clock
// but through costs that were learnt. One file each. The tokens are the same under all of them.

#include <cstdint>
#include <span>

namespace mirage::engine {

// Of one shortage.
struct ShortageCosts {
  double fill_ns = 0;         // of the bytes that would be lent, in every pass
  double step_ns = 0;         // of a pass as it is
  double token_ns = 0;        // of a token computed among many
  int64_t steps = 0;          // that the shortage is likely to last
  int64_t others = 0;         // that compute now
  double waiting_share = 1;   // of all the pages of the one that would wait, those asked for
  int64_t victim_tokens = 0;  // whose pages are as many bytes, to be computed again; 0: there is
                              // nobody to take from, and the one that wants pages would wait
  double swap_ns = 0;         // to write these bytes and to read them back
  bool can_swap = false;      // there is a place to write them to
};

class ShortagePolicy {
 public:
  ShortagePolicy() = default;
  virtual ~ShortagePolicy() = default;
  ShortagePolicy(const ShortagePolicy&) = delete;
  ShortagePolicy& operator=(const ShortagePolicy&) = delete;

  [[nodiscard]] virtual const char* name() const = 0;

  // Whether it may ever answer so; what may be lent counts as room that can be had.
  [[nodiscard]] virtual bool may_lend() const { return false; }
  // A request starts only when all that it may come to hold fits beside what those that have
  // started may still come to hold, in order of arrival.
  [[nodiscard]] virtual bool starts_whole() const { return false; }
  // It has a use for a place to write pages to, or cannot do without.
  [[nodiscard]] virtual bool may_swap() const { return needs_swap_space(); }
  [[nodiscard]] virtual bool needs_swap_space() const { return false; }
  // Weights to be read in every pass are chosen when a model is loaded.
  [[nodiscard]] virtual bool offloads() const { return false; }

  // Weights are lent, rather than that somebody gives up pages or waits.
  [[nodiscard]] virtual bool Lends(const ShortageCosts& /*costs*/) const { return false; }
  // Whoever gives up pages has them written and read back, rather than computed again.
  [[nodiscard]] virtual bool Swaps(const ShortageCosts& /*costs*/) const { return false; }
};

// All of them, the default first.
[[nodiscard]] std::span<const ShortagePolicy* const> ShortagePolicies();
// nullptr where there is none of that name.
[[nodiscard]] const ShortagePolicy* FindShortagePolicy(const char* name);

[[nodiscard]] const ShortagePolicy& HybridPolicy();
[[nodiscard]] const ShortagePolicy& RecomputePolicy();
[[nodiscard]] const ShortagePolicy& RemapPolicy();
[[nodiscard]] const ShortagePolicy& QueuePolicy();
[[nodiscard]] const ShortagePolicy& SwapPolicy();
[[nodiscard]] const ShortagePolicy& StaticOffloadPolicy();

}  // namespace mirage::engine
