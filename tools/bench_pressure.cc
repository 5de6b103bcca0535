// SPDX-License-Identifier: Apache-2.0

// mirage bench pressure: what gives way when keys and values want more memory than is free, the
// policies beside each other under the same arrivals.
//
// First all requests at once under "recompute" say how many a second it can do; the rates are parts
// of that. Then each policy has each rate, the policies taking turns within a run. Every cell has a
// runtime of its own, with memory planned for one sequence; the others share what the limit leaves.
// With --out each cell is kept as a line of JSON when it is done, and not measured again.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tools/arrivals.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/number.h"
#include "tools/pressure_report.h"
#include "tools/replay.h"

namespace mirage::cli {
namespace {

constexpr const char* kPolicies[] = {"hybrid", "recompute",      "remap",
                                     "queue",  "static-offload", "swap"};

struct PressureFlags {
  ModelFlags model;
  std::string trace = "conv";
  std::string scale = "1/8";
  int requests = 120;
  double seconds = 45;
  std::vector<double> rates = {0.5, 0.8, 1.0, 1.2};
  std::vector<std::string> policies = {"all"};
  int runs = 3;
  uint64_t seed = 1;
  double gate = 0.1;
  std::optional<std::string> out;
  std::optional<std::string> plot;
  bool json = false;
};

// "1/8" or "0.125".
double ParseScale(const std::string& text) {
  const auto number = [&](std::string_view part) {
    double value = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || rest != part.data() + part.size() || !(value > 0))
      throw Failure(kBadInput, fmt::format("--scale '{}' is not a number like 1/8", text));
    return value;
  };
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return number(text);
  return number(std::string_view(text).substr(0, slash)) /
         number(std::string_view(text).substr(slash + 1));
}

std::vector<std::string> PoliciesOf(const PressureFlags& flags) {
  if (flags.policies != std::vector<std::string>{"all"}) return flags.policies;
  std::vector<std::string> policies;
  for (const std::string policy : kPolicies) {
    if (policy != "swap" || flags.model.scratch)
      policies.push_back(policy);
    else
      fmt::print(stderr, "mirage: swap is left out: it writes to a --scratch folder\n");
  }
  return policies;
}

// Cells as lines of JSON; those of other settings are left alone.
class CellFile {
 public:
  CellFile(std::optional<std::string> path, Json settings)
      : path_(std::move(path)), settings_(std::move(settings)) {
    if (!path_) return;
    std::ifstream file(*path_);
    for (std::string line; std::getline(file, line);) {
      Json cell = Json::parse(line, nullptr, false);
      if (cell.is_object() && cell.value("settings", Json()) == settings_)
        cells_.push_back(std::move(cell));
    }
  }

  [[nodiscard]] std::optional<Json> Find(const std::string& policy, double load, int run) const {
    for (const Json& cell : cells_)
      if (cell["policy"] == policy && cell["load"] == load && cell["run"] == run) return cell;
    return std::nullopt;
  }
  void Add(Json cell) {
    cell["settings"] = settings_;
    if (path_) {
      std::ofstream file(*path_, std::ios::app);
      file << Dump(cell) << std::flush;
      if (!file) throw Failure(kOther, *path_ + ": it cannot be written");
    }
    cells_.push_back(std::move(cell));
  }

 private:
  const std::optional<std::string> path_;
  const Json settings_;
  std::vector<Json> cells_;
};

class Campaign {
 public:
  explicit Campaign(const PressureFlags& flags)
      : flags_(flags),
        arrivals_(MakeArrivals(flags.trace, flags.requests, ParseScale(flags.scale), flags.seed)),
        file_(flags.out, Settings(flags)) {}

  // Requests a second that recompute can do: all at once.
  double Saturation() {
    std::vector<Arrival> at_once = arrivals_;
    for (Arrival& arrival : at_once) arrival.second = 0;
    return Measure("recompute", 0, 0, at_once)["requests_per_second"].get<double>();
  }

  std::vector<Cell> Run(double saturation) {
    std::vector<Cell> cells;
    for (int run = 1; run <= flags_.runs; ++run)
      for (const double load : flags_.rates)
        for (const std::string& policy : PoliciesOf(flags_)) {
          const Json measured = Measure(policy, load, run, AtRate(arrivals_, load * saturation));
          Cell cell{policy, load, run};
          cell.first_p50 = measured["first_token_p50_s"];
          cell.first_p99 = measured["first_token_p99_s"];
          cell.gap_p50 = measured["between_tokens_p50_s"];
          cell.gap_p99 = measured["between_tokens_p99_s"];
          cell.tokens_per_second = measured["tokens_per_second"];
          cells.push_back(cell);
          measured_.push_back(measured);
        }
    return cells;
  }
  [[nodiscard]] const Json& measured() const { return measured_; }

