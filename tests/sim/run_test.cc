// SPDX-License-Identifier: Apache-2.0
#include "sim/run.h"

#include <gtest/gtest.h>

namespace mirage::sim {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

SimulationOptions OneModel(double share = 0.5) {
  SimulationOptions options;
  options.hardware = FindHardware("gh200").value();
  options.models = {{FindModelShape("llama-3-8b").value(), share}};
  return options;
}

// Many long prompts at once on memory that holds the weights and little more.
std::vector<Arrival> Flood(int requests) {
  std::vector<Arrival> arrivals;
  for (int i = 0; i < requests; ++i) arrivals.push_back({i * kSecond / 100, 0, 1500, 200});
  return arrivals;
}

TEST(Simulation, ALoneRequestTakesWhatItsBytesAndItsArithmeticTake) {
  const SimulationOptions options = OneModel();
  const ModelShape& shape = options.models[0].shape;
  const SimulationResult result = RunSimulation(options, {{0, 0, 1000, 101}}).value();
  EXPECT_EQ(result.tokens, 101);
  EXPECT_EQ(result.passes, 101u);
  const double read = static_cast<double>(shape.WeightBytes() - 2 * shape.embedding_weights) +
                      1050.0 * static_cast<double>(shape.KvBytesPerToken());
  const double pass = static_cast<double>(options.hardware.pass_ns) / 1e9;
  EXPECT_NEAR(result.between_tokens.Quantile(0.5),
              read / options.hardware.fast_bytes_per_second + pass, 0.02 * (pass + read / 3.7e12));
  const double ops = 2.0 * 1000 * shape.LayerWeightsUsed() * shape.layers;
  EXPECT_NEAR(result.first_token.Quantile(0.5), ops / options.hardware.ops_per_second + pass,
              0.05 * ops / options.hardware.ops_per_second);
}

class Policies : public testing::TestWithParam<const engine::ShortagePolicy*> {};

TEST_P(Policies, EveryRequestGetsAllOfItsTokens) {
  SimulationOptions options = OneModel(0.2);  // 19.2 GB for 16.1 GB of weights
  options.policy = GetParam();
  const SimulationResult result = RunSimulation(options, Flood(60)).value();
  EXPECT_EQ(result.requests, 60);
  EXPECT_EQ(result.refused, 0);
  EXPECT_EQ(result.failed, 0);
  EXPECT_EQ(result.tokens, 60 * 200);
  EXPECT_EQ(result.first_token.count(), 60);
  EXPECT_EQ(result.between_tokens.count(), 60 * 199);
  if (!GetParam()->may_lend()) {
    if (!GetParam()->starts_whole()) {
      EXPECT_GT(result.preemptions, 0) << "no shortage to test";
    }
    EXPECT_EQ(result.bytes_lent, 0u);
  } else {
    EXPECT_GT(result.bytes_lent, 0u);
    EXPECT_GT(result.bytes_streamed, result.bytes_lent);
  }
}

TEST_P(Policies, RunsAreEqual) {
  SimulationOptions options = OneModel(0.2);
  options.policy = GetParam();
  const SimulationResult a = RunSimulation(options, Flood(40)).value();
  const SimulationResult b = RunSimulation(options, Flood(40)).value();
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.passes, b.passes);
  EXPECT_EQ(a.bytes_streamed, b.bytes_streamed);
  EXPECT_EQ(a.first_token.Quantile(0.99), b.first_token.Quantile(0.99));
}

INSTANTIATE_TEST_SUITE_P(All, Policies,
                         testing::Values(&engine::RecomputePolicy(), &engine::RemapPolicy(),
                                         &engine::HybridPolicy(), &engine::QueuePolicy()),
                         [](const auto& policy) { return std::string(policy.param->name()); });

TEST(Simulation, WeightsThatDoNotFitAreRefused) {
  SimulationOptions options = OneModel(0.1);
  const auto result = RunSimulation(options, Flood(1));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kOutOfMemory);
  options.partitioned = true;
  EXPECT_FALSE(RunSimulation(options, Flood(1)));
}

TEST(Simulation, WhatAPartitionLacksAPoolHas) {
  SimulationOptions options = OneModel(0.2);
  options.models.push_back({FindModelShape("opt-6.7b").value(), 0.3});
  options.policy = &engine::RecomputePolicy();
  const SimulationResult pooled = RunSimulation(options, Flood(60)).value();
  options.partitioned = true;
  const SimulationResult partitioned = RunSimulation(options, Flood(60)).value();
  EXPECT_LT(pooled.preemptions, partitioned.preemptions);
}

}  // namespace
}  // namespace mirage::sim
