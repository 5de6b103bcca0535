// SPDX-License-Identifier: Apache-2.0
#pragma once

// Workload: who asks for what and when. From a trace, or drawn like one.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::sim {

struct Arrival {
  int64_t at_ns = 0;
  int32_t model = 0;
  int32_t prompt_tokens = 1;
  int32_t output_tokens = 1;
};

// The Azure LLM inference traces of 2023 (CC-BY): TIMESTAMP,ContextTokens,GeneratedTokens, of one
// day, from the first line's time on. kCorrupt names the line.
[[nodiscard]] Result<std::vector<Arrival>> ReadAzureTrace(const std::string& path);

// Lengths and times between arrivals as a trace has them: their quantiles at kQuantiles, between
// which draws lie on straight lines of the logarithm. Each is drawn by itself.
inline constexpr std::array<double, 22> kQuantiles = {
    0,        1 / 16.,  2 / 16.,    3 / 16.,    4 / 16.,    5 / 16.,  6 / 16.,  7 / 16.,
    8 / 16.,  9 / 16.,  10 / 16.,   11 / 16.,   12 / 16.,   13 / 16., 14 / 16., 15 / 16.,
    31 / 32., 63 / 64., 127 / 128., 255 / 256., 511 / 512., 1};
struct Population {
  std::string name;
  std::array<double, 22> prompt_tokens;
  std::array<double, 22> output_tokens;
  std::array<double, 22> gaps;  // between arrivals, of the mean
};
[[nodiscard]] const std::vector<Population>& Populations();
[[nodiscard]] Result<Population> FindPopulation(std::string_view name);

struct Draw {
  int64_t requests = 1000;
  double per_second = 1;  // arrivals
  double scale = 1;       // of the lengths
  uint64_t seed = 1;
};
// Deterministic by seed, on every machine.
[[nodiscard]] std::vector<Arrival> DrawArrivals(const Population& population, const Draw& draw);

// The same arrivals at another rate: times are stretched so that there are `per_second` on average.
[[nodiscard]] std::vector<Arrival> AtRate(std::vector<Arrival> arrivals, double per_second);

}  // namespace mirage::sim
