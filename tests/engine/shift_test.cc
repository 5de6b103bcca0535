// SPDX-License-Identifier: Apache-2.0
// Answers that go on when their context is full: after each shift comes what follows the tokens
// that are left, nothing else is lost, and what came before is there again after a rollback.

#include <algorithm>
#include <functional>
#include <mutex>
#include <random>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr int64_t kLimit = 150;
constexpr int64_t kKeep = 70;  // two pages and a part of the third

FakeModel::Options OneLayer() {
  FakeModel::Options options;
  options.geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0}}};
  options.step_tokens = 1024;
  return options;
}

// A pass as a request took part in it: from which position on, and how many tokens.
struct Computed {
  int64_t first;
  int64_t count;
  bool operator==(const Computed& other) const {
    return first == other.first && count == other.count;
  }
};

// What is left of a full context.
std::vector<int32_t> Shifted(std::vector<int32_t> tokens, int64_t keep) {
  const int64_t dropped = std::max<int64_t>(1, (static_cast<int64_t>(tokens.size()) - keep) / 2);
  tokens.erase(tokens.begin() + keep, tokens.begin() + keep + dropped);
  return tokens;
}

struct Said {
  std::vector<int32_t> output;
  std::vector<int32_t> context;
};

// The answer by the definition, with no engine.
Said ContinueShifting(const FakeModel& model, const sample::Params& params,
                      std::vector<int32_t> tokens, int64_t count, int64_t limit, int64_t keep) {
  const sample::Sampler sampler = *sample::Sampler::Create(params, model.vocabulary());
  sample::Workspace workspace;
  Said said;
  auto output_begin = static_cast<int64_t>(tokens.size());
  auto position = static_cast<int64_t>(tokens.size());
  while (static_cast<int64_t>(said.output.size()) < count) {
    if (static_cast<int64_t>(tokens.size()) >= limit) {
      const auto before = static_cast<int64_t>(tokens.size());
      tokens = Shifted(tokens, keep);
      const int64_t dropped = before - static_cast<int64_t>(tokens.size());
      if (output_begin > keep) output_begin = std::max(keep, output_begin - dropped);
    }
    std::vector<float> logits = model.LogitsOf(tokens);
    sample::DrawContext context;
    context.history = tokens;
    context.output_begin = static_cast<size_t>(output_begin);
    context.position = position++;
    tokens.push_back(sampler.Sample(logits, context, workspace)->token);
    said.output.push_back(tokens.back());
  }
  said.context = tokens;
  return said;
}

Said ContinueGreedily(const FakeModel& model, std::vector<int32_t> tokens, int64_t count,
                      int64_t limit = kLimit, int64_t keep = kKeep) {
  sample::Params params;
  params.temperature = 0;
  return ContinueShifting(model, params, std::move(tokens), count, limit, keep);
}

std::shared_ptr<Sequence> Private(const std::shared_ptr<FakeModel>& model) {
  return std::make_shared<Sequence>(model, kLimit, PrefixSharing{false, ""});
}

RequestOptions Shifting(const std::shared_ptr<Sequence>& sequence, std::vector<int32_t> prompt,
                        int64_t max_tokens) {
  RequestOptions options = GreedyOn(sequence, std::move(prompt), max_tokens);
  options.shift_keep = kKeep;
  return options;
}

