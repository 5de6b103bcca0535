// SPDX-License-Identifier: Apache-2.0
// Texts that are only read: hidden states and probabilities, many texts in a pass, calls beside
// each other and beside requests.

#include <algorithm>
#include <thread>

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr Pooling kPoolings[] = {Pooling::kNone, Pooling::kMean, Pooling::kFirst, Pooling::kLast};

TextCall Embed(const std::shared_ptr<ModelRunner>& model, std::vector<std::vector<int32_t>> texts,
               Pooling pooling) {
  TextCall call;
  call.runner = model;
  for (std::vector<int32_t>& tokens : texts) call.texts.push_back({std::move(tokens), {}, pooling});
  return call;
}

// By the model's own word, with no engine.
std::vector<float> Expected(const FakeModel& model, std::span<const int32_t> tokens,
                            Pooling pooling) {
  std::vector<float> all;
  std::vector<double> sums(FakeModel::kWidth);
  for (size_t i = 1; i <= tokens.size(); ++i) {
    const std::vector<float> hidden = model.HiddenOf(tokens.first(i));
    all.insert(all.end(), hidden.begin(), hidden.end());
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += static_cast<double>(hidden[j]);
  }
  switch (pooling) {
    case Pooling::kNone:
      return all;
    case Pooling::kMean: {
      std::vector<float> mean;
      for (const double sum : sums)
        mean.push_back(static_cast<float>(sum / static_cast<double>(tokens.size())));
      return mean;
    }
    case Pooling::kFirst:
      return {all.begin(), all.begin() + FakeModel::kWidth};
    case Pooling::kLast:
      break;
  }
  return {all.end() - FakeModel::kWidth, all.end()};
}

void ExpectEmbeddings(const FakeModel& model, const std::vector<std::vector<int32_t>>& texts,
                      Pooling pooling, const Result<TextBatch::Results>& results) {
  ASSERT_TRUE(results) << results.error().message;
  ASSERT_EQ(results->size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ((*results)[i].embedding, Expected(model, texts[i], pooling)) << "text " << i;
}

std::vector<std::vector<int32_t>> SomeTexts(int count, int64_t longest) {
  std::vector<std::vector<int32_t>> texts;
  for (int i = 0; i < count; ++i) texts.push_back(Prompt(i, 1 + (i * 37) % longest));
  return texts;
}

TEST(Texts, EveryPoolingOfEveryLength) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  for (const Pooling pooling : kPoolings)
    for (const int64_t length : {1, 2, 63, 64, 65, 200}) {
      const std::vector<std::vector<int32_t>> texts = {Prompt(1, length)};
      ExpectEmbeddings(*model, texts, pooling, Read(engine, Embed(model, texts, pooling)));
    }
  EXPECT_EQ(host.used(), 0u);
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Texts, OfOneCallShareTheirPasses) {
  FakeHost host;
  auto model = FakeModel::Make(host);  // 64 tokens a pass
  Engine engine(host.clock, {.check_invariants = true});
  std::vector<std::vector<int32_t>> texts;
  for (int i = 0; i < 10; ++i) texts.push_back(Prompt(i, 6));
  ExpectEmbeddings(*model, texts, Pooling::kMean,
                   Read(engine, Embed(model, texts, Pooling::kMean)));
  EXPECT_EQ(model->passes, 1);
  texts = SomeTexts(40, 150);
  const int64_t before = model->tokens_computed;
  int64_t tokens = 0;
  for (const auto& text : texts) tokens += static_cast<int64_t>(text.size());
  for (const Pooling pooling : kPoolings)
    ExpectEmbeddings(*model, texts, pooling, Read(engine, Embed(model, texts, pooling)));
  EXPECT_EQ(model->tokens_computed - before, 4 * tokens);  // none twice
  EXPECT_LE(model->passes, 1 + 4 * (tokens / 64 + 1));     // and the passes are full
  EXPECT_EQ(host.used(), 0u);
}

TEST(Texts, OfSeveralCallsShareTheirPasses) {
  FakeHost host;
  FakeModel::Options options;
  options.step_tokens = 256;
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  std::vector<std::vector<std::vector<int32_t>>> texts;
  std::vector<std::shared_ptr<TextBatch>> calls;
  for (int i = 0; i < 4; ++i) {
    texts.push_back({Prompt(i, 20), Prompt(i + 10, 30)});
    calls.push_back(*engine.Submit(Embed(model, texts.back(), Pooling::kLast)));
  }
  blocker.gate.Open();
  for (size_t i = 0; i < calls.size(); ++i) {
    ASSERT_TRUE(calls[i]->Wait(kHang));
    ExpectEmbeddings(*model, texts[i], Pooling::kLast, calls[i]->Take());
  }
  EXPECT_EQ(model->passes, 1);
}

