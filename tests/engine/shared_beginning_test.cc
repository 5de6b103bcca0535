// SPDX-License-Identifier: Apache-2.0
// Texts of one call that begin with the same tokens: these are computed once.

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

// Scores what follows `prompt` in each text.
TextCall Continuations(const std::shared_ptr<ModelRunner>& model,
                       const std::vector<int32_t>& prompt,
                       const std::vector<std::vector<int32_t>>& choices) {
  TextCall call;
  call.runner = model;
  const auto length = static_cast<int64_t>(prompt.size());
  for (const std::vector<int32_t>& choice : choices) {
    Text text{prompt, length, {}};
    text.tokens.insert(text.tokens.end(), choice.begin(), choice.end());
    call.texts.push_back(std::move(text));
  }
  call.shared = length - 1;
  return call;
}

void ExpectScored(const FakeModel& model, const std::vector<int32_t>& prompt,
                  const std::vector<std::vector<int32_t>>& choices,
                  const Result<TextBatch::Results>& results) {
  ASSERT_TRUE(results) << results.error().message;
  ASSERT_EQ(results->size(), choices.size());
  for (size_t i = 0; i < choices.size(); ++i) {
    std::vector<int32_t> tokens = prompt;
    ASSERT_EQ((*results)[i].logprobs.size(), choices[i].size());
    for (size_t j = 0; j < choices[i].size(); ++j) {
      ASSERT_EQ((*results)[i].logprobs[j], model.LogprobOf(tokens, choices[i][j]))
          << "choice " << i << ", token " << j;
      tokens.push_back(choices[i][j]);
    }
  }
}

std::vector<std::vector<int32_t>> Choices(int count, int64_t longest) {
  std::vector<std::vector<int32_t>> choices;
  for (int i = 0; i < count; ++i) choices.push_back(Prompt(100 + i, 1 + (i * 7) % longest));
  return choices;
}

int64_t TokensOf(const std::vector<std::vector<int32_t>>& texts) {
  int64_t tokens = 0;
  for (const auto& text : texts) tokens += static_cast<int64_t>(text.size());
  return tokens;
}

TEST(SharedBeginning, IsComputedOnce) {
  for (const int64_t length : {1, 2, 31, 32, 33, 64, 65, 300, 321}) {
    FakeHost host;
    auto model = FakeModel::Make(host);
    Engine engine(host.clock, {.check_invariants = true});
    const auto choices = Choices(20, 30);
    ExpectScored(*model, Prompt(1, length), choices,
                 Read(engine, Continuations(model, Prompt(1, length), choices)));
    // Each text computes the prompt's last token for its first one's probability, and not its own
    // last one.
    EXPECT_EQ(model->tokens_computed, length - 1 + TokensOf(choices)) << length;
    EXPECT_EQ(model->broken_pages, 0);
    EXPECT_EQ(host.used(), 0u);
  }
}

TEST(SharedBeginning, IsHeldOnce) {
  FakeHost host;
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, {.check_invariants = true});
  const std::vector<int32_t> prompt = Prompt(1, 321);  // ten pages, of which the last token is not
  const auto choices = Choices(8, 30);
  ExpectScored(*model, prompt, choices, Read(engine, Continuations(model, prompt, choices)));
  EXPECT_LE(model->pages().Stats().bytes_peak, (10 + 8) * kPage);
}

TEST(SharedBeginning, OfSeveralCallsBesideEachOther) {
  FakeHost host;
  FakeModel::Options options;
  options.step_tokens = 256;
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  const auto choices = Choices(5, 30);
  std::vector<std::shared_ptr<TextBatch>> calls;
  for (int i = 0; i < 4; ++i)
    calls.push_back(*engine.Submit(Continuations(model, Prompt(i, 100 + i), choices)));
  auto request = MustSubmit(engine, Greedy(model, Prompt(9, 100), 20));
  blocker.gate.Open();
  for (int i = 0; i < 4; ++i) {
    const auto& call = calls[static_cast<size_t>(i)];
    ASSERT_TRUE(call->Wait(kHang));
    EXPECT_EQ(call->computed(), call->tokens());
    ExpectScored(*model, Prompt(i, 100 + i), choices, call->Take());
  }
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(9, 100), 20));
}

TEST(SharedBeginning, ThatIsLostIsComputedAgain) {
  // What two calls and a request want is more than there is.
  for (const uint64_t pages : {8, 9, 10, 12, 16}) {
    FakeHost host(pages * kPage);
    FakeModel::Options options = OneLayer();
    options.step_tokens = 128;
    auto model = FakeModel::Make(host, options);
    FakeHost elsewhere;
    Engine engine(host.clock, {.check_invariants = true});
    Blocker blocker(elsewhere, engine);
    const auto choices = Choices(12, 60);
    std::vector<std::shared_ptr<TextBatch>> calls;
    for (int i = 0; i < 3; ++i)
      calls.push_back(*engine.Submit(Continuations(model, Prompt(i, 150), choices)));  // 7 pages
    auto request = MustSubmit(engine, Greedy(model, Prompt(9, 60), 100));  // up to 5 pages
    blocker.gate.Open();
    for (int i = 0; i < 3; ++i) {
      const auto& call = calls[static_cast<size_t>(i)];
      ASSERT_TRUE(call->Wait(kHang)) << pages << " pages";
      ExpectScored(*model, Prompt(i, 150), choices, call->Take());
    }
    EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(9, 60), 100));
    EXPECT_EQ(model->broken_pages, 0);
  }
}

TEST(SharedBeginning, GivesWayToATextThatFitsWithoutIt) {
  // Of 161 tokens in six pages the beginning shares five; its copy of the sixth is one too many.
  FakeHost host(6 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, {.check_invariants = true});
  const std::vector<std::vector<int32_t>> choices = {Prompt(5, 10), Prompt(6, 10)};
  const std::vector<int32_t> prompt = Prompt(1, 175);
  ExpectScored(*model, prompt, choices, Read(engine, Continuations(model, prompt, choices)));
  EXPECT_EQ(host.used(), 0u);
}

TEST(SharedBeginning, IsRefusedWhereItIsNone) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  const auto refusal = [&](TextCall call) {
    const auto refused = engine.Submit(std::move(call));
    return refused ? Code::kOk : refused.error().code;
  };
  const std::vector<int32_t> prompt = Prompt(1, 20);
  TextCall other = Continuations(model, prompt, {{1, 2}, {3}});
  other.texts[1].tokens[5] = 96 - other.texts[1].tokens[5];
  EXPECT_EQ(refusal(std::move(other)), Code::kInternal);
  TextCall whole = Continuations(model, prompt, {{1}});
  whole.shared = 21;
  EXPECT_EQ(refusal(std::move(whole)), Code::kInternal);
  TextCall early = Continuations(model, prompt, {{1}});
  early.texts[0].score_from = 5;
  EXPECT_EQ(refusal(std::move(early)), Code::kInternal);
  TextCall pooled = Continuations(model, prompt, {{1}});
  pooled.texts[0].pooling = Pooling::kMean;
  EXPECT_EQ(refusal(std::move(pooled)), Code::kInternal);
  EXPECT_EQ(refusal(Continuations(model, prompt, {{1}})), Code::kOk);
}

}  // namespace
}  // namespace mirage::engine
