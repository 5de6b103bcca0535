// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the engine's tests share: prompts, requests, reading one to its end, and a gate that holds a
// pass.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/fake_model.h"

namespace mirage::engine {

// Far more than anything here takes; only a hang gets there.
inline constexpr std::chrono::seconds kHang{60};

// `count` tokens that follow from `seed`.
inline std::vector<int32_t> Prompt(int seed, int64_t count) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((seed * 31 + i * 7 + i * i) % 97));
  return tokens;
}

// One layer of full attention: 32 tokens are one page.
inline constexpr uint64_t kPage = FakeModel::kPageBytes;
inline FakeModel::Options OneLayer() {
  FakeModel::Options options;
  options.geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0}}};
  return options;
}

inline EngineOptions With(const ShortagePolicy& policy, memory::SwapSpace* swap = nullptr) {
  EngineOptions options;
  options.policy = &policy;
  options.swap = swap;
  return options;
}

// A greedy request on a new sequence.
inline RequestOptions Greedy(const std::shared_ptr<ModelRunner>& model, std::vector<int32_t> prompt,
                             int64_t max_tokens) {
  RequestOptions options;
  options.sequence = std::make_shared<Sequence>(model);
  options.prompt = std::move(prompt);
  options.sampling.temperature = 0;
  options.max_tokens = max_tokens;
  return options;
}
// The same on a sequence that is there.
inline RequestOptions GreedyOn(const std::shared_ptr<Sequence>& sequence,
                               std::vector<int32_t> prompt, int64_t max_tokens) {
  RequestOptions options;
  options.sequence = sequence;
  options.prompt = std::move(prompt);
  options.sampling.temperature = 0;
  options.max_tokens = max_tokens;
  return options;
}

struct Outcome {
  std::vector<std::shared_ptr<const PromptPart>> prompt;
  std::vector<int32_t> tokens;
  Finish finish = Finish::kNone;
  Error error;
};

// Reads a request to its end.
inline Outcome Collect(Request& request) {
  Outcome outcome;
  for (;;) {
    std::optional<Output> output = request.Next(kHang);
    if (!output) {
      ADD_FAILURE() << "the request hangs after " << outcome.tokens.size() << " tokens";
      return outcome;
    }
    if (output->kind == Output::Kind::kDone) {
      outcome.finish = output->finish;
      outcome.error = output->error;
      return outcome;
    }
    if (output->kind == Output::Kind::kPrompt) {
      EXPECT_TRUE(outcome.tokens.empty()) << "the prompt comes before the answer";
      outcome.prompt.push_back(output->prompt);
    }
    if (output->kind == Output::Kind::kToken) outcome.tokens.push_back(output->choice.token);
  }
}

// A request that is refused ends the test: there is nothing to read from.
inline std::shared_ptr<Request> MustSubmit(Engine& engine, RequestOptions options) {
  Result<std::shared_ptr<Request>> request = engine.Submit(std::move(options));
  if (!request) throw std::runtime_error("refused: " + request.error().message);
  return *request;
}

// Reads texts and waits for what comes of them.
inline Result<TextBatch::Results> Read(Engine& engine, TextCall call) {
  MIRAGE_TRY_ASSIGN(const std::shared_ptr<TextBatch> batch, engine.Submit(std::move(call)));
  if (!batch->Wait(kHang)) ADD_FAILURE() << "the texts hang";
  return batch->Take();
}
// The log probabilities of tokens[first] and those after it.
inline Result<std::vector<double>> Score(Engine& engine, const std::shared_ptr<ModelRunner>& model,
                                         std::vector<int32_t> tokens, int64_t first,
                                         std::function<bool()> cancelled = {}) {
  TextCall call;
  call.runner = model;
  call.texts.push_back({std::move(tokens), first, {}});
  call.cancelled = std::move(cancelled);
  MIRAGE_TRY_ASSIGN(TextBatch::Results results, Read(engine, std::move(call)));
  return std::move(results.front().logprobs);
}

// `parts` are those of the tokens from `first` on, each once and in order, with `top` likeliest
// tokens each.
inline void ExpectScores(const FakeModel& model, std::span<const int32_t> tokens, int64_t first,
                         int32_t top, const std::vector<std::shared_ptr<const PromptPart>>& parts) {
  auto next = static_cast<size_t>(first);
  for (const auto& part : parts) {
    ASSERT_EQ(part->first, static_cast<int64_t>(next));
    ASSERT_FALSE(part->tokens.empty());
    ASSERT_EQ(part->logprobs.size(), part->tokens.size());
    ASSERT_EQ(part->top_count, top);
    ASSERT_EQ(part->top.size(), part->tokens.size() * static_cast<size_t>(top));
    for (size_t i = 0; i < part->tokens.size(); ++i, ++next) {
      ASSERT_LT(next, tokens.size());
      const auto before = tokens.first(next);
      ASSERT_EQ(part->tokens[i], tokens[next]);
      ASSERT_EQ(part->logprobs[i], static_cast<float>(model.LogprobOf(before, tokens[next])));
      const std::vector<TokenLogprob> likeliest = model.TopOf(before, top);
      for (size_t rank = 0; rank < likeliest.size(); ++rank) {
        const TokenLogprob& given = part->top[i * likeliest.size() + rank];
        ASSERT_EQ(given.token, likeliest[rank].token) << "position " << next;
        ASSERT_EQ(given.logprob, likeliest[rank].logprob) << "position " << next;
      }
    }
  }
  EXPECT_EQ(next, tokens.size());
}

// With all sequences gone, every page is held by a prefix cache, or by nobody.
inline void ExpectOnlyPrefixesHeld(const FakeHost& host,
                                   const std::vector<std::shared_ptr<FakeModel>>& models) {
  for (const auto& model : models) model->prefixes().Clear();
  EXPECT_EQ(host.used(), 0u) << "pages outlived their sequences";
}

// Holds whoever passes while it is closed.
class Gate {
 public:
  explicit Gate(bool open = false) : open_(open) {}

  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void AwaitArrival() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kHang, [this] { return arrived_ > 0; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_;
  int arrived_ = 0;
};

// Waits for something another thread is about to do.
template <typename Condition>
[[nodiscard]] bool Eventually(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + kHang;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

}  // namespace mirage::engine