TEST(Shift, ComputesAgainWhatFollowsTheKeptTokensAndNothingElse) {
  FakeHost host;
  FakeModel::Options options = OneLayer();
  std::vector<Computed> computed;
  options.begin = [&](std::span<const Slice> slices) -> Status {
    computed.push_back({slices[0].cache->length(), static_cast<int64_t>(slices[0].tokens.size())});
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock, {.check_invariants = true});
  auto sequence = Private(model);
  auto request = MustSubmit(engine, Shifting(sequence, Prompt(1, 148), 44));
  const Outcome outcome = Collect(*request);
  const Said want = ContinueGreedily(*model, Prompt(1, 148), 44);
  EXPECT_EQ(outcome.tokens, want.output);
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(sequence->tokens(), want.context);

  // 150 tokens become 70 and 40, and 150 again 40 tokens later.
  std::vector<Computed> expected = {{0, 148}, {148, 1}, {70, 40}};
  for (int64_t position = 110; position < 149; ++position) expected.push_back({position, 1});
  expected.push_back({70, 40});
  expected.push_back({110, 1});
  EXPECT_EQ(computed.size(), expected.size());
  EXPECT_TRUE(computed == expected);
  const RequestStats stats = request->stats();
  EXPECT_EQ(stats.shifts, 2);
  EXPECT_EQ(stats.dropped_tokens, 80);
  EXPECT_EQ(stats.output_tokens, 44);
  EXPECT_EQ(stats.cached_tokens, 0);
  EXPECT_EQ(stats.preemptions, 0);
}

TEST(Shift, FindsTheKeptTokensOfAWindowModelAmongPrefixes) {
  FakeHost host;
  FakeModel::Options options;
  options.geometry = FakeModel::Attention();
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock, {.check_invariants = true});
  for (const bool shared : {false, true}) {
    const int64_t before = model->tokens_computed;
    auto sequence = std::make_shared<Sequence>(model, kLimit, PrefixSharing{shared, ""});
    auto request = MustSubmit(engine, Shifting(sequence, Prompt(1, 148), 3));
    EXPECT_EQ(Collect(*request).tokens, ContinueGreedily(*model, Prompt(1, 148), 3).output);
    EXPECT_EQ(request->stats().cached_tokens, 0);  // of its prompt
    // Its window has passed position 70: without a page found everything is computed again.
    EXPECT_EQ(model->tokens_computed - before, shared ? 148 + 1 + 110 - 64 : 148 + 1 + 110);
  }
}

TEST(Shift, DrawsGoOnAndPenaltiesSeeWhatIsLeft) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  sample::Params params;
  params.temperature = 1.5f;
  params.seed = 7;
  params.presence_penalty = 0.5f;
  params.repeat_penalty = 1.2f;
  params.dry_multiplier = 0.8f;
  for (const int64_t length : {30, 100}) {  // shorter and longer than what is kept
    RequestOptions options = Shifting(Private(model), Prompt(2, length), 400);
    options.sampling = params;
    EXPECT_EQ(Collect(*MustSubmit(engine, std::move(options))).tokens,
              ContinueShifting(*model, params, Prompt(2, length), 400, kLimit, kKeep).output);
  }
}

TEST(Shift, GuessesAreOfWhatIsLeft) {
  FakeHost host;
  FakeModel::Options model_options;
  model_options.forgetful = true;
  auto model = FakeModel::Make(host, model_options);
  Engine engine(host.clock, {.check_invariants = true});
  RequestOptions options = Shifting(Private(model), Prompt(1, 40), 500);
  options.most_guesses = 12;
  auto request = MustSubmit(engine, std::move(options));
  EXPECT_EQ(Collect(*request).tokens, ContinueGreedily(*model, Prompt(1, 40), 500).output);
  EXPECT_GT(request->stats().accepted_tokens, 100);
}

TEST(Shift, ARollbackBringsBackWhatTheSequenceHeld) {
  for (const int64_t held : {60, 100}) {  // less and more than what is kept
    FakeHost host;
    auto model = FakeModel::Make(host, OneLayer());
    Engine engine(host.clock, {.check_invariants = true});
    auto sequence = Private(model);
    Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(3, held - 1), 1)));
    const std::vector<int32_t> before = sequence->tokens();
    auto request = MustSubmit(engine, Shifting(sequence, Prompt(1, 20), -1));
    for (int i = 0; i < 300; ++i) ASSERT_EQ(request->Next(kHang)->kind, Output::Kind::kToken);
    request->Cancel(CancelMode::kRollback);
    EXPECT_EQ(Collect(*request).finish, Finish::kCancelled);
    EXPECT_GE(request->stats().shifts, 4);
    EXPECT_EQ(sequence->tokens(), before);
    EXPECT_LE(sequence->cached_length(), held);
    const Outcome again = Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(5, 3), 9)));
    std::vector<int32_t> all = before;
    for (const int32_t token : Prompt(5, 3)) all.push_back(token);
    EXPECT_EQ(again.tokens, model->Continue(all, 9));
  }
}

