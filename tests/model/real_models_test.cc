// SPDX-License-Identifier: Apache-2.0
// The same promises on real models: weights taken away and filled again, an arena of 0.7 of the
// weights, steps cut anyhow, and logits bit for bit those of a model that keeps everything.
//
// MIRAGE_TEST_MODELS names the folder that holds the files; without it every test here is skipped.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <ostream>

#include "tests/model/lending.h"

namespace mirage::model {
namespace {

class RealModel : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MIRAGE_TEST_MODELS");
    if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS is not set";
    path_ = std::string(folder) + "/" + GetParam();
    if (!std::ifstream(path_)) GTEST_SKIP() << path_ << " is not there";
    options_.plan.context = 512;
    options_.plan.logit_rows = 4;
    std::mt19937 random(3);
    for (int i = 0; i < 70; ++i) tokens_.push_back(static_cast<int32_t>(random() % 40000));
  }

  [[nodiscard]] format::ModelFile File() const { return OpenFile(path_).value(); }

  // Logits after each of the first `count` tokens, by a model that keeps everything.
  [[nodiscard]] std::vector<float> Want(size_t count) const {
    TestHost ample({.threads = 2});
    auto model = Model::Load(ample.host(), File(), options_);
    EXPECT_TRUE(model) << model.error().message;
    auto rows = RunInChunks(**model, std::span(tokens_).first(count), 1);
    EXPECT_TRUE(rows);
    EXPECT_EQ((*model)->regions().Stats().acquires_streamed, 0u);
    return *rows;
  }

  static bool SameBits(std::span<const float> got, std::span<const float> want) {
    return got.size() == want.size() &&
           std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0;
  }

  std::string path_;
  LoadOptions options_;
  std::vector<int32_t> tokens_;
};

TEST_P(RealModel, LentAndRefilledGivesTheSameBits) {
  constexpr size_t kCount = 5;
  const std::vector<float> want = Want(kCount);
  const auto first = std::span(tokens_).first(kCount);
  for (const Lending lending :
       {Lending::kAfterEveryStep, Lending::kAfterEveryLayer, Lending::kAndBack, Lending::kAtRandom})
    for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued}) {
      SCOPED_TRACE(NameOf(lending));
      TestHost host({.threads = 2, .streams = streams});
      auto model = Model::Load(host.host(), File(), options_);
      ASSERT_TRUE(model) << model.error().message;
      const auto got = RunLending(**model, first, lending);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_TRUE(SameBits(*got, want));
      const memory::StoreStats stats = (*model)->regions().Stats();
      EXPECT_GE(2 * stats.acquires_streamed, stats.acquires);
    }
}

TEST_P(RealModel, AnArenaOfSevenTenthsOfTheWeightsGivesTheSameBits) {
  constexpr size_t kCount = 6;
  const std::vector<float> want = Want(kCount);
  const uint64_t limit = LimitForWeights(File(), options_.plan, 0.7);
  for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued})
    for (const int delay_us : {0, 500}) {
      TestHost host({.limit_bytes = limit,
                     .threads = 2,
                     .streams = streams,
                     .fill_delay = std::chrono::microseconds(delay_us)});
      auto model = Model::Load(host.host(), File(), options_);
      ASSERT_TRUE(model) << model.error().message;
      const Plan& plan = (*model)->plan();
      EXPECT_LE(static_cast<double>(plan.weights + plan.slot_bytes),
                0.7 * static_cast<double>(plan.weights_total));
      const auto got = RunInChunks(**model, std::span(tokens_).first(kCount), 1);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_TRUE(SameBits(*got, want));
      EXPECT_LE(host.ledger.Snapshot().peak, limit);
      const memory::StoreStats stats = (*model)->regions().Stats();
      EXPECT_GT(stats.acquires_streamed, stats.acquires / 5);
      RecordProperty("limit_bytes", std::to_string(limit));
      RecordProperty("streamed_bytes_per_pass", std::to_string(plan.streamed_bytes_per_pass));
    }
}

