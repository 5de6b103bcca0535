// SPDX-License-Identifier: Apache-2.0
#pragma once

// Requests as they arrive: from a trace file, or drawn to be like one.
//
// A file has lines of TIMESTAMP,ContextTokens,GeneratedTokens under such a header, as the Azure LLM
// inference traces of 2023 (CC-BY). "conv" and "code" stand for those: prompts and answers drawn by
// linear interpolation between quantiles of each, independently (their rank correlation is below
// 0.06), and arrivals in bursts: intervals are exponential at a rate that is drawn anew every so
// often from a gamma distribution, so that counts vary from window to window as they do there.

#include <cstdint>
#include <string>
#include <vector>

namespace mirage::cli {

struct Arrival {
  double second = 0;  // since the first one
  int64_t prompt_tokens = 0;
  int64_t answer_tokens = 0;
};

// "conv", "code" or a file; lengths are multiplied by `scale` and are at least 1. The first `count`
// of a file, all of them if it has fewer.
[[nodiscard]] std::vector<Arrival> MakeArrivals(const std::string& trace, int count, double scale,
                                                uint64_t seed);

// The same with their times stretched, or pressed together, so that `rate` arrive in a second.
[[nodiscard]] std::vector<Arrival> AtRate(std::vector<Arrival> arrivals, double rate);

}  // namespace mirage::cli
