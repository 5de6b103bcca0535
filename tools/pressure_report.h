// SPDX-License-Identifier: Apache-2.0
#pragma once

// What bench pressure has measured, as a table and as a picture.

#include <string>
#include <vector>

namespace mirage::cli {

// One run of one policy at one rate.
struct Cell {
  std::string policy;
  double load = 0;  // offered, of what recompute can do
  int run = 0;
  double first_p50 = 0;  // seconds
  double first_p99 = 0;
  double gap_p50 = 0;
  double gap_p99 = 0;
  double tokens_per_second = 0;
};

// By linear interpolation; 0 of no values.
[[nodiscard]] double Percentile(std::vector<double> values, double share);

// Medians and interquartile ranges over the runs. A "?" follows where the range is more than `gate`
// of the median, or there are too few runs to tell.
[[nodiscard]] std::string MarkdownTable(const std::vector<Cell>& cells, double gate);

// The 99th percentiles against the load, a line for each policy.
[[nodiscard]] std::string PressureSvg(const std::vector<Cell>& cells);

}  // namespace mirage::cli
