// SPDX-License-Identifier: Apache-2.0
// Several requests for one prompt: one computes it and the others take it over.

#include <algorithm>
#include <atomic>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr int kSamples = 4;

// On a sequence that shares with nobody, and forks of it.
std::vector<std::shared_ptr<Request>> SubmitSamples(Engine& engine,
                                                    const std::shared_ptr<Sequence>& first,
                                                    const std::vector<int32_t>& prompt,
                                                    int64_t max_tokens) {
  std::vector<RequestOptions> all;
  for (int i = 0; i < kSamples; ++i) {
    all.push_back(GreedyOn(i == 0 ? first : *engine.Fork(*first), prompt, max_tokens));
    all.back().sample_index = static_cast<uint32_t>(i);
    if (i > 0) all.back().prompt_from = first;
  }
  std::vector<std::shared_ptr<Request>> requests;
  for (RequestOptions& options : all) requests.push_back(MustSubmit(engine, std::move(options)));
  return requests;
}

std::shared_ptr<Sequence> Private(const std::shared_ptr<FakeModel>& model) {
  return std::make_shared<Sequence>(model, 0, PrefixSharing{false, ""});
}

void ExpectAllContinue(const std::vector<std::shared_ptr<Request>>& requests,
                       const FakeModel& model, const std::vector<int32_t>& tokens, int64_t count) {
  for (const auto& request : requests) {
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, model.Continue(tokens, count)) << outcome.error.message;
  }
}

TEST(Samples, ComputeTheirPromptOnce) {
  for (const int64_t length : {1, 2, 31, 32, 33, 64, 300, 320}) {
    FakeHost host;
    auto model = FakeModel::Make(host, OneLayer());
    Engine engine(host.clock, {.check_invariants = true});
    const std::vector<int32_t> prompt = Prompt(1, length);
    const auto requests = SubmitSamples(engine, Private(model), prompt, 3);
    ExpectAllContinue(requests, *model, prompt, 3);
    // The others compute its last token for their logits; an answer's last token is not computed.
    EXPECT_EQ(model->tokens_computed, length + (kSamples - 1) + 2 * kSamples) << length;
    for (size_t i = 1; i < requests.size(); ++i)
      EXPECT_EQ(requests[i]->stats().cached_tokens, length - 1) << length;
    engine.Shutdown();
    EXPECT_EQ(model->broken_pages, 0);
  }
}

TEST(Samples, HoldTheirPromptsPagesTogether) {
  FakeHost host;
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, {.check_invariants = true});
  const std::vector<int32_t> prompt = Prompt(1, 300);  // nine pages and a part of the tenth
  ExpectAllContinue(SubmitSamples(engine, Private(model), prompt, 15), *model, prompt, 15);
  // Each writes its answer into a page of its own; for a moment there is the prompt's, too.
  EXPECT_LE(model->pages().Stats().bytes_peak, (9 + kSamples + 1) * kPage);
}

TEST(Samples, GoOnFromWhatTheirSequenceHeldBefore) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  auto first = Private(model);
  Collect(*MustSubmit(engine, GreedyOn(first, Prompt(1, 100), 20)));
  std::vector<int32_t> tokens = first->tokens();
  const std::vector<int32_t> prompt = Prompt(2, 40);
  tokens.insert(tokens.end(), prompt.begin(), prompt.end());
  ExpectAllContinue(SubmitSamples(engine, first, prompt, 50), *model, tokens, 50);
}

TEST(Samples, OutliveTheOneThatWasToComputeTheirPrompt) {
  for (const CancelMode mode : {CancelMode::kStop, CancelMode::kRollback}) {
    FakeHost host;
    Gate submitted;
    std::shared_ptr<Request> first;
    FakeModel::Options options = OneLayer();
    int passes = 0;
    options.begin = [&](auto) -> Status {
      if (++passes != 2) return {};  // of five for the prompt
      submitted.Pass();
      first->Cancel(mode);
      return {};
    };
    auto model = FakeModel::Make(host, options);
    Engine engine(host.clock, {.check_invariants = true});
    const std::vector<int32_t> prompt = Prompt(1, 300);
    auto requests = SubmitSamples(engine, Private(model), prompt, 10);
    first = requests.front();
    submitted.Open();
    EXPECT_EQ(Collect(*first).finish, Finish::kCancelled);
    requests.erase(requests.begin());
    ExpectAllContinue(requests, *model, prompt, 10);
    engine.Shutdown();
  }
}

TEST(Samples, TakeTurnsWhereOneIsComputedAtATime) {
  FakeHost host;
  FakeModel::Options options = OneLayer();
  std::atomic<size_t> most{0};
  options.begin = [&](std::span<const Slice> slices) -> Status {
    most = std::max<size_t>(most, slices.size());
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock, {.max_running = 1, .check_invariants = true});
  const std::vector<int32_t> prompt = Prompt(1, 100);
  ExpectAllContinue(SubmitSamples(engine, Private(model), prompt, 30), *model, prompt, 30);
  EXPECT_EQ(most, 1u);
}

TEST(Samples, CompeteForPagesAndAllGetOn) {
  // The prompt's three pages, and four for each answer: seven are the least one alone needs.
  for (uint64_t pages = 7; pages <= 19; pages += 3) {
    FakeHost host(pages * kPage);
    auto model = FakeModel::Make(host, OneLayer());
    Engine engine(host.clock, {.check_invariants = true});
    const std::vector<int32_t> prompt = Prompt(1, 96);
    ExpectAllContinue(SubmitSamples(engine, Private(model), prompt, 128), *model, prompt, 128);
    engine.Shutdown();
    EXPECT_EQ(model->broken_pages, 0);
  }
}

}  // namespace
}  // namespace mirage::engine
