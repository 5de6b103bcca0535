// SPDX-License-Identifier: Apache-2.0
#include "tools/arrivals.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <random>
#include <sstream>
#include <string_view>

#include "tools/failure.h"
#include "tools/input.h"

namespace mirage::cli {
namespace {

// Of the trace's tokens, at these shares of its requests.
constexpr std::array<double, 15> kShares = {0,   0.05, 0.1, 0.2,  0.3,  0.4,   0.5, 0.6,
                                            0.7, 0.8,  0.9, 0.95, 0.99, 0.999, 1};
struct Kind {
  std::string_view name;
  std::array<double, kShares.size()> prompt;
  std::array<double, kShares.size()> answer;
  double window;      // requests that came in a minute, on average
  double dispersion;  // of their number: variance over mean, 1 for a Poisson process
};
constexpr Kind kKinds[] = {
    {"conv",
     {2, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2735, 4083, 4142, 6212, 14050},
     {7, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 954, 1000},
     331.8,
     20.5},
    {"code",
     {3, 75, 147, 385, 770, 1075, 1469, 1909, 2433, 3193, 5194, 7315, 7436, 7437, 7437},
     {6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 252, 831, 1899},
     154.0,
     160},
};

double AtShare(const std::array<double, kShares.size()>& quantiles, double share) {
  size_t next = 1;
  while (kShares[next] < share) ++next;
  const double part = (share - kShares[next - 1]) / (kShares[next] - kShares[next - 1]);
  return quantiles[next - 1] + part * (quantiles[next] - quantiles[next - 1]);
}

int64_t Scaled(double tokens, double scale) {
  return std::max<int64_t>(1, std::llround(tokens * scale));
}

// Bits of the engine, since the distributions of <random> differ between libraries.
class Draw {
 public:
  explicit Draw(uint64_t seed) : engine_(seed) {}
  double Uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) / 9007199254740992.0; }
  double Exponential() { return -std::log(Uniform()); }
  // Of mean 1 (Marsaglia and Tsang, with the boost for shapes below 1).
  double Gamma(double shape) {
    const double boost = shape < 1 ? std::pow(Uniform(), 1 / shape) : 1;
    const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3;
    const double c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = std::sqrt(2 * Exponential()) * std::cos(2 * 3.14159265358979 * Uniform());
      const double v = std::pow(1 + c * x, 3);
      if (v <= 0 || std::log(Uniform()) >= x * x / 2 + d - d * v + d * std::log(v)) continue;
      return boost * d * v / shape;
    }
  }

 private:
  std::mt19937_64 engine_;
};

std::vector<Arrival> DrawArrivals(const Kind& kind, int count, double scale, uint64_t seed) {
  Draw draw(seed);
  // Counts of a window whose rate is gamma distributed with this shape have that dispersion.
  const double shape = kind.window / (kind.dispersion - 1);
  std::vector<Arrival> arrivals;
  double second = 0;
  double window_end = 0;
  double rate = 1;
  while (static_cast<int>(arrivals.size()) < count) {
    if (second >= window_end) {
      rate = draw.Gamma(shape);
      window_end += kind.window;
      continue;
    }
    second += draw.Exponential() / std::max(rate, 1e-9);
    if (second >= window_end) {  // none more in this window: the next one has a rate of its own
      second = window_end;
      continue;
    }
    arrivals.push_back({second, Scaled(AtShare(kind.prompt, draw.Uniform()), scale),
                        Scaled(AtShare(kind.answer, draw.Uniform()), scale)});
  }
  return arrivals;
}

// Seconds of the day: "2023-11-16 18:17:03.9799600".
bool ParseSecond(std::string_view text, double* second) {
  int hours = 0;
  int minutes = 0;
  const size_t clock = text.find(' ');
  if (clock == std::string_view::npos || text.size() < clock + 9) return false;
  const char* const begin = text.data() + clock + 1;
  const bool read =
      std::from_chars(begin, begin + 2, hours).ptr == begin + 2 &&
      std::from_chars(begin + 3, begin + 5, minutes).ptr == begin + 5 &&
      std::from_chars(begin + 6, text.data() + text.size(), *second).ec == std::errc();
  *second += 60 * (minutes + 60.0 * hours);
  return read;
}

std::vector<Arrival> ReadArrivals(const std::string& path, int count, double scale) {
  std::istringstream lines(ReadFile(path));
  std::string line;
  const auto refuse = [&](const std::string& what) {
    return Failure(kBadInput, fmt::format("{}: {}", path, what));
  };
  if (!std::getline(lines, line) || !line.starts_with("TIMESTAMP,ContextTokens,GeneratedTokens"))
    throw refuse("the first line is not TIMESTAMP,ContextTokens,GeneratedTokens");
  std::vector<Arrival> arrivals;
  double first = 0;
  double before = 0;
  while (static_cast<int>(arrivals.size()) < count && std::getline(lines, line)) {
    if (line.empty()) continue;
    const size_t second = line.find(',');
    const size_t third = line.find(',', second + 1);
    Arrival arrival;
    int64_t prompt = 0;
    int64_t answer = 0;
    const bool read =
        third != std::string::npos &&
        ParseSecond(std::string_view(line).substr(0, second), &arrival.second) &&
        std::from_chars(line.data() + second + 1, line.data() + third, prompt).ec == std::errc() &&
        std::from_chars(line.data() + third + 1, line.data() + line.size(), answer).ec ==
            std::errc();
    if (!read || prompt < 0 || answer < 0)
      throw refuse(fmt::format("line {} cannot be read", arrivals.size() + 2));
    if (arrivals.empty()) first = arrival.second;
    arrival.second -= first;
    if (arrival.second < before)
      throw refuse(fmt::format("line {} is earlier than the one before", arrivals.size() + 2));
    before = arrival.second;
    arrival.prompt_tokens = Scaled(static_cast<double>(prompt), scale);
    arrival.answer_tokens = Scaled(static_cast<double>(answer), scale);
    arrivals.push_back(arrival);
  }
  if (arrivals.empty()) throw refuse("there are no requests in it");
  return arrivals;
}

}  // namespace

std::vector<Arrival> MakeArrivals(const std::string& trace, int count, double scale,
                                  uint64_t seed) {
  for (const Kind& kind : kKinds)
    if (trace == kind.name) return DrawArrivals(kind, count, scale, seed);
  return ReadArrivals(trace, count, scale);
}

std::vector<Arrival> AtRate(std::vector<Arrival> arrivals, double rate) {
  const double first = arrivals.front().second;
  const double span = arrivals.back().second - first;
  const double wanted = static_cast<double>(arrivals.size()) / rate;
  for (Arrival& arrival : arrivals)
    arrival.second = span > 0 ? (arrival.second - first) * wanted / span : 0;
  return arrivals;
}

}  // namespace mirage::cli
