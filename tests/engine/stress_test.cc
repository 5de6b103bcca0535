// SPDX-License-Identifier: Apache-2.0
// Many threads at once do to one engine everything that callers may. Run it under ThreadSanitizer.

#include <algorithm>
#include <random>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr int kThreads = 32;
constexpr std::chrono::milliseconds kDuration{2000};

// One caller: a session of its own, used in every way.
class Caller {
 public:
  Caller(Engine& engine, std::vector<std::shared_ptr<FakeModel>> models, unsigned seed)
      : engine_(engine), models_(std::move(models)), random_(seed) {}

  void Run(std::chrono::steady_clock::time_point end) {
    while (std::chrono::steady_clock::now() < end) {
      if (!sequence_ || Below(8) == 0) {
        model_ = models_[Below(models_.size())];
        sequence_ = std::make_shared<Sequence>(model_);
      } else if (Below(6) == 0) {
        sequence_ = *engine_.Fork(*sequence_);  // whatever still runs on the other
      }
      if (Below(10) == 0) {
        if (Below(2) == 0)
          Score();
        else
          Embed();
        continue;
      }
      if (Below(4) == 0 && !sequence_->busy())
        static_cast<void>(sequence_->Truncate(
            static_cast<int64_t>(Below(static_cast<size_t>(sequence_->length()) + 1))));
      Generate();
    }
  }

 private:
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  void Generate() {
    const std::vector<int32_t> prompt =
        Prompt(static_cast<int>(Below(1000)), 1 + static_cast<int64_t>(Below(90)));
    const std::vector<int32_t> before = sequence_->tokens();
    const auto count = 1 + static_cast<int64_t>(Below(25));
    RequestOptions options = GreedyOn(sequence_, prompt, count);
    options.queue_capacity = 1 + Below(8);
    options.external_sampler = Below(5) == 0;
    const bool external = options.external_sampler;
    auto submitted = engine_.Submit(std::move(options));
    if (!submitted) {
      // A request dropped before may still be on its way out; a long session is full.
      const Code code = submitted.error().code;
      EXPECT_TRUE(code == Code::kBusy || code == Code::kContextFull) << submitted.error().message;
      sequence_.reset();
      return;
    }
    std::shared_ptr<Request> request = std::move(*submitted);
    std::vector<int32_t> history = before;
    history.insert(history.end(), prompt.begin(), prompt.end());
    const size_t give_up_after = Below(3) == 0 ? Below(10) : 1000;
    if (Below(6) == 0) request->OnReady([] {});
    for (size_t read = 0;; ++read) {
      if (read == give_up_after) {
        if (Below(2) == 0) {
          request->Cancel(Below(2) == 0 ? CancelMode::kStop : CancelMode::kRollback);
        } else {
          request.reset();  // dropped with tokens unread
          sequence_.reset();
          return;
        }
      }
      auto output = request->Next(kHang);
      ASSERT_TRUE(output) << "a hang";
      if (output->kind == Output::Kind::kDone) {
        ASSERT_NE(output->finish, Finish::kError) << output->error.message;
        return;
      }
      if (output->kind == Output::Kind::kLogits) {
        ASSERT_EQ(output->logits, model_->LogitsOf(history));
        // Cancelled meanwhile, it takes no answer.
        static_cast<void>(request->Accept(static_cast<int32_t>(Below(97))));
        continue;
      }
      if (!external) {
        ASSERT_EQ(output->choice.token, model_->Greedy(history));
      }
      history.push_back(output->choice.token);
      static_cast<void>(request->stats());
      static_cast<void>(sequence_->cached_length());
    }
  }

  void Score() {
    const std::vector<int32_t> tokens =
        Prompt(static_cast<int>(Below(1000)), 2 + static_cast<int64_t>(Below(80)));
    const size_t polls = Below(20);
    auto seen = std::make_shared<size_t>(0);
    auto scored = engine::Score(engine_, models_[0], tokens, 1,
                                [seen, polls] { return ++*seen > 10 + polls; });
    if (!scored) {
      ASSERT_EQ(scored.error().code, Code::kCancelled) << scored.error().message;
      return;
    }
    ASSERT_EQ((*scored)[0], models_[0]->LogprobOf(std::span(tokens).first(1), tokens[1]));
  }

