// SPDX-License-Identifier: Apache-2.0
#include "tools/pressure_report.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mirage::cli {
namespace {

constexpr size_t kLeastRuns = 3;

struct Column {
  const char* name;
  double Cell::*value;
  double unit;
  int digits;
};
constexpr Column kColumns[] = {
    {"first token P50, s", &Cell::first_p50, 1, 2},     {"P99, s", &Cell::first_p99, 1, 2},
    {"between tokens P50, ms", &Cell::gap_p50, 1e3, 1}, {"P99, ms", &Cell::gap_p99, 1e3, 1},
    {"tokens/s", &Cell::tokens_per_second, 1, 1},
};

std::vector<double> ValuesOf(const std::vector<Cell>& cells, const std::string& policy, double load,
                             double Cell::*value) {
  std::vector<double> values;
  for (const Cell& cell : cells)
    if (cell.policy == policy && cell.load == load) values.push_back(cell.*value);
  return values;
}

// Each once, in the order in which they come.
template <typename Value>
std::vector<Value> Distinct(const std::vector<Cell>& cells, Value Cell::*value) {
  std::vector<Value> all;
  for (const Cell& cell : cells)
    if (std::find(all.begin(), all.end(), cell.*value) == all.end()) all.push_back(cell.*value);
  return all;
}

std::string Entry(const std::vector<double>& values, const Column& column, double gate) {
  const double median = Percentile(values, 0.5);
  const double range = Percentile(values, 0.75) - Percentile(values, 0.25);
  const bool resolved = values.size() >= kLeastRuns && range <= gate * median;
  return fmt::format(" {:.{}f} ({:.{}f}){} |", median * column.unit, column.digits,
                     range * column.unit, column.digits, resolved ? "" : "?");
}

// One diagram of a picture: 99th percentiles, on a logarithmic scale.
std::string Panel(const std::vector<Cell>& cells, const Column& column, const char* title,
                  double left) {
  constexpr double kWidth = 320;
  constexpr double kHeight = 240;
  constexpr double kTop = 40;
  constexpr const char* kColours[] = {"#1b6ca8", "#d1495b", "#66a182",
                                      "#edae49", "#8d6cab", "#5c5c5c"};
  const std::vector<std::string> policies = Distinct(cells, &Cell::policy);
  std::vector<double> loads = Distinct(cells, &Cell::load);
  std::sort(loads.begin(), loads.end());
  double least = std::numeric_limits<double>::max();
  double most = 1e-6;
  for (const Cell& cell : cells) {
    least = std::min(least, std::max(1e-6, cell.*column.value));
    most = std::max(most, cell.*column.value);
  }
  least = std::pow(10, std::floor(std::log10(least)));
  most = std::pow(10, std::ceil(std::log10(most) + 1e-9));
  const double span = std::max(1e-9, loads.back() - loads.front());
  const auto x = [&](double load) { return left + (load - loads.front()) / span * kWidth; };
  const auto y = [&](double value) {
    return kTop + kHeight -
           std::log(std::max(value, least) / least) / std::log(most / least) * kHeight;
  };
  std::string svg = fmt::format(
      "<text x=\"{}\" y=\"24\">{}</text><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
      "fill=\"none\" stroke=\"#999\"/>\n",
      left, title, left, kTop, kWidth, kHeight);
  for (double tick = least; tick <= most * 1.001; tick *= 10)
    svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n", left - 6,
                       y(tick) + 4, tick * column.unit);
  for (const double load : loads)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>\n", x(load),
                       kTop + kHeight + 18, load);
  for (size_t i = 0; i < policies.size(); ++i) {
    const char* const colour = kColours[i % std::size(kColours)];
    std::string points;
    for (const double load : loads)
      if (const auto values = ValuesOf(cells, policies[i], load, column.value); !values.empty())
        points += fmt::format("{:.1f},{:.1f} ", x(load), y(Percentile(values, 0.5)));
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                       points, colour);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n", left + 8,
                       kTop + 18 + 16 * static_cast<double>(i), colour, policies[i]);
  }
  return svg;
}

}  // namespace

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

std::string MarkdownTable(const std::vector<Cell>& cells, double gate) {
  std::string table = "| load | policy |";
  std::string rule = "\n|---|---|";
  for (const Column& column : kColumns) {
    table += fmt::format(" {} |", column.name);
    rule += "---|";
  }
  table += rule + "\n";
  std::vector<double> loads = Distinct(cells, &Cell::load);
  std::sort(loads.begin(), loads.end());
  for (const double load : loads) {
    for (const std::string& policy : Distinct(cells, &Cell::policy)) {
      if (ValuesOf(cells, policy, load, &Cell::first_p50).empty()) continue;
      table += fmt::format("| {:g} | {} |", load, policy);
      for (const Column& column : kColumns)
        table += Entry(ValuesOf(cells, policy, load, column.value), column, gate);
      table += "\n";
    }
  }
  return table;
}

std::string PressureSvg(const std::vector<Cell>& cells) {
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"330\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"800\" height=\"330\" "
      "fill=\"white\"/>\n";
  if (!cells.empty()) {
    svg += Panel(cells, kColumns[1], "first token P99, s, against the load", 50);
    svg += Panel(cells, kColumns[3], "between tokens P99, ms, against the load", 450);
  }
  return svg + "</svg>\n";
}

}  // namespace mirage::cli