// For whoever undoes a request after it ended, and not for one that began later.
TEST(Shift, ASequenceCanBeTakenBackToTheStartOfItsLastRequest) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  auto sequence = Private(model);
  Collect(*MustSubmit(engine, Shifting(sequence, Prompt(1, 100), 10)));
  const std::vector<int32_t> before = sequence->tokens();
  const Outcome first = Collect(*MustSubmit(engine, Shifting(sequence, Prompt(2, 9), 200)));
  sequence->TakeBack(110);
  EXPECT_EQ(sequence->tokens(), before);
  EXPECT_EQ(Collect(*MustSubmit(engine, Shifting(sequence, Prompt(2, 9), 200))).tokens,
            first.tokens);
  const std::vector<int32_t> shifted = sequence->tokens();
  ASSERT_TRUE(sequence->Truncate(90));
  Collect(*MustSubmit(engine, Shifting(sequence, Prompt(2, 2), 5)));
  sequence->TakeBack(90);
  EXPECT_EQ(sequence->tokens(), std::vector<int32_t>(shifted.begin(), shifted.begin() + 90));
  Collect(*MustSubmit(engine, Shifting(sequence, Prompt(2, 2), 200)));
  const std::vector<int32_t> later = sequence->tokens();
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(2, 1), 1)));
  sequence->TakeBack(static_cast<int64_t>(later.size()));
  EXPECT_EQ(sequence->tokens(), later);
}

TEST(Shift, ACancelledAnswerLeavesWhatItsContextHeld) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  auto sequence = Private(model);
  auto request = MustSubmit(engine, Shifting(sequence, Prompt(1, 20), -1));
  for (int i = 0; i < 400; ++i) ASSERT_EQ(request->Next(kHang)->kind, Output::Kind::kToken);
  request->Cancel(CancelMode::kStop);
  const Outcome rest = Collect(*request);
  const auto produced = 400 + static_cast<int64_t>(rest.tokens.size());
  std::vector<int32_t> context = ContinueGreedily(*model, Prompt(1, 20), produced).context;
  // A full one may have shifted for the next token before the cancel came.
  if (static_cast<int64_t>(context.size()) == kLimit && sequence->length() < kLimit)
    context = Shifted(context, kKeep);
  EXPECT_EQ(sequence->tokens(), context);
}

TEST(Shift, AForkHasTheTokensThatAreLeft) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  auto sequence = Private(model);
  auto request = MustSubmit(engine, Shifting(sequence, Prompt(1, 20), -1));
  for (int i = 0; i < 300; ++i) ASSERT_EQ(request->Next(kHang)->kind, Output::Kind::kToken);
  auto fork = *engine.Fork(*sequence);
  while (static_cast<int64_t>(fork->tokens().size()) == kLimit) {  // it is about to shift
    ASSERT_EQ(request->Next(kHang)->kind, Output::Kind::kToken);
    fork = *engine.Fork(*sequence);
  }
  const std::vector<int32_t> held = fork->tokens();
  ASSERT_LT(static_cast<int64_t>(held.size()), kLimit);
  EXPECT_EQ(Collect(*MustSubmit(engine, Shifting(fork, {}, 200))).tokens,
            ContinueGreedily(*model, held, 200).output);
}

