// SPDX-License-Identifier: Apache-2.0
// Requests with LoRA adapters: each token is the one the model gives with the request's own, and
// nothing that was computed with others is taken for theirs.

#include <algorithm>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

using Adapters = std::shared_ptr<const model::AdapterSet>;

// 'a' and the like; 0: none.
using Name = uint8_t;

Adapters Named(Name name) {
  if (name == 0) return nullptr;
  return std::make_shared<const model::AdapterSet>(model::AdapterSet{{}, {name}});
}

struct Bench {
  Bench() : model(FakeModel::Make(host, OfAttention())) {}
  ~Bench() {
    engine.Shutdown();
    EXPECT_EQ(model->broken_pages, 0);
  }
  // Runs it to its end, and checks the tokens.
  RequestStats Run(const std::shared_ptr<Sequence>& sequence, const std::vector<int32_t>& prompt,
                   Name adapters, int64_t count = 2) {
    std::vector<int32_t> all = sequence->tokens();
    all.insert(all.end(), prompt.begin(), prompt.end());
    RequestOptions options = GreedyOn(sequence, prompt, count);
    options.adapters = Named(adapters);
    auto request = MustSubmit(engine, std::move(options));
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, model->Continue(all, count, {adapters})) << outcome.error.message;
    return request->stats();
  }
  RequestStats Run(const std::vector<int32_t>& prompt, Name adapters) {
    return Run(std::make_shared<Sequence>(model), prompt, adapters);
  }

  FakeHost host;
  std::shared_ptr<FakeModel> model;
  Engine engine{host.clock, {.check_invariants = true}};

 private:
  // Any beginning of what it computed is found, not only where a state was kept.
  static FakeModel::Options OfAttention() {
    FakeModel::Options options;
    options.geometry = FakeModel::Attention();
    return options;
  }
};

TEST(Adapters, WhatWasComputedWithSomeIsFoundWithTheSameAlone) {
  Bench bench;
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'a').cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 0).cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'b').cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'c').cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'a').cached_tokens, 207);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 0).cached_tokens, 207);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'c').cached_tokens, 207);
}

TEST(Adapters, NoSaltIsTakenForAdapters) {
  Bench bench;
  bench.Run(Prompt(1, 208), 'a');
  const std::string as_shared = model::SharedWith({}, {'a'}).salt;
  for (const std::string& salt : {as_shared, std::string("a")})
    EXPECT_EQ(bench
                  .Run(std::make_shared<Sequence>(bench.model, 0, PrefixSharing{true, salt}),
                       Prompt(1, 208), 0)
                  .cached_tokens,
              0);
  EXPECT_NE(model::SharedWith({true, "bc"}, {'a'}).salt,
            model::SharedWith({true, "c"}, {'a', 'b'}).salt);
}

TEST(Adapters, ASequenceThatGoesOnWithOthersIsComputedAgain) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(sequence, Prompt(1, 100), 'a');
  EXPECT_EQ(sequence->cached_length(), 101);
  EXPECT_EQ(bench.Run(sequence, Prompt(2, 10), 'a').cached_tokens, 101);
  EXPECT_EQ(bench.Run(sequence, Prompt(3, 10), 0).cached_tokens, 0);
  EXPECT_EQ(bench.Run(sequence, Prompt(4, 10), 0).cached_tokens, 125);
  EXPECT_EQ(bench.Run(sequence, Prompt(5, 10), 'b').cached_tokens, 0);
}

TEST(Adapters, AForkKeepsWhatItsOriginalComputedWith) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(sequence, Prompt(1, 100), 'a');
  auto same = *bench.engine.Fork(*sequence);
  auto other = *bench.engine.Fork(*sequence);
  EXPECT_EQ(same->cached_length(), 101);
  EXPECT_EQ(bench.Run(same, Prompt(2, 10), 'a').cached_tokens, 101);
  EXPECT_EQ(bench.Run(other, Prompt(2, 10), 'b').cached_tokens, 0);
  EXPECT_EQ(bench.Run(sequence, Prompt(2, 10), 'a').cached_tokens, 101);
}

TEST(Adapters, WhatComesFromOutsideIsOfUseWithTheSameAlone) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(sequence, Prompt(1, 100), 'a');
  for (const Name adapters : {'a', '\0', 'b'}) {
    Sequence::Copy copy = sequence->Share().value();
    EXPECT_EQ(copy.adapters, model::AdapterSetId{'a'});
    auto adopted = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
    ASSERT_TRUE(bench.engine.Adopt(adopted, std::move(copy)));
    EXPECT_EQ(adopted->cached_length(), 101);
    EXPECT_EQ(bench.Run(adopted, Prompt(2, 10), adapters).cached_tokens, adapters == 'a' ? 101 : 0);
  }
}