TEST_P(RealModel, TheLeastLimitGivesTheSameBits) {
  constexpr size_t kCount = 2;
  options_.plan.context = 0;
  options_.plan.logit_rows = 1;
  const std::vector<float> want = Want(kCount);
  const uint64_t least = MakePlan(File(), options_.plan)->least_bytes;
  RecordProperty("least_bytes", std::to_string(least));
  TestHost host({.limit_bytes = least, .threads = 2});
  auto model = Model::Load(host.host(), File(), options_);
  ASSERT_TRUE(model) << model.error().message;
  const auto got = RunInChunks(**model, std::span(tokens_).first(kCount), 1);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(SameBits(*got, want));
  TestHost smaller({.limit_bytes = least - 1});
  auto refused = Model::Load(smaller.host(), File(), options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().needed_bytes, least);
}

TEST_P(RealModel, ChunksThreadsAndCompanyDoNotMatter) {
  constexpr size_t kCount = 12;
  const std::vector<float> want = Want(kCount);
  TestHost host;
  auto loaded = Model::Load(host.host(), File(), options_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary);
  for (const size_t chunk : {5, 12}) {
    const auto got = RunInChunks(model, std::span(tokens_).first(kCount), chunk);
    ASSERT_TRUE(got);
    EXPECT_TRUE(SameBits(std::span(*got).last(vocabulary), std::span(want).last(vocabulary)))
        << "chunks of " << chunk;
  }
  // A decode beside two prompts.
  kv::SequenceCache cache(model.pages());
  kv::SequenceCache second(model.pages());
  kv::SequenceCache third(model.pages());
  ASSERT_TRUE(cache.Reserve(kCount));
  ASSERT_TRUE(second.Reserve(30));
  ASSERT_TRUE(third.Reserve(9));
  const Slice prompt{&cache, std::span(tokens_).first(kCount - 1), false};
  ASSERT_TRUE(model.Forward({&prompt, 1}, {}));
  cache.Commit(kCount - 1);
  const Slice slices[] = {{&second, std::span(tokens_).subspan(20, 30), true},
                          {&cache, std::span(tokens_).subspan(kCount - 1, 1), true},
                          {&third, std::span(tokens_).subspan(50, 9), false}};
  ASSERT_TRUE(model.Forward(slices, {}));
  EXPECT_TRUE(SameBits(model.Logits(1), std::span(want).last(vocabulary)));
}

TEST_P(RealModel, ThePlanIsWithinFivePercentOfTheLedger) {
  for (const double share : {1.0, 0.7}) {
    const uint64_t limit =
        share < 1 ? LimitForWeights(File(), options_.plan, share) : uint64_t{1} << 40;
    TestHost host({.limit_bytes = limit, .threads = 2});
    auto model = Model::Load(host.host(), File(), options_);
    ASSERT_TRUE(model) << model.error().message;
    kv::SequenceCache cache((*model)->pages());
    const int64_t context = (*model)->plan().context;
    while (cache.length() < context - 1) {
      const int64_t end = std::min(cache.length() + (*model)->plan().step_tokens, context - 1);
      ASSERT_TRUE(cache.Reserve(end));
      cache.Commit(end);
    }
    ASSERT_TRUE(cache.Reserve(context));
    const Slice slice{&cache, std::span(tokens_).first(1), true};
    ASSERT_TRUE((*model)->Forward({&slice, 1}, {}));
    const auto total = static_cast<double>((*model)->plan().total);
    EXPECT_NEAR(static_cast<double>(host.ledger.Snapshot().peak), total, 0.05 * total);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, RealModel, testing::Values("smollm2-135m.gguf", "gemma3-270m.gguf"),
    [](const auto& name) {
      return std::string(name.param).substr(0, std::string(name.param).find('-'));
    });

}  // namespace
}  // namespace mirage::model