// One of them may have shifted before the others took the prompt from it.
TEST(Shift, EachSampleShiftsByItself) {
  for (const int64_t length : {20, 148, 149}) {
    FakeHost host;
    auto model = FakeModel::Make(host);
    Engine engine(host.clock, {.check_invariants = true});
    auto first = Private(model);
    std::vector<RequestOptions> all;
    sample::Params params;
    params.temperature = 1.2f;
    for (uint32_t i = 0; i < 4; ++i) {
      all.push_back(Shifting(i == 0 ? first : *engine.Fork(*first), Prompt(1, length), 300));
      all.back().sampling = params;
      all.back().sampling.seed = 5 + i;  // the definition above draws as sample 0
      if (i > 0) all.back().prompt_from = first;
    }
    std::vector<std::shared_ptr<Request>> requests;
    for (RequestOptions& options : all) requests.push_back(MustSubmit(engine, std::move(options)));
    for (uint32_t i = 0; i < 4; ++i) {
      params.seed = 5 + i;
      EXPECT_EQ(Collect(*requests[i]).tokens,
                ContinueShifting(*model, params, Prompt(1, length), 300, kLimit, kKeep).output);
    }
    EXPECT_EQ(model->broken_pages, 0);
  }
}

TEST(Shift, TheSmallestContextsGoOn) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  for (int64_t limit = 2; limit < 6; ++limit)
    for (int64_t keep = 0; keep < limit; ++keep) {
      auto sequence = std::make_shared<Sequence>(model, limit);
      RequestOptions options = GreedyOn(sequence, Prompt(1, limit - 1), 20);
      options.shift_keep = keep;
      EXPECT_EQ(Collect(*MustSubmit(engine, std::move(options))).tokens,
                ContinueGreedily(*model, Prompt(1, limit - 1), 20, limit, keep).output)
          << keep << " of " << limit;
    }
}

TEST(Shift, WhatIsKeptMustBeLessThanTheContext) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  for (const int64_t keep : {int64_t{-1}, kLimit}) {
    RequestOptions options = Shifting(Private(model), Prompt(1, 20), 5);
    options.shift_keep = keep;
    const auto refused = engine.Submit(std::move(options));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(std::to_string(keep)), std::string::npos);
  }
}

// A clock that does something now and then whenever the engine looks at it: between any two things
// that a round does.
class MeddlingClock final : public Clock {
 public:
  [[nodiscard]] int64_t NowNs() const override {
    if (meddle) meddle();
    return 0;
  }
  std::function<void()> meddle;
};

TEST(Shift, DoesNotDependOnWhenTheReaderMakesRoom) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    FakeHost host;
    auto model = FakeModel::Make(host, OneLayer());
    std::mutex turn;
    std::shared_ptr<Request> request;
    std::vector<int32_t> tokens;
    MeddlingClock clock;
    clock.meddle = [&] {
      const std::lock_guard lock(turn);
      if (request == nullptr || random() % 3 != 0) return;
      if (const auto output = request->Next(std::chrono::nanoseconds(0)))
        if (output->kind == Output::Kind::kToken) tokens.push_back(output->choice.token);
    };
    Engine engine(clock);
    RequestOptions options = Shifting(Private(model), Prompt(1, 140), 200);
    options.queue_capacity = 1;
    const std::shared_ptr<Request> ours = MustSubmit(engine, std::move(options));
    {
      const std::lock_guard lock(turn);
      request = ours;
    }
    // Another one keeps the engine going.
    RequestOptions company = Greedy(model, Prompt(2, 10), 1000);
    company.queue_capacity = 1001;
    Collect(*MustSubmit(engine, std::move(company)));
    {
      const std::lock_guard lock(turn);
      request = nullptr;
    }
    const Outcome rest = Collect(*ours);
    tokens.insert(tokens.end(), rest.tokens.begin(), rest.tokens.end());
    EXPECT_EQ(tokens, ContinueGreedily(*model, Prompt(1, 140), 200).output);
  }
}

}  // namespace
}  // namespace mirage::engine