// What was computed again is this process's own, for others to find.
TEST(Adapters, OfASequenceFromOutsideWhatIsComputedAgainIsFound) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(sequence, Prompt(1, 208), 'a');
  auto adopted = std::make_shared<Sequence>(bench.model);
  ASSERT_TRUE(bench.engine.Adopt(adopted, sequence->Share().value()));
  bench.Run(adopted, {}, 'b');
  EXPECT_GE(bench.Run(Prompt(1, 208), 'b').cached_tokens, 192);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 'a').cached_tokens, 0);
}

TEST(Adapters, SamplesShareAPromptComputedWithTheSame) {
  Bench bench;
  auto first = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(first, Prompt(9, 40), 0);  // computed with none, before
  auto second = *bench.engine.Fork(*first);
  const std::vector<int32_t> prompt = Prompt(1, 160);
  std::vector<int32_t> all = first->tokens();
  all.insert(all.end(), prompt.begin(), prompt.end());
  const auto start = [&](const std::shared_ptr<Sequence>& sequence) {
    RequestOptions options = GreedyOn(sequence, prompt, 5);
    options.adapters = Named('a');
    if (sequence != first) options.prompt_from = first;
    return MustSubmit(bench.engine, std::move(options));
  };
  const int64_t before = bench.model->tokens_computed;
  auto one = start(first);
  auto two = start(second);
  EXPECT_EQ(Collect(*one).tokens, bench.model->Continue(all, 5, {'a'}));
  EXPECT_EQ(Collect(*two).tokens, bench.model->Continue(all, 5, {'a'}));
  EXPECT_LT(bench.model->tokens_computed - before, 220);
}

TEST(Adapters, APromptOfOthersIsNotTakenOver) {
  Bench bench;
  auto first = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  auto second = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  RequestOptions options = GreedyOn(first, Prompt(1, 160), 5);
  options.adapters = Named('a');
  EXPECT_EQ(Collect(*MustSubmit(bench.engine, std::move(options))).tokens,
            bench.model->Continue(Prompt(1, 160), 5, {'a'}));
  options = GreedyOn(second, Prompt(1, 160), 5);
  options.adapters = Named('b');
  options.prompt_from = first;
  EXPECT_EQ(Collect(*MustSubmit(bench.engine, std::move(options))).tokens,
            bench.model->Continue(Prompt(1, 160), 5, {'b'}));
}

TEST(Adapters, RowsOfTheSameLieSideBySideInAStep) {
  FakeHost host;
  std::atomic<int> apart{0};
  std::atomic<int> mixed{0};
  FakeModel::Options model_options;
  model_options.begin = [&](std::span<const Slice> slices) -> Status {
    std::vector<model::AdapterSetId> ids;
    for (const Slice& slice : slices) {
      const model::AdapterSetId& id = model::IdOf(slice.adapters);
      if (!ids.empty() && ids.back() == id) continue;
      if (std::find(ids.begin(), ids.end(), id) != ids.end()) ++apart;
      ids.push_back(id);
    }
    if (ids.size() == 3) ++mixed;
    return {};
  };
  auto model = FakeModel::Make(host, model_options);
  Engine engine(host.clock, {.check_invariants = true});
  const Name names[] = {'a', 0, 'b', 'a', 'b', 0};
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 6; ++i) {
    RequestOptions options = Greedy(model, Prompt(i, 10), 200);
    options.adapters = Named(names[i]);
    requests.push_back(MustSubmit(engine, std::move(options)));
  }
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(Collect(*requests[static_cast<size_t>(i)]).tokens,
              model->Continue(Prompt(i, 10), 200, {names[i]}));
  EXPECT_EQ(apart, 0);
  EXPECT_GT(mixed, 0);
}

TEST(Adapters, AreLetGoOfBeforeTheEndCanBeSeen) {
  Bench bench;
  for (int i = 0; i < 200; ++i) {
    RequestOptions options = Greedy(bench.model, Prompt(i, 3), 1);
    options.adapters = Named('a');
    const std::weak_ptr<const model::AdapterSet> adapters = options.adapters;
    auto request = MustSubmit(bench.engine, std::move(options));
    Collect(*request);
    EXPECT_TRUE(adapters.expired());
  }
}

}  // namespace
}  // namespace mirage::engine
