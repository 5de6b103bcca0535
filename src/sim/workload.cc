// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <random>

#include "platform/text_file.h"

namespace mirage::sim {
namespace {

// Uniform in [0, 1), the same on every machine, which std's distributions are not.
double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

double At(const std::array<double, kQuantiles.size()>& values, double p) {
  const auto above = std::upper_bound(kQuantiles.begin() + 1, kQuantiles.end() - 1, p);
  const auto i = static_cast<size_t>(above - kQuantiles.begin());
  const double part = (p - kQuantiles[i - 1]) / (kQuantiles[i] - kQuantiles[i - 1]);
  return values[i - 1] * std::pow(values[i] / values[i - 1], part);
}

int32_t Tokens(double count) { return static_cast<int32_t>(std::max(1.0, std::round(count))); }

template <typename Number>
std::optional<Number> ReadNumber(std::string_view text) {
  Number value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// "2023-11-16 18:17:03.9799600": the nanosecond of its day.
std::optional<int64_t> ReadTime(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  text.remove_prefix(space + 1);
  if (text.size() < 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hours = ReadNumber<int64_t>(text.substr(0, 2));
  const auto minutes = ReadNumber<int64_t>(text.substr(3, 2));
  const auto seconds = ReadNumber<double>(text.substr(6));
  if (!hours || !minutes || !seconds) return std::nullopt;
  return (*hours * 3600 + *minutes * 60) * 1'000'000'000 + std::llround(*seconds * 1e9);
}

std::optional<Arrival> ReadLine(std::string_view line) {
  const size_t first = line.find(',');
  const size_t second = first == std::string_view::npos ? first : line.find(',', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto time = ReadTime(line.substr(0, first));
  const auto prompt = ReadNumber<int32_t>(line.substr(first + 1, second - first - 1));
  const auto output = ReadNumber<int32_t>(line.substr(second + 1));
  if (!time || !prompt || !output || *prompt < 0 || *output < 0) return std::nullopt;
  return Arrival{*time, 0, std::max(1, *prompt), std::max(1, *output)};
}

}  // namespace

Result<std::vector<Arrival>> ReadAzureTrace(const std::string& path) {
  constexpr int64_t kDayNs = int64_t{86'400} * 1'000'000'000;
  const std::optional<std::string> text = platform::ReadText(path);
  if (!text) return Fail(Code::kNotFound, path + ": cannot be read");
  std::vector<Arrival> arrivals;
  int64_t number = 0;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    std::string_view line(text->data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("TIMESTAMP"))) continue;
    std::optional<Arrival> arrival = ReadLine(line);
    if (!arrival)
      return Fail(Code::kCorrupt, path + ": line " + std::to_string(number) +
                                      " is not a time, the tokens of a prompt and of an answer");
    if (!arrivals.empty() && arrival->at_ns < arrivals.back().at_ns) arrival->at_ns += kDayNs;
    arrivals.push_back(*arrival);
  }
  if (arrivals.empty()) return Fail(Code::kCorrupt, path + ": no requests");
  const int64_t begin = arrivals.front().at_ns;
  for (Arrival& arrival : arrivals) arrival.at_ns -= begin;
  return arrivals;
}

// Of the Azure LLM inference traces of 2023 (CC-BY; github.com/Azure/AzurePublicDataset). Means of
// draws are those of the traces within 4% (tests/sim/workload_test.cc).
const std::vector<Population>& Populations() {
  static const std::vector<Population> all = {
      {"conv",
       {2,    194,  235,  383,  396,  405,  428,  966,  1020, 1052, 1083,
        1120, 1189, 1335, 2309, 4079, 4089, 4107, 4162, 5035, 5652, 14050},
       {7,   45,  60,  75,  85,  92,  99,  110, 129, 157, 195,
        377, 395, 402, 416, 440, 502, 568, 615, 659, 918, 1000},
       {0.0001, 0.049,  0.1189, 0.188,  0.267,  0.3535, 0.4438, 0.5434, 0.6549, 0.787,  0.9459,
        1.1345, 1.3645, 1.6706, 2.0912, 2.8505, 3.6887, 4.4226, 5.2109, 6.0282, 6.9237, 23.8602}},
      {"code",
       {3,    90,   185,  348,  578,  825,  1016, 1196, 1469, 1734, 2048,
        2371, 2745, 3330, 4434, 6499, 7435, 7436, 7436, 7436, 7437, 7437},
       {6, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 19, 24, 31, 46, 77, 126, 196, 283, 405, 676, 1899},
       {0.0001, 0.0003, 0.0018, 0.0028, 0.0053, 0.0095, 0.0192, 0.0832, 0.1637, 0.2357, 0.2477,
        0.2558, 0.2669, 0.4643, 0.5233, 0.9096, 1.4791, 2.7312, 8.2566, 49.985, 111.17, 557.34}},
  };
  return all;
}

Result<Population> FindPopulation(std::string_view name) {
  std::string known;
  for (const Population& population : Populations()) {
    if (population.name == name) return population;
    known += (known.empty() ? "" : ", ") + population.name;
  }
  return Fail(Code::kInvalidArgument,
              "no population '" + std::string(name) + "' to draw from; there are " + known);
}

std::vector<Arrival> DrawArrivals(const Population& population, const Draw& draw) {
  std::mt19937_64 random(draw.seed);
  std::vector<Arrival> arrivals;
  arrivals.reserve(static_cast<size_t>(draw.requests));
  double now_s = 0;
  for (int64_t i = 0; i < draw.requests; ++i) {
    Arrival arrival;
    arrival.at_ns = std::llround(now_s * 1e9);
    arrival.prompt_tokens = Tokens(At(population.prompt_tokens, Uniform(random)) * draw.scale);
    arrival.output_tokens = Tokens(At(population.output_tokens, Uniform(random)) * draw.scale);
    arrivals.push_back(arrival);
    now_s += At(population.gaps, Uniform(random)) / draw.per_second;
  }
  return AtRate(std::move(arrivals), draw.per_second);
}

std::vector<Arrival> AtRate(std::vector<Arrival> arrivals, double per_second) {
  if (arrivals.size() < 2 || arrivals.back().at_ns == 0) return arrivals;
  const double wanted_ns = static_cast<double>(arrivals.size() - 1) / per_second * 1e9;
  const double stretch = wanted_ns / static_cast<double>(arrivals.back().at_ns);
  for (Arrival& arrival : arrivals)
    arrival.at_ns = std::llround(static_cast<double>(arrival.at_ns) * stretch);
  return arrivals;
}

}  // namespace mirage::sim