TEST(Texts, AShortCallDoesNotWaitForTheEndOfALongOne) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.step_tokens = 128;
  options.begin = [&, passes = 0](auto) mutable -> Status {
    if (++passes == 3) gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  const std::vector<std::vector<int32_t>> many(20, Prompt(1, 100));
  const auto long_call = *engine.Submit(Embed(model, many, Pooling::kMean));
  const auto short_call = *engine.Submit(Embed(model, {Prompt(2, 100)}, Pooling::kMean));
  blocker.gate.Open();
  ASSERT_TRUE(short_call->Wait(kHang)) << "after two passes";
  EXPECT_FALSE(long_call->Wait(std::chrono::nanoseconds(0)));
  gate.Open();
  ExpectEmbeddings(*model, {Prompt(2, 100)}, Pooling::kMean, short_call->Take());
  ExpectEmbeddings(*model, many, Pooling::kMean, long_call->Take());
}

TEST(Texts, OfTwoModelsTakeTurns) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&, passes = 0](auto) mutable -> Status {
    if (++passes == 3) gate.Pass();
    return {};
  };
  auto busy = FakeModel::Make(host, options);
  options = {};
  options.salt = 2;
  auto other = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  const std::vector<std::vector<int32_t>> many(20, Prompt(1, 64));
  const auto long_call = *engine.Submit(Embed(busy, many, Pooling::kLast));
  const auto short_call = *engine.Submit(Embed(other, {Prompt(2, 30)}, Pooling::kLast));
  blocker.gate.Open();
  ASSERT_TRUE(short_call->Wait(kHang)) << "after two passes";
  ExpectEmbeddings(*other, {Prompt(2, 30)}, Pooling::kLast, short_call->Take());
  gate.Open();
  ExpectEmbeddings(*busy, many, Pooling::kLast, long_call->Take());
}

TEST(Texts, ThatLoseTheirPagesAreComputedAgainAndTakenOnce) {
  for (const Pooling pooling : kPoolings) {
    FakeHost host(6 * kPage);
    Gate gate;
    FakeModel::Options options = OneLayer();
    options.step_tokens = 32;
    options.begin = [&](auto) -> Status {
      gate.Pass();
      return {};
    };
    auto model = FakeModel::Make(host, options);
    Engine engine(host.clock, {.check_invariants = true});
    const std::vector<std::vector<int32_t>> texts = {Prompt(3, 150)};  // 5 pages, five passes
    TextCall call = Embed(model, texts, pooling);
    call.texts.front().score_from = 1;
    const auto batch = *engine.Submit(std::move(call));
    gate.AwaitArrival();
    auto request = MustSubmit(engine, Greedy(model, Prompt(1, 60), 40));  // up to 4 pages
    gate.Open();
    EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(1, 60), 40));
    ASSERT_TRUE(batch->Wait(kHang));
    EXPECT_EQ(batch->computed(), 150);
    EXPECT_GT(model->tokens_computed, 150 + 100 - 1) << "nothing was computed again";
    const Result<TextBatch::Results> results = batch->Take();
    ExpectEmbeddings(*model, texts, pooling, results);
    ASSERT_EQ(results->front().logprobs.size(), 149u);
    for (size_t i = 1; i < 150; ++i)
      EXPECT_EQ(results->front().logprobs[i - 1],
                model->LogprobOf(std::span(texts[0]).first(i), texts[0][i]));
  }
}

TEST(Texts, TooLongToBeThereTogetherComeOneAfterTheOther) {
  FakeHost host(6 * kPage);
  FakeModel::Options options = OneLayer();
  options.step_tokens = 128;
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  std::vector<std::shared_ptr<TextBatch>> calls;
  const std::vector<std::vector<int32_t>> texts = {Prompt(1, 180), Prompt(2, 190)};  // 6 pages each
  for (int i = 0; i < 3; ++i) calls.push_back(*engine.Submit(Embed(model, texts, Pooling::kMean)));
  blocker.gate.Open();
  for (const auto& call : calls) {
    ASSERT_TRUE(call->Wait(kHang));
    EXPECT_EQ(call->computed(), call->tokens());
    ExpectEmbeddings(*model, texts, Pooling::kMean, call->Take());
  }
  EXPECT_EQ(host.used(), 0u);
}

TEST(Texts, ThatCanNeverFitFailTheirCallAlone) {
  FakeHost host(5 * kPage);
  FakeModel::Options options = OneLayer();
  options.step_tokens = 128;
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  const auto large = *engine.Submit(Embed(model, {Prompt(1, 10), Prompt(2, 161)}, Pooling::kLast));
  const auto small = *engine.Submit(Embed(model, {Prompt(3, 160)}, Pooling::kLast));
  blocker.gate.Open();
  const Result<TextBatch::Results> failed = large->Take();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kOutOfMemory);
  EXPECT_GT(failed.error().needed_bytes, failed.error().available_bytes);
  ExpectEmbeddings(*model, {Prompt(3, 160)}, Pooling::kLast, small->Take());
  EXPECT_EQ(host.used(), 0u);
}

