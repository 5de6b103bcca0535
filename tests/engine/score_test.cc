// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

TEST(Score, IsTheLogProbabilityOfEveryTokenAfterThoseBefore) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  const std::vector<int32_t> tokens = Prompt(1, 64 * 3 + 10);
  for (const int64_t first : {int64_t{1}, int64_t{2}, int64_t{64}, int64_t{65}, int64_t{101},
                              int64_t{201}, int64_t{202}}) {
    auto scored = Score(engine, model, tokens, first);
    ASSERT_TRUE(scored) << scored.error().message;
    ASSERT_EQ(static_cast<int64_t>(scored->size()), static_cast<int64_t>(tokens.size()) - first);
    for (size_t i = 0; i < scored->size(); ++i) {
      const size_t at = static_cast<size_t>(first) + i;
      ASSERT_EQ((*scored)[i], model->LogprobOf(std::span(tokens).first(at), tokens[at]))
          << "from " << first << ", target " << i;
    }
  }
  EXPECT_EQ(host.used(), 0u);
}

TEST(Score, RunsBetweenStepsAndChangesNoTokens) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(2, 10), 200));
  const std::vector<int32_t> tokens = Prompt(1, 300);
  auto scored = Score(engine, model, tokens, 1);
  ASSERT_TRUE(scored);
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(2, 10), 200));
  const double sum = std::accumulate(scored->begin(), scored->end(), 0.0);
  double expected = 0;
  for (size_t i = 0; i + 1 < tokens.size(); ++i)
    expected += model->LogprobOf(std::span(tokens).first(i + 1), tokens[i + 1]);
  EXPECT_EQ(sum, expected);
  EXPECT_EQ(model->overlapping_passes, 0);
}

TEST(Score, RefusesWhatItCannotScore) {
  FakeHost host;
  FakeModel::Options options;
  options.context = 100;
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  const auto refusal = [&](std::vector<int32_t> tokens, int64_t first) {
    auto scored = Score(engine, model, std::move(tokens), first);
    return scored ? Code::kOk : scored.error().code;
  };
  EXPECT_EQ(refusal(Prompt(1, 101), 1), Code::kContextFull);
  EXPECT_EQ(refusal(Prompt(1, 10), 11), Code::kInvalidArgument);
  EXPECT_EQ(refusal(Prompt(1, 10), 0), Code::kInvalidArgument);
  EXPECT_EQ(refusal({}, 1), Code::kInvalidArgument);
  EXPECT_EQ(refusal({1, 97}, 1), Code::kInvalidArgument);
  EXPECT_EQ(refusal(Prompt(1, 10), 10), Code::kOk);
}

TEST(Score, StopsBetweenLayersWhenCancelled) {
  FakeHost host;
  std::atomic<bool> stop{false};
  FakeModel::Options options;
  options.layer = [&, layers = 0](int) mutable -> Status {
    if (++layers == 5) stop = true;  // in the second pass
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto scored = Score(engine, model, Prompt(1, 640), 1, [&] { return stop.load(); });
  ASSERT_FALSE(scored);
  EXPECT_EQ(scored.error().code, Code::kCancelled);
  EXPECT_EQ(model->layers_run, 5);
  EXPECT_EQ(host.used(), 0u);
}

TEST(Score, TextThatCanNeverFitIsAnErrorWithTheBytes) {
  FakeHost host(3 * 2 * FakeModel::kPageBytes);
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto scored = Score(engine, model, Prompt(1, 640), 1);
  ASSERT_FALSE(scored);
  EXPECT_EQ(scored.error().code, Code::kOutOfMemory);
  EXPECT_GT(scored.error().needed_bytes, scored.error().available_bytes);
  EXPECT_EQ(host.used(), 0u);
}

TEST(Score, AFailedPassIsItsError) {
  FakeHost host;
  FakeModel::Options options;
  options.end = [passes = 0]() mutable -> Status {
    if (++passes == 3) return Fail(Code::kIo, "the disk is gone");
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto scored = Score(engine, model, Prompt(1, 640), 1);
  ASSERT_FALSE(scored);
  EXPECT_EQ(scored.error().code, Code::kIo);
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::engine
