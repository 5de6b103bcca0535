// SPDX-License-Identifier: Apache-2.0
// What a constraint does to a request, and to nobody else. Grammars' are tested in tests/session.

#include "engine/constraint.h"

#include <new>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

// Multiples of `step` alone, `length` of them; it fails or throws at the token `bad`.
class Multiples final : public Constraint {
 public:
  struct Options {
    int32_t step = 3;
    int64_t length = INT64_MAX;
    int64_t throws_at = -1, fails_at = -1;
    int64_t* pushed = nullptr;  // where to count what was pushed
  };
  explicit Multiples(Options options) : options_(options) {}

  Result<const BitSet*> Allowed() override {
    if (pushed_ == options_.throws_at) throw std::bad_alloc();
    allowed_.Clear();
    for (int32_t token = 0; token < 97; token += options_.step)
      allowed_.Add(static_cast<size_t>(token));
    return &allowed_;
  }
  Result<bool> Push(int32_t token) override {
    EXPECT_EQ(token % options_.step, 0);
    if (pushed_ == options_.fails_at) return Fail(Code::kUnsupported, "too deep");
    ++pushed_;
    if (options_.pushed != nullptr) *options_.pushed = pushed_;
    return pushed_ == options_.length;
  }
  int64_t CountAllowed(std::span<const int32_t> tokens) const override {
    int64_t count = 0;
    while (count < static_cast<int64_t>(tokens.size()) &&
           tokens[static_cast<size_t>(count)] % options_.step == 0)
      ++count;
    return count;
  }
  std::vector<int32_t> Forced(int64_t) const override { return {}; }

 private:
  const Options options_;
  int64_t pushed_ = 0;
  BitSet allowed_{97};
};

RequestOptions Held(RequestOptions options, Multiples::Options how) {
  options.constraint = std::make_unique<Multiples>(how);
  return options;
}

// The greedy multiples of three.
std::vector<int32_t> Expected(const FakeModel& model, std::vector<int32_t> tokens, int64_t count) {
  std::vector<int32_t> output;
  while (static_cast<int64_t>(output.size()) < count) {
    const std::vector<float> logits = model.LogitsOf(tokens);
    int32_t best = 0;
    for (int32_t token = 0; token < 97; token += 3)
      if (logits[static_cast<size_t>(token)] > logits[static_cast<size_t>(best)]) best = token;
    output.push_back(best);
    tokens.push_back(best);
  }
  return output;
}

TEST(Constraint, OnlyWhatItAllowsIsChosen) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  int64_t pushed = 0;
  const auto request =
      MustSubmit(engine, Held(Greedy(model, Prompt(1, 20), 50), {.pushed = &pushed}));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.tokens, Expected(*model, Prompt(1, 20), 50));
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(pushed, 50);
}

TEST(Constraint, WhatIsCompleteStops) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Held(Greedy(model, Prompt(1, 20), 50), {.length = 7});
  options.min_tokens = 20;
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(options)));
  EXPECT_EQ(outcome.tokens, Expected(*model, Prompt(1, 20), 7));
  EXPECT_EQ(outcome.finish, Finish::kStop);
}

TEST(Constraint, GuessesThatItRefusesAreNotChecked) {
  FakeHost host;
  FakeModel::Options repetitive;
  repetitive.forgetful = true;
  auto model = FakeModel::Make(host, repetitive);
  Engine engine(host.clock);
  const auto answer = [&](int64_t guesses) {
    RequestOptions options = Held(Greedy(model, Prompt(1, 10), 300), {});
    options.most_guesses = guesses;
    options.queue_capacity = 500;
    const auto request = MustSubmit(engine, std::move(options));
    Outcome outcome = Collect(*request);
    return std::pair(outcome.tokens, request->stats());
  };
  const auto [alone, none] = answer(0);
  const auto [guessed, some] = answer(8);
  EXPECT_EQ(alone, guessed);
  EXPECT_EQ(none.guessed_tokens, 0);
  EXPECT_GT(some.accepted_tokens, 100);
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Constraint, ItsFailureEndsItsRequestAlone) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  const auto other = MustSubmit(engine, Greedy(model, Prompt(2, 20), 200));
  const auto thrown =
      MustSubmit(engine, Held(GreedyOn(sequence, Prompt(1, 20), 50), {.throws_at = 4}));
  const Outcome out_of_memory = Collect(*thrown);
  EXPECT_EQ(out_of_memory.finish, Finish::kError);
  EXPECT_EQ(out_of_memory.error.code, Code::kOutOfMemory);
  EXPECT_EQ(out_of_memory.tokens, Expected(*model, Prompt(1, 20), 4));
  const auto failed = MustSubmit(engine, Held(Greedy(model, Prompt(1, 20), 50), {.fails_at = 6}));
  const Outcome unsupported = Collect(*failed);
  EXPECT_EQ(unsupported.finish, Finish::kError);
  EXPECT_EQ(unsupported.error.code, Code::kUnsupported);
  EXPECT_EQ(unsupported.tokens.size(), 6u);
  EXPECT_EQ(Collect(*other).tokens, model->Continue(Prompt(2, 20), 200));
  // The sequence is idle, with what was produced.
  EXPECT_FALSE(sequence->busy());
  EXPECT_EQ(sequence->length(), 24);
}

}  // namespace
}  // namespace mirage::engine