 private:
  static Json Settings(const PressureFlags& flags) {
    return {{"model", flags.model.model},
            {"memory", flags.model.memory.value_or("")},
            {"threads", flags.model.threads},
            {"kv_type", flags.model.kv_type},
            {"offload", flags.model.offload.value_or("")},
            {"trace", flags.trace},
            {"scale", flags.scale},
            {"requests", flags.requests},
            {"seconds", flags.seconds},
            {"seed", flags.seed}};
  }

  Json Measure(const std::string& policy, double load, int run,
               const std::vector<Arrival>& arrivals) {
    if (std::optional<Json> kept = file_.Find(policy, load, run)) return *kept;
    ModelFlags loading = flags_.model;
    loading.policy = policy;
    if (policy != "swap" && policy != "hybrid") loading.scratch.reset();
    if (policy != "swap" && policy != "hybrid") loading.scratch_size.reset();
    if (policy != "static-offload") loading.offload.reset();
    for (const Arrival& arrival : arrivals_)
      loading.context =
          std::max(loading.context, arrival.prompt_tokens + arrival.answer_tokens + 1);
    const RuntimeHandle runtime = loading.Open();
    const ModelHandle model = loading.Load(runtime.get(), 1);
    const Replayed replayed = Replay(runtime.get(), model.get(), arrivals, flags_.seconds);
    Json cell = {{"policy", policy}, {"load", load}, {"run", run}};
    cell["first_token_p50_s"] = Percentile(replayed.first_tokens, 0.5);
    cell["first_token_p99_s"] = Percentile(replayed.first_tokens, 0.99);
    cell["between_tokens_p50_s"] = Percentile(replayed.gaps, 0.5);
    cell["between_tokens_p99_s"] = Percentile(replayed.gaps, 0.99);
    cell["tokens_per_second"] = static_cast<double>(replayed.output_tokens) / replayed.seconds;
    // What was cut counts by the part of its tokens that came.
    cell["requests_per_second"] = static_cast<double>(arrivals.size()) *
                                  static_cast<double>(replayed.output_tokens) /
                                  static_cast<double>(replayed.wanted_tokens) / replayed.seconds;
    cell["seconds"] = replayed.seconds;
    cell["finished"] = replayed.finished;
    cell["preemptions"] = replayed.preemptions;
    cell["steps"] = replayed.stats.steps;
    cell["prompt_tokens"] = replayed.stats.prompt_tokens;
    cell["weight_bytes_lent"] = replayed.stats.weight_bytes_lent;
    cell["kv_bytes_swapped_out"] = replayed.stats.kv_bytes_swapped_out;
    file_.Add(cell);
    return cell;
  }

  const PressureFlags& flags_;
  const std::vector<Arrival> arrivals_;
  CellFile file_;
  Json measured_ = Json::array();
};

int Pressure(const PressureFlags& flags) {
  CatchInterrupts();
  Campaign campaign(flags);
  const double saturation = campaign.Saturation();
  const std::vector<Cell> cells = campaign.Run(saturation);
  if (flags.plot) {
    std::ofstream file(*flags.plot);
    file << PressureSvg(cells) << std::flush;
    if (!file) throw Failure(kOther, *flags.plot + ": it cannot be written");
  }
  const Json result = {{"saturation_requests_per_second", saturation},
                       {"cells", campaign.measured()}};
  WriteStandardOutput(flags.json ? Dump(result)
                                 : fmt::format("load 1 is {:.3g} requests/s\n\n{}", saturation,
                                               MarkdownTable(cells, flags.gate)));
  return kDone;
}

}  // namespace

void AddPressure(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<PressureFlags>();
  CLI::App* command = AddCommand(app, chosen, "pressure", "Measures policies under a memory limit",
                                 flags, Pressure);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  command->add_option(
      "--trace", flags->trace,
      "Requests like those of the Azure 2023 traces, conv or code, or a file of them");
  command->add_option("--scale", flags->scale, "Of the trace's lengths, such as 1/8");
  command->add_option("--requests", flags->requests, "Of the trace")->check(Whole<int>(1));
  command->add_option("--seconds", flags->seconds, "At most, of one cell")
      ->check(CLI::PositiveNumber);
  command->add_option("--rates", flags->rates, "Parts of what recompute can do, such as 0.5,1")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("--policies", flags->policies, "all, or such as recompute,remap")
      ->delimiter(',');
  command->add_option("--runs", flags->runs, "Of every cell")->check(Whole<int>(1));
  command->add_option("--seed", flags->seed, "Of the drawn requests")->check(Whole<uint64_t>());
  command
      ->add_option("--gate", flags->gate,
                   "Interquartile range, of the median, beyond which a cell is unresolved (?)")
      ->check(CLI::PositiveNumber);
  command->add_option("--out", flags->out, "File of cells: those in it are not measured again");
  command->add_option("--plot", flags->plot, "SVG to write");
  command->add_flag("--json", flags->json, "One JSON value instead of a table");
}

}  // namespace mirage::cli