// The clock moves within a pass that two calls share: the one whose time is over must end, the
// other one's texts are computed again if that was most of it.
TEST(Texts, PastTheirDeadlineEndAndTheOthersGoOn) {
  for (const int64_t length : {20, 100}) {
    FakeHost host;
    FakeModel::Options options;
    options.step_tokens = 256;
    options.layer = [&](int layer) -> Status {
      if (layer == 1) host.clock.AdvanceTo(host.clock.NowNs() + 1000);
      return {};
    };
    auto model = FakeModel::Make(host, options);
    FakeHost elsewhere;
    Engine engine(host.clock, {.check_invariants = true});
    Blocker blocker(elsewhere, engine);
    TextCall call = Embed(model, {Prompt(1, length), Prompt(2, 1000)}, Pooling::kMean);
    call.deadline_ns = host.clock.NowNs() + 1;
    const auto late = *engine.Submit(std::move(call));
    const auto other = *engine.Submit(Embed(model, {Prompt(3, 60)}, Pooling::kMean));
    blocker.gate.Open();
    const Result<TextBatch::Results> ended = late->Take();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Code::kDeadline);
    ExpectEmbeddings(*model, {Prompt(3, 60)}, Pooling::kMean, other->Take());
    EXPECT_LT(model->tokens_computed, 1000);
    EXPECT_EQ(host.used(), 0u);
  }
}

TEST(Texts, AreCancelledWhileTheyWaitBehindOthers) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  std::atomic<bool> cancelled{false};
  TextCall call = Embed(model, {Prompt(1, 500)}, Pooling::kMean);
  call.cancelled = [&] { return cancelled.load(); };
  const auto before = *engine.Submit(Embed(model, SomeTexts(20, 150), Pooling::kMean));
  const auto batch = *engine.Submit(std::move(call));
  cancelled = true;
  blocker.gate.Open();
  const Result<TextBatch::Results> ended = batch->Take();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kCancelled);
  EXPECT_EQ(batch->computed(), 0);
  ExpectEmbeddings(*model, SomeTexts(20, 150), Pooling::kMean, before->Take());
}

TEST(Texts, AFailedPassFailsTheCallsInIt) {
  FakeHost host;
  FakeModel::Options options;
  options.step_tokens = 128;
  options.end = [passes = 0]() mutable -> Status {
    if (++passes == 2) return Fail(Code::kIo, "the disk is gone");
    return {};
  };
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  const auto quick = *engine.Submit(Embed(model, {Prompt(1, 10)}, Pooling::kLast));
  const auto slow = *engine.Submit(Embed(model, {Prompt(2, 200)}, Pooling::kLast));
  blocker.gate.Open();
  ExpectEmbeddings(*model, {Prompt(1, 10)}, Pooling::kLast, quick->Take());
  const Result<TextBatch::Results> failed = slow->Take();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kIo);
  ExpectEmbeddings(*model, {Prompt(2, 200)}, Pooling::kLast,
                   Read(engine, Embed(model, {Prompt(2, 200)}, Pooling::kLast)));
  EXPECT_EQ(host.used(), 0u);
}

TEST(Texts, ThatAreNoneAreRefusedByNumber) {
  FakeHost host;
  FakeModel::Options options;
  options.context = 100;
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  struct Case {
    std::vector<int32_t> bad;
    Code code;
  };
  for (const Case& bad :
       {Case{{}, Code::kInvalidArgument}, Case{{1, -1}, Code::kInvalidArgument},
        Case{{97}, Code::kInvalidArgument}, Case{Prompt(1, 101), Code::kContextFull}}) {
    const auto refused =
        engine.Submit(Embed(model, {Prompt(1, 10), bad.bad, Prompt(1, 10)}, Pooling::kMean));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, bad.code);
    EXPECT_EQ(refused.error().message.find("text 1: "), 0u) << refused.error().message;
  }
  const Result<TextBatch::Results> none = Read(engine, Embed(model, {}, Pooling::kMean));
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->empty());
}

TEST(Texts, EndWithTheEngine) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  std::vector<std::shared_ptr<TextBatch>> calls;
  for (int i = 0; i < 5; ++i)
    calls.push_back(*engine.Submit(Embed(model, SomeTexts(50, 100), Pooling::kMean)));
  gate.AwaitArrival();
  std::thread closer([&] { engine.Shutdown(); });
  EXPECT_TRUE(Eventually([&] { return !engine.Submit(Greedy(model, {1}, 1)); }));
  gate.Open();
  for (const auto& call : calls) {
    const Result<TextBatch::Results> ended = call->Take();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Code::kClosed);
  }
  closer.join();
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::engine