  void Embed() {
    constexpr Pooling kPoolings[] = {Pooling::kMean, Pooling::kLast, Pooling::kNone};
    const std::shared_ptr<FakeModel> model = models_[Below(models_.size())];
    TextCall call;
    call.runner = model;
    const size_t count = 1 + Below(6);
    for (size_t i = 0; i < count; ++i)
      call.texts.push_back(
          {Prompt(static_cast<int>(Below(1000)), 1 + static_cast<int64_t>(Below(120))),
           {},
           kPoolings[Below(3)]});
    const std::vector<Text> texts = call.texts;
    if (Below(4) == 0)
      call.cancelled = [polls = std::make_shared<size_t>(Below(30))] {
        return *polls == 0 || --*polls == 0;
      };
    auto results = Read(engine_, std::move(call));
    if (!results) {
      ASSERT_EQ(results.error().code, Code::kCancelled) << results.error().message;
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      const std::vector<float>& embedding = (*results)[i].embedding;
      const std::vector<float> last = model->HiddenOf(texts[i].tokens);
      if (*texts[i].pooling == Pooling::kMean) {
        ASSERT_EQ(embedding.size(), last.size());
        continue;
      }
      ASSERT_TRUE(std::equal(last.rbegin(), last.rend(), embedding.rbegin()));
    }
  }

  Engine& engine_;
  const std::vector<std::shared_ptr<FakeModel>> models_;
  std::mt19937 random_;
  std::shared_ptr<FakeModel> model_;
  std::shared_ptr<Sequence> sequence_;
};

void RunCallers(FakeHost& host, Engine& engine,
                const std::vector<std::shared_ptr<FakeModel>>& models) {
  const auto end = std::chrono::steady_clock::now() + kDuration;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] { Caller(engine, models, i).Run(end); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Eventually([&] { return engine.Stats().running == 0; }));
  engine.Shutdown();
  for (const auto& model : models) {
    EXPECT_EQ(model->broken_pages, 0);
    EXPECT_EQ(model->overlapping_passes, 0);
    EXPECT_GT(model->passes, 100);
    EXPECT_TRUE(model->pages().CheckInvariants());
  }
  ExpectOnlyPrefixesHeld(host, models);
}

FakeModel::Options Salted(uint64_t salt) {
  FakeModel::Options options;
  options.salt = salt;
  options.context = 400;
  return options;
}

TEST(Stress, ThirtyTwoCallersWithMemoryToSpare) {
  FakeHost host;
  const std::vector models = {FakeModel::Make(host, Salted(1)), FakeModel::Make(host, Salted(2))};
  Engine engine(host.clock, {.check_invariants = true});
  RunCallers(host, engine, models);
}

TEST(Stress, ThirtyTwoCallersShortOfMemory) {
  // A sequence at its context needs 13 pages in two layers and 4 in the third; two of them fit.
  FakeHost host(64 * FakeModel::kPageBytes);
  const std::vector models = {FakeModel::Make(host, Salted(1)), FakeModel::Make(host, Salted(2))};
  Engine engine(host.clock, {.check_invariants = true});
  RunCallers(host, engine, models);
}

TEST(Stress, ShutdownInTheMidstOfIt) {
  for (int round = 0; round < 20; ++round) {
    FakeHost host(200 * FakeModel::kPageBytes);
    auto model = FakeModel::Make(host);
    auto engine = std::make_unique<Engine>(host.clock);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&, i] {
        for (;;) {
          auto request = engine->Submit(Greedy(model, Prompt(i, 20), 10));
          if (!request) {
            EXPECT_EQ(request.error().code, Code::kClosed);
            return;
          }
          const Outcome outcome = Collect(**request);
          EXPECT_TRUE(outcome.finish == Finish::kLength || outcome.finish == Finish::kCancelled);
        }
      });
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
    engine->Shutdown();
    for (std::thread& thread : threads) thread.join();
    engine.reset();
    ExpectOnlyPrefixesHeld(host, {model});
  }
}

}  // namespace
}  // namespace mirage::engine
