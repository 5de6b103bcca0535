// SPDX-License-Identifier: Apache-2.0

// mirage sim: the engine and its policies on machines that are not here.
//
// Requests of a trace, or drawn like one, go through the engine that the library runs, on a virtual
// clock; passes and transfers take the time that docs/hardware.md gives them. Rates are parts of
// what the policy recompute can serve (its saturation, measured first).

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sim/run.h"

namespace mirage::sim {
namespace {

using Json = nlohmann::ordered_json;

// A policy by its name in the library, or recompute with a share of the memory for each model
// alone.
struct Policy {
  std::string name;
  const engine::ShortagePolicy* policy;
  bool partitioned;
};
std::vector<Policy> Policies() {
  std::vector<Policy> all = {{"recompute-partitioned", &engine::RecomputePolicy(), true}};
  for (const engine::ShortagePolicy* policy : engine::ShortagePolicies())
    if (!policy->needs_swap_space() && !policy->offloads())
      all.push_back({policy->name(), policy, false});
  return all;
}

struct Flags {
  std::string hardware = "gh200";
  std::string mix = "c1";
  std::vector<std::string> policies = {"all"};
  std::string trace;
  std::string population = "conv";
  std::vector<double> rates = {0.5, 0.8, 1.0, 1.2};
  int64_t requests = 300;
  double scale = 1;
  uint64_t seed = 1;
  double first_token_target_s = 1;
  double between_tokens_target_s = 0.1;
  bool json = false;
};

// The paper's mixes (arXiv 2507.11507), or "model:share,model:share".
Result<std::vector<ModelShare>> ParseMix(const std::string& mix) {
  std::string text = mix;
  if (mix == "c1") text = "opt-13b:0.35,llama-2-13b:0.35,llama-3-8b:0.2";
  if (mix == "c2") text = "opt-30b:0.65,opt-6.7b:0.15";
  std::vector<ModelShare> models;
  double sum = 0;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const size_t colon = part.find(':');
    ModelShare model;
    MIRAGE_TRY_ASSIGN(model.shape, FindModelShape(part.substr(0, colon)));
    model.share = colon == std::string::npos ? 0.9 : std::atof(part.c_str() + colon + 1);
    if (!(model.share > 0 && model.share <= 1))
      return Fail(Code::kInvalidArgument, "--mix: the share in '" + part + "' is not in 0 to 1");
    sum += model.share;
    models.push_back(std::move(model));
    begin = end + 1;
  }
  if (sum > 1)
    return Fail(Code::kInvalidArgument, fmt::format("--mix: the shares add up to {:.3}", sum));
  return models;
}

Result<std::vector<Policy>> ParsePolicies(const std::vector<std::string>& names) {
  std::vector<Policy> chosen;
  for (const std::string& name : names) {
    const size_t before = chosen.size();
    for (const Policy& policy : Policies())
      if (name == "all" || name == policy.name) chosen.push_back(policy);
    if (chosen.size() > before) continue;
    std::string known = "all";
    for (const Policy& policy : Policies()) known += std::string(", ") + policy.name;
    return Fail(Code::kInvalidArgument,
                "--policy: policy '" + name + "' is not simulated; these are: " + known);
  }
  return chosen;
}

Result<std::vector<Arrival>> ArrivalsOf(const Flags& flags, size_t models) {
  std::vector<Arrival> arrivals;
  if (!flags.trace.empty()) {
    MIRAGE_TRY_ASSIGN(arrivals, ReadAzureTrace(flags.trace));
    if (static_cast<int64_t>(arrivals.size()) > flags.requests)
      arrivals.resize(static_cast<size_t>(flags.requests));
    for (Arrival& arrival : arrivals) {
      arrival.prompt_tokens = std::max(1, static_cast<int>(arrival.prompt_tokens * flags.scale));
      arrival.output_tokens = std::max(1, static_cast<int>(arrival.output_tokens * flags.scale));
    }
  } else {
    MIRAGE_TRY_ASSIGN(const Population population, FindPopulation(flags.population));
    arrivals = DrawArrivals(population, {flags.requests, 1, flags.scale, flags.seed});
  }
  std::mt19937_64 random(flags.seed);
  for (Arrival& arrival : arrivals) arrival.model = static_cast<int32_t>(random() % models);
  return arrivals;
}

Json Report(const SimulationResult& result) {
  return {{"requests", result.requests},
          {"refused", result.refused},
          {"failed", result.failed},
          {"ttft_p50_s", result.first_token.Quantile(0.5)},
          {"ttft_p99_s", result.first_token.Quantile(0.99)},
          {"tbt_p50_s", result.between_tokens.Quantile(0.5)},
          {"tbt_p99_s", result.between_tokens.Quantile(0.99)},
          {"tok_s", result.TokensPerSecond()},
          {"goodput", static_cast<double>(result.met) / static_cast<double>(result.requests)},
          {"preemptions", result.preemptions},
          {"passes", result.passes},
          {"gib_lent", static_cast<double>(result.bytes_lent) / (1 << 30)},
          {"gib_streamed", static_cast<double>(result.bytes_streamed) / (1 << 30)},
          {"unhidden_s", static_cast<double>(result.unhidden_ns) / 1e9}};
}

Status Run(const Flags& flags) {
  SimulationOptions options;
  MIRAGE_TRY_ASSIGN(options.hardware, FindHardware(flags.hardware));
  MIRAGE_TRY_ASSIGN(options.models, ParseMix(flags.mix));
  MIRAGE_TRY_ASSIGN(const std::vector<Policy> policies, ParsePolicies(flags.policies));
  MIRAGE_TRY_ASSIGN(const std::vector<Arrival> arrivals, ArrivalsOf(flags, options.models.size()));
  options.first_token_target_s = flags.first_token_target_s;
  options.between_tokens_target_s = flags.between_tokens_target_s;

  options.policy = &engine::RecomputePolicy();
  MIRAGE_TRY_ASSIGN(const SimulationResult at_once, RunSimulation(options, AtRate(arrivals, 1e6)));
  const double saturation = at_once.RequestsPerSecond();
  Json cells = Json::array();
  if (!flags.json)
    fmt::print(
        "SIMULATED: {}, {}, {} requests, saturation {:.3g} requests/s\n\n"
        "| rate | policy | TTFT p50, s | p99 | TBT p50, ms | p99 | tokens/s | goodput | preempted "
        "| lent, GiB | streamed, GiB | unhidden, s |\n|--|--|--|--|--|--|--|--|--|--|--|--|\n",
        flags.hardware, flags.mix, arrivals.size(), saturation);
  for (const double rate : flags.rates)
    for (const Policy& policy : policies) {
      options.policy = policy.policy;
      options.partitioned = policy.partitioned;
      const auto begin = std::chrono::steady_clock::now();
      MIRAGE_TRY_ASSIGN(const SimulationResult result,
                        RunSimulation(options, AtRate(arrivals, rate * saturation)));
      const double took =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      Json cell = {{"rate", rate}, {"policy", policy.name}};
      cell.update(Report(result));
      cell["took_s"] = took;
      if (!flags.json)
        fmt::print(
            "| {} | {} | {:.3g} | {:.3g} | {:.3g} | {:.3g} | {:.4g} | {:.1f}% | {} | {:.3g} "
            "| {:.4g} | {:.3g} |\n",
            rate, policy.name, cell["ttft_p50_s"].get<double>(), cell["ttft_p99_s"].get<double>(),
            1e3 * cell["tbt_p50_s"].get<double>(), 1e3 * cell["tbt_p99_s"].get<double>(),
            cell["tok_s"].get<double>(), 1e2 * cell["goodput"].get<double>(), result.preemptions,
            cell["gib_lent"].get<double>(), cell["gib_streamed"].get<double>(),
            cell["unhidden_s"].get<double>());
      std::fflush(stdout);
      cells.push_back(std::move(cell));
    }
  if (flags.json)
    fmt::print("{}\n", Json{{"simulated", true},
                            {"hardware", flags.hardware},
                            {"mix", flags.mix},
                            {"saturation_requests_s", saturation},
                            {"cells", std::move(cells)}}
                           .dump(1));
  return {};
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"Simulates policies of the memory governor on hardware that is not here.",
               "mirage sim"};
  app.add_option("--hardware", flags.hardware, "a machine of docs/hardware.md")
      ->capture_default_str();
  app.add_option("--mix", flags.mix, "c1, c2, or MODEL:SHARE,... of the fast memory")
      ->capture_default_str();
  app.add_option("--policy", flags.policies, "all, or names")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--trace", flags.trace, "a file in the format of the Azure LLM traces of 2023");
  app.add_option("--population", flags.population, "without --trace: conv or code")
      ->capture_default_str();
  app.add_option("--rates", flags.rates, "of the saturation")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--requests", flags.requests)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--scale", flags.scale, "of the lengths")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", flags.seed)->capture_default_str();
  app.add_option("--ttft", flags.first_token_target_s, "target of goodput, seconds")
      ->capture_default_str();
  app.add_option("--tbt", flags.between_tokens_target_s, "target of goodput, seconds")
      ->capture_default_str();
  app.add_flag("--json", flags.json);
  CLI11_PARSE(app, argc, argv);
  if (Status status = Run(flags); !status) {
    fmt::print(stderr, "mirage sim: {}\n", status.error().message);
    return status.error().code == Code::kInvalidArgument ? 2 : 1;
  }
  return 0;
}

}  // namespace
}  // namespace mirage::sim

int main(int argc, char** argv) { return mirage::sim::Main(argc, argv); }
