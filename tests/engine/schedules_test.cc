// SPDX-License-Identifier: Apache-2.0
// What a request answers depends on its tokens, its sampling and its seed: not on company, arrival,
// priorities, what a model keeps of its tokens, how much a step holds, what was found computed,
// what was taken away and computed again, dropped to make room in the context, or what was guessed.
// Random schedules, each beside the answers alone.

#include <memory>
#include <random>

#include "tests/engine/engine_test.h"
#include "tests/engine/ram_swap_space.h"

namespace mirage::engine {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kSchedules = 200;
#else
constexpr int kSchedules = 2000;
#endif
constexpr int kRequests = 6;
constexpr int64_t kMostPrompt = 180;
constexpr int64_t kMostAnswer = 40;

struct Wish {
  std::vector<int32_t> prompt;
  sample::Params sampling;
  int64_t count = 1;
  int64_t context = 0;  // as for Sequence
  std::optional<int64_t> keep;
};

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  int Below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool OneIn(int n) { return Below(n) == 0; }

 private:
  std::mt19937 random_;
};

// Prompts that have beginnings in common, up to anywhere within a page.
Wish RandomWish(Dice& dice) {
  Wish wish;
  wish.prompt = Prompt(dice.Below(2), 1 + dice.Below(kMostPrompt / 2));
  const std::vector<int32_t> own = Prompt(100 + dice.Below(50), dice.Below(kMostPrompt / 2));
  wish.prompt.insert(wish.prompt.end(), own.begin(), own.end());
  wish.count = 1 + dice.Below(kMostAnswer);
  wish.sampling.temperature = dice.OneIn(2) ? 0.0f : 0.9f;
  wish.sampling.seed = static_cast<uint64_t>(dice.Below(1000));
  if (dice.OneIn(3)) wish.sampling.repeat_penalty = 1.3f;
  if (dice.OneIn(4)) wish.sampling.dry_multiplier = 0.8f;
  if (dice.OneIn(4)) wish.sampling.mirostat = 2;
  if (dice.OneIn(3)) {  // soon full, maybe more than once
    const auto length = static_cast<int>(wish.prompt.size());
    wish.context = length + 1 + dice.Below(static_cast<int>(wish.count));
    wish.keep = dice.Below(length);
  }
  return wish;
}

RequestOptions OptionsFor(const Wish& wish, std::shared_ptr<Sequence> sequence) {
  RequestOptions options;
  options.sequence = std::move(sequence);
  options.prompt = wish.prompt;
  options.sampling = wish.sampling;
  options.max_tokens = wish.count;
  options.shift_keep = wish.keep;
  return options;
}

FakeModel::Options ModelOptions(bool forgetful) {
  FakeModel::Options options;
  options.forgetful = forgetful;  // answers that repeat themselves, so that guesses come true
  return options;
}

// An engine that has one request at a time, and finds nothing computed before.
class Alone {
 public:
  explicit Alone(bool forgetful) : model_(FakeModel::Make(host_, ModelOptions(forgetful))) {}

  std::vector<int32_t> Answer(const Wish& wish) {
    PrefixSharing sharing;
    sharing.enabled = false;
    const auto sequence = std::make_shared<Sequence>(model_, wish.context, sharing);
    return Collect(*MustSubmit(engine_, OptionsFor(wish, sequence))).tokens;
  }

 private:
  FakeHost host_;
  std::shared_ptr<FakeModel> model_;
  Engine engine_{host_.clock};
};

