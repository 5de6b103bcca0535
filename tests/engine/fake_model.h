// SPDX-License-Identifier: Apache-2.0
#pragma once

// FakeModel: a model whose logits are a hash of the tokens before them, kept in real KV pages.
//
// Position p of every layer's page holds the hash of tokens [0, p]; computing p + 1 reads it from
// there. So a token computed twice, left out, put at a wrong position, into another sequence's page
// or into a page that was taken away changes every later logit, and the tokens of a request can be
// said in advance without any engine.
//
// Hooks run on the engine thread. They are set before the first request and never after.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/model_runner.h"
#include "kv/page_pool.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "platform/sim_device.h"

namespace mirage::engine {

// What engines and fake models stand on: a ledger exact to the 4 KiB page and a clock of our own.
struct FakeHost {
  explicit FakeHost(uint64_t limit = UINT64_MAX)
      : ledger(limit), device(clock, Options()), arena(device, ledger) {}

  [[nodiscard]] uint64_t used() const { return ledger.Snapshot().used; }

  VirtualClock clock;
  memory::Ledger ledger;
  platform::SimDevice device;
  memory::Arena arena;

 private:
  static platform::SimOptions Options() {
    platform::SimOptions options;
    options.chunk_bytes = 4096;
    return options;
  }
};

class FakeModel final : public ModelRunner {
 public:
  struct Options {
    uint64_t salt = 1;  // models of unlike salts continue a prompt differently
    int32_t vocabulary = 97;
    bool forgetful =
        false;  // logits of the newest token alone, so that an answer soon repeats itself
    int64_t context = 4096;
    int64_t step_tokens = 64;
    int32_t logit_rows = 16;
    // Two layers of full attention and one of a window; a page of any is 4 KiB.
    kv::Geometry geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0, 2}},
                             {kv::CacheKind::kWindow, 48, 1, 32, {1}}};
    memory::Promise* promise = nullptr;  // its pages draw on it
    // Called at the start of a pass, before each layer, and at the end; a failure fails the pass.
    std::function<Status(std::span<const Slice>)> begin;
    std::function<Status(int layer)> layer;
    std::function<Status()> end;
  };
  static constexpr uint64_t kPageBytes = 4096;

  FakeModel(memory::Arena& arena, Options options)
      : options_(std::move(options)),
        pages_(std::move(
            kv::PagePool::Create(arena, options_.geometry, uint64_t{1} << 26, options_.promise)
                .value())) {
    for (const kv::LayerGroup& group : options_.geometry)
      layers_ += static_cast<int>(group.layers.size());
  }
  static std::shared_ptr<FakeModel> Make(FakeHost& host) { return Make(host, Options()); }
  static std::shared_ptr<FakeModel> Make(FakeHost& host, Options options) {
    return std::make_shared<FakeModel>(host.arena, std::move(options));
  }

  int32_t vocabulary() const override { return options_.vocabulary; }
  int64_t max_context() const override { return options_.context; }
  int64_t max_step_tokens() const override { return options_.step_tokens; }
  int32_t max_logit_rows() const override { return options_.logit_rows; }
  kv::PagePool& pages() override { return *pages_; }
  kv::PrefixCache& prefixes() override { return prefixes_; }
  [[nodiscard]] int layers() const { return layers_; }

  Status Forward(std::span<const Slice> slices, const std::function<bool()>& cancelled) override {
    if (running_.exchange(true)) ++overlapping_passes;
    logits_.clear();
    Status status = Pass(slices, cancelled);
    for (const Slice& slice : slices)
      for (int32_t row = slice.logit_rows; status && row > 0; --row)
        LogitsAfter(HashAt(*slice.cache,
                           slice.cache->length() + static_cast<int64_t>(slice.tokens.size()) - row),
                    &logits_);
    running_.store(false);
    return status;
  }
  std::span<float> Logits(int32_t index) override {
    const auto row = static_cast<size_t>(options_.vocabulary);
    return std::span(logits_).subspan(static_cast<size_t>(index) * row, row);
  }
  Status Score(const Slice& slice, int64_t first, std::span<const int32_t> targets,
               std::span<double> logprobs, const std::function<bool()>& cancelled) override {
    if (running_.exchange(true)) ++overlapping_passes;
    Status status = Pass({&slice, 1}, cancelled);
    for (size_t i = 0; status && i < targets.size(); ++i)
      logprobs[i] =
          Logprob(HashAt(*slice.cache, slice.cache->length() + first + static_cast<int64_t>(i)),
                  targets[i]);
    running_.store(false);
    return status;
  }

  // ---- what the model says of tokens, with no engine ----

  [[nodiscard]] uint64_t HashOf(std::span<const int32_t> tokens) const {
    uint64_t hash = options_.salt;
    for (const int32_t token : tokens) hash = Next(hash, token);
    return hash;
  }
  [[nodiscard]] std::vector<float> LogitsOf(std::span<const int32_t> tokens) const {
    std::vector<float> logits;
    LogitsAfter(HashOf(tokens), &logits);
    return logits;
  }
  [[nodiscard]] int32_t Greedy(std::span<const int32_t> tokens) const {
    const std::vector<float> logits = LogitsOf(tokens);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  // The `count` greedy tokens after `tokens`.
  [[nodiscard]] std::vector<int32_t> Continue(std::vector<int32_t> tokens, int64_t count) const {
    std::vector<int32_t> output;
    while (static_cast<int64_t>(output.size()) < count) {
      output.push_back(Greedy(tokens));
      tokens.push_back(output.back());
    }
    return output;
  }
  [[nodiscard]] double LogprobOf(std::span<const int32_t> tokens, int32_t target) const {
    return Logprob(HashOf(tokens), target);
  }

  std::atomic<int64_t> passes{0};
  std::atomic<int64_t> layers_run{0};
  std::atomic<int64_t> tokens_computed{0};
  std::atomic<int64_t> overlapping_passes{0};  // two threads in one model
  std::atomic<int64_t> broken_pages{0};        // layers that disagree on a sequence's past

 private:
  static uint64_t Mix(uint64_t hash, uint64_t value) {
    hash ^= value + 0x9E3779B97F4A7C15u + (hash << 6) + (hash >> 2);
    hash *= 0xBF58476D1CE4E5B9u;
    return hash ^ (hash >> 29);
  }
  [[nodiscard]] uint64_t Next(uint64_t hash, int32_t token) const {
    return Mix(options_.forgetful ? options_.salt : hash, static_cast<uint64_t>(token));
  }
  void LogitsAfter(uint64_t hash, std::vector<float>* logits) const {
    for (int32_t token = 0; token < options_.vocabulary; ++token)
      logits->push_back(
          static_cast<float>(Mix(hash, 1000003u + static_cast<uint64_t>(token)) >> 40) /
          static_cast<float>(1 << 22));  // [0, 4)
  }
  [[nodiscard]] double Logprob(uint64_t hash, int32_t target) const {
    std::vector<float> logits;
    LogitsAfter(hash, &logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    return static_cast<double>(logits[static_cast<size_t>(target)]) - std::log(sum);
  }

  [[nodiscard]] std::byte* SlotOf(const kv::SequenceCache& cache, size_t group, int32_t layer,
                                  int64_t position) const {
    const kernels::SequenceView view = cache.View(group, 0, 0);
    const kernels::KvLayer where = pages_->layer(layer);
    const uint32_t page = view.pages[(position - view.first_position) / kernels::kPageTokens];
    return where.base + page * where.page_bytes +
           static_cast<uint64_t>(position % kernels::kPageTokens) * sizeof(uint64_t);
  }
  // The hash that layer 0 holds of a position.
  [[nodiscard]] uint64_t HashAt(const kv::SequenceCache& cache, int64_t position) const {
    uint64_t hash = 0;
    std::memcpy(&hash, SlotOf(cache, 0, options_.geometry[0].layers[0], position), sizeof hash);
    return hash;
  }
  Status Pass(std::span<const Slice> slices, const std::function<bool()>& cancelled) {
    ++passes;
    if (options_.begin) MIRAGE_TRY(options_.begin(slices));
    int index = 0;
    for (size_t group = 0; group < options_.geometry.size(); ++group)
      for (const int32_t layer : options_.geometry[group].layers) {
        if (cancelled && cancelled()) return Fail(Code::kCancelled, "the pass was cancelled");
        if (options_.layer) MIRAGE_TRY(options_.layer(index));
        for (const Slice& slice : slices) RunLayer(slice, group, layer);
        ++index;
        ++layers_run;
      }
    for (const Slice& slice : slices) tokens_computed += static_cast<int64_t>(slice.tokens.size());
    if (options_.end) MIRAGE_TRY(options_.end());
    return {};
  }

  void RunLayer(const Slice& slice, size_t group, int32_t layer) {
    const kv::SequenceCache& cache = *slice.cache;
    int64_t position = cache.length();
    uint64_t hash = options_.salt;
    if (position > 0) {
      std::memcpy(&hash, SlotOf(cache, group, layer, position - 1), sizeof hash);
      if (hash != HashAt(cache, position - 1)) ++broken_pages;
    }
    for (const int32_t token : slice.tokens) {
      hash = Next(hash, token);
      std::memcpy(SlotOf(cache, group, layer, position++), &hash, sizeof hash);
    }
  }

  const Options options_;
  const std::unique_ptr<kv::PagePool> pages_;
  kv::PrefixCache prefixes_{*pages_};
  int layers_ = 0;
  std::vector<float> logits_;
  std::atomic<bool> running_{false};
};

}  // namespace mirage::engine
