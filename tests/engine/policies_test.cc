// SPDX-License-Identifier: Apache-2.0
// All policies beside each other: the tokens are the same whatever gives way.

#include <algorithm>

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"
#include "tests/engine/ram_swap_space.h"

namespace mirage::engine {
namespace {

TEST(ShortagePolicies, AreFoundByName) {
  for (const ShortagePolicy* policy : ShortagePolicies())
    EXPECT_EQ(FindShortagePolicy(policy->name()), policy);
  EXPECT_EQ(ShortagePolicies().front(), &HybridPolicy());
  EXPECT_EQ(FindShortagePolicy("wishful"), nullptr);
}

// More sessions than fit, of prompts and answers of unlike lengths, with a second turn each, whose
// pages are those of the first unless they gave way.
void RunSessions(const ShortagePolicy& policy, kv::Geometry geometry) {
  SCOPED_TRACE(policy.name());
  constexpr int kSessions = 8;
  constexpr uint64_t kWeights = 20 * kPage;
  FakeHost host(40 * kPage + kWeights);
  FakeHost elsewhere;
  FakeModel::Options model_options;
  model_options.weights = kWeights;
  model_options.geometry = std::move(geometry);
  auto model = FakeModel::Make(host, model_options);
  EngineOptions options;
  options.policy = &policy;
  options.check_invariants = true;
  RamSwapSpace space(100 * kPage);
  if (policy.may_swap()) options.swap = &space;
  Engine engine(host.clock, options);
  std::vector<std::shared_ptr<Sequence>> sequences;
  std::vector<std::vector<int32_t>> said(kSessions);
  for (int i = 0; i < kSessions; ++i) sequences.push_back(std::make_shared<Sequence>(model));
  int64_t gave_up = 0;
  for (int turn = 0; turn < 2; ++turn) {
    Blocker blocker(elsewhere, engine);
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < kSessions; ++i) {
      const std::vector<int32_t> prompt = Prompt(10 * turn + i, 20 + 15 * i);
      requests.push_back(
          MustSubmit(engine, GreedyOn(sequences[static_cast<size_t>(i)], prompt, 120 - 10 * i)));
      auto& tokens = said[static_cast<size_t>(i)];
      tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    }
    blocker.gate.Open();
    for (int i = 0; i < kSessions; ++i) {
      auto& tokens = said[static_cast<size_t>(i)];
      const std::vector<int32_t> expected = model->Continue(tokens, 120 - 10 * i);
      const Outcome outcome = Collect(*requests[static_cast<size_t>(i)]);
      EXPECT_EQ(outcome.tokens, expected) << outcome.error.message;
      tokens.insert(tokens.end(), expected.begin(), expected.end());
      gave_up += requests[static_cast<size_t>(i)]->stats().preemptions;
    }
  }
  EXPECT_EQ(model->broken_pages, 0);
  const EngineStats stats = engine.Stats();
  // States are of fixed size: such models run short of nothing here.
  const auto grows = [](const kv::LayerGroup& group) {
    return group.kind != kv::CacheKind::kState;
  };
  if (std::none_of(model_options.geometry.begin(), model_options.geometry.end(), grows)) return;
  EXPECT_EQ(stats.bytes_lent > 0, policy.may_lend());
  EXPECT_TRUE(policy.may_swap() || stats.bytes_swapped_out == 0);
  EXPECT_TRUE(!policy.needs_swap_space() || stats.bytes_swapped_in > 0);
  EXPECT_TRUE(policy.may_lend() || (gave_up == 0) == policy.starts_whole());
}

TEST(ShortagePolicies, TheTokensAreTheSameWhateverGivesWay) {
  for (const ShortagePolicy* policy : ShortagePolicies())
    for (const kv::Geometry& geometry : {FakeModel::Attention(), FakeModel::Hybrid()})
      RunSessions(*policy, geometry);
}

}  // namespace
}  // namespace mirage::engine