void RunSchedule(unsigned seed, Alone& repeating, Alone& varied) {
  SCOPED_TRACE("schedule " + std::to_string(seed));
  Dice dice(seed);
  const bool forgetful = dice.OneIn(2);
  Alone& reference = forgetful ? repeating : varied;
  std::vector<Wish> wishes;
  std::vector<std::vector<int32_t>> alone;
  for (int i = 0; i < kRequests; ++i) {
    wishes.push_back(RandomWish(dice));
    alone.push_back(reference.Answer(wishes.back()));
  }

  // At least what the longest needs: of two layers all its pages, of one a window's and a step's.
  constexpr uint64_t kLeastPages = 3 * ((kMostPrompt + kMostAnswer) / kernels::kPageTokens + 2);
  const uint64_t pages = kLeastPages + static_cast<uint64_t>(dice.Below(3 * kLeastPages));
  FakeHost host(dice.OneIn(3) ? UINT64_MAX : pages * FakeModel::kPageBytes);
  FakeModel::Options options = ModelOptions(forgetful);
  const auto geometry = [&] {
    const int kind = dice.Below(3);
    return kind == 0   ? FakeModel::Attention()
           : kind == 1 ? FakeModel::Hybrid()
                       : FakeModel::Recurrent();
  };
  options.geometry = geometry();
  options.step_tokens = 16 << dice.Below(4);
  options.logit_rows = 1 + dice.Below(12);
  // Under a limit some of it is weights, which may be lent.
  options.weights = host.ledger.limit() == UINT64_MAX || dice.OneIn(2)
                        ? 0
                        : static_cast<uint64_t>(dice.Below(10)) * FakeModel::kPageBytes;
  options.fill_ns = dice.OneIn(2) ? 0 : 1e6;
  host.ledger.SetLimit(host.ledger.limit() == UINT64_MAX ? UINT64_MAX
                                                         : host.ledger.limit() + options.weights);
  const auto model = FakeModel::Make(host, options);
  options.weights = 0;
  options.errs = static_cast<uint64_t>(2 + dice.Below(6));
  options.geometry = geometry();
  const auto draft = FakeModel::Make(host, options);
  EngineOptions engine_options;
  engine_options.max_running = dice.OneIn(3) ? 1 + dice.Below(4) : 0;
  engine_options.policy = ShortagePolicies()[static_cast<size_t>(
      dice.Below(static_cast<int>(ShortagePolicies().size())))];
  engine_options.check_invariants = true;
  RamSwapSpace space(static_cast<uint64_t>(dice.Below(100)) * FakeModel::kPageBytes);
  if (dice.OneIn(2)) space.MoveLate();
  if (engine_options.policy->may_swap()) engine_options.swap = &space;
  Engine engine(host.clock, engine_options);

  struct Scored {
    int top;
    int64_t first;
  };
  std::vector<Scored> scored;
  std::vector<std::shared_ptr<Request>> requests;
  for (const Wish& wish : wishes) {
    PrefixSharing sharing;
    if (dice.OneIn(4)) sharing.salt = "another tenant";
    sharing.enabled = !dice.OneIn(4);
    const auto sequence = [&] { return std::make_shared<Sequence>(model, wish.context, sharing); };
    RequestOptions request = OptionsFor(wish, sequence());
    request.priority = dice.Below(3) - 1;
    request.most_guesses = dice.OneIn(2) ? 0 : 1 + dice.Below(12);
    if (dice.OneIn(2)) request.draft_model = draft;
    request.queue_capacity = static_cast<size_t>(1 + dice.Below(64));
    if (dice.OneIn(3)) {
      request.prompt_logprobs = 1 + dice.Below(3);
      request.prompt_logprobs_first = 1 + dice.Below(static_cast<int>(wish.prompt.size()));
    }
    scored.push_back({request.prompt_logprobs, request.prompt_logprobs_first});
    if (dice.OneIn(4)) {  // one that is gone before it has ended
      RequestOptions other = OptionsFor(wish, sequence());
      const auto cancelled = MustSubmit(engine, std::move(other));
      if (dice.OneIn(2)) static_cast<void>(cancelled->Next(kHang));
      cancelled->Cancel(dice.OneIn(2) ? CancelMode::kStop : CancelMode::kRollback);
    }
    requests.push_back(MustSubmit(engine, std::move(request)));
    if (dice.OneIn(4)) std::this_thread::yield();  // some arrive when others are on their way
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const Outcome outcome = Collect(*requests[i]);
    EXPECT_EQ(outcome.finish, Finish::kLength) << outcome.error.message;
    EXPECT_EQ(outcome.tokens, alone[i]) << "request " << i;
    if (scored[i].top > 0)
      ExpectScores(*model, wishes[i].prompt, scored[i].first, scored[i].top, outcome.prompt);
    else
      EXPECT_TRUE(outcome.prompt.empty());
  }
  EXPECT_EQ(model->broken_pages, 0);
  EXPECT_EQ(model->overlapping_passes, 0);
  EXPECT_EQ(draft->broken_pages, 0);
  requests.clear();
  ExpectOnlyPrefixesHeld(host, {model, draft});
}

TEST(Schedules, AnswersDependOnNothingElse) {
  Alone repeating(true);
  Alone varied(false);
  for (unsigned seed = 0; seed < kSchedules && !testing::Test::HasFailure(); ++seed)
    RunSchedule(seed, repeating, varied);
}

}  // namespace
}  // namespace mirage::engine
