// SPDX-License-Identifier: Apache-2.0
// Weights that are taken away and filled again: logits are bit for bit those of a model that keeps
// everything, whatever is lent, however late the bytes come, and on streams that run later as well.

#include <gtest/gtest.h>

#include <cstring>
#include <ostream>

#include "tests/model/golden_files.h"
#include "tests/model/lending.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

std::vector<std::byte> FileOf(const std::string& name) {
  if (name == "many_regions") return ModelOfManyRegions().Build();
  if (name == "many_experts") return ModelOfManyExperts().Build();
  return ReadAll<std::byte>(GoldenPath(name));
}
std::vector<int32_t> TokensOf(const std::string& name) {
  if (!name.starts_with("many_")) return GoldenTokens(name);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 20; ++i) tokens.push_back(i * 251 % 503);
  return tokens;
}

struct Case {
  std::string model;
  Lending lending;
  platform::HostStreams streams;
  int delay_us;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.Name(); }
  [[nodiscard]] std::string Name() const {
    return model + "_" + NameOf(lending) +
           (streams == platform::HostStreams::kQueued ? "_queued" : "_inline") +
           (delay_us > 0 ? "_late" : "");
  }
};

class EvictAndRefill : public testing::TestWithParam<Case> {};

TEST_P(EvictAndRefill, LogitsAreThoseOfAModelThatKeepsEverything) {
  const Case& c = GetParam();
  const std::vector<std::byte> file = FileOf(c.model);
  const std::vector<int32_t> tokens = TokensOf(c.model);
  LoadOptions options;
  options.plan.context = 256;

  TestHost ample;
  auto keeps = Model::Load(ample.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(keeps) << keeps.error().message;
  const auto want = RunInChunks(**keeps, tokens, 1);
  ASSERT_TRUE(want) << want.error().message;
  ASSERT_EQ((*keeps)->regions().Stats().acquires_streamed, 0u);

  TestHost host({.streams = c.streams, .fill_delay = std::chrono::microseconds(c.delay_us)});
  auto lends = Model::Load(host.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(lends) << lends.error().message;
  const auto got = RunLending(**lends, tokens, c.lending);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->size(), want->size());
  EXPECT_EQ(std::memcmp(got->data(), want->data(), want->size() * sizeof(float)), 0);
  const memory::StoreStats stats = (*lends)->regions().Stats();
  EXPECT_GE(2 * stats.acquires_streamed, stats.acquires)
      << "fewer than half of the accesses met refilled memory";
}

std::vector<Case> Cases() {
  using platform::HostStreams;
  std::vector<Case> cases;
  for (const char* model : {"llama_gqa_tied", "gemma3", "phi3", "gemma2_27b", "quant_q4_0",
                            "quant_q6_k", "quant_bf16", "many_regions", "qwen3moe", "many_experts"})
    for (const Lending lending : {Lending::kAfterEveryStep, Lending::kAfterEveryLayer,
                                  Lending::kAndBack, Lending::kAtRandom})
      for (const HostStreams streams : {HostStreams::kInline, HostStreams::kQueued})
        cases.push_back({model, lending, streams, 0});
  for (const char* model : {"gemma3", "quant_q4_0", "many_experts"})
    for (const Lending lending : {Lending::kAfterEveryLayer, Lending::kAtRandom})
      for (const HostStreams streams : {HostStreams::kInline, HostStreams::kQueued})
        cases.push_back({model, lending, streams, 100});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, EvictAndRefill, testing::ValuesIn(Cases()),
                         [](const auto& c) { return c.param.Name(); });

struct Share {
  const char* model;
  double of_weights;
};

class SmallArena : public testing::TestWithParam<Share> {};

TEST_P(SmallArena, LogitsAreThoseOfAModelThatKeepsEverything) {
  const std::vector<std::byte> file = FileOf(GetParam().model);
  const std::vector<int32_t> tokens = TokensOf(GetParam().model);
  LoadOptions options;
  options.plan.context = 64;
  const auto want = RunKeeping(file, options, tokens);
  ASSERT_TRUE(want) << want.error().message;

  for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued}) {
    const uint64_t limit =
        LimitForWeights(OpenBytes(file).value(), options.plan, GetParam().of_weights);
    TestHost host({.limit_bytes = limit, .streams = streams});
    auto small = Model::Load(host.host(), OpenBytes(file).value(), options);
    ASSERT_TRUE(small) << small.error().message;
    const Plan& plan = (*small)->plan();
    EXPECT_LE(
        plan.weights + plan.slot_bytes,
        static_cast<uint64_t>(GetParam().of_weights * static_cast<double>(plan.weights_total)));
    EXPECT_GT(plan.streamed_bytes_per_pass, 0u);
    for (const size_t chunk : {size_t{1}, size_t{20}}) {
      const auto got = RunInChunks(**small, tokens, chunk);
      ASSERT_TRUE(got) << got.error().message;
      const size_t row = (*small)->config().vocabulary;
      EXPECT_EQ(std::memcmp(got->data() + got->size() - row, want->data() + want->size() - row,
                            row * sizeof(float)),
                0);
    }
    EXPECT_LE(host.ledger.Snapshot().peak, limit);
    EXPECT_GT((*small)->regions().Stats().acquires_streamed, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Shares, SmallArena,
                         testing::Values(Share{"many_regions", 0.9}, Share{"many_regions", 0.7},
                                         Share{"many_regions", 0.5}, Share{"many_regions", 0.4},
                                         Share{"many_experts", 0.9}, Share{"many_experts", 0.4},
                                         Share{"many_experts", 0.2}));

}  // namespace
}  // namespace mirage::model
