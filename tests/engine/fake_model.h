// SPDX-License-Identifier: Apache-2.0
#pragma once

// FakeModel: a model whose logits are a hash of the tokens before them, kept in real KV pages.
//
// Position p of every layer's page holds the hash of tokens [0, p]; computing p + 1 reads it from
// there. So a token computed twice, left out, put at a wrong position, into another sequence's page
// or into a page that was taken away changes every later logit, and the tokens of a request can be
// said in advance without any engine.
//
// A state has that hash, too, and after how many tokens. It is only advanced: from a state of
// another place, or of a place that was never computed, every later logit is another one.
//
// Hooks run on the engine thread. They are set before the first request and never after.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/model_runner.h"
#include "kv/page_pool.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "platform/sim_device.h"

namespace mirage::engine {

// What engines and fake models stand on: a ledger exact to the chunk, which is the 4 KiB page
// unless said otherwise, and a clock of our own.
struct FakeHost {
  explicit FakeHost(uint64_t limit = UINT64_MAX, uint64_t chunk_bytes = 4096)
      : ledger(limit), device(clock, Options(chunk_bytes)), arena(device, ledger) {}

  // All but weights.
  [[nodiscard]] uint64_t used() const {
    const memory::LedgerSnapshot held = ledger.Snapshot();
    return held.used - held.by_owner[static_cast<size_t>(memory::Owner::kWeights)];
  }

  VirtualClock clock;
  memory::Ledger ledger;
  platform::SimDevice device;
  memory::Arena arena;

 private:
  static platform::SimOptions Options(uint64_t chunk_bytes) {
    platform::SimOptions options;
    options.chunk_bytes = chunk_bytes;
    return options;
  }
};

class FakeModel final : public ModelRunner {
 public:
  struct Options {
    uint64_t salt = 1;  // models of unlike salts continue a prompt differently
    int32_t vocabulary = 97;
    bool forgetful =
        false;          // logits of the newest token alone, so that an answer soon repeats itself
    uint64_t errs = 0;  // its logits are another model's after one past in so many; 0: never
    int64_t context = 4096;
    int64_t step_tokens = 64;
    int32_t logit_rows = 16;
    kv::Geometry geometry = DefaultGeometry();
    memory::Promise* promise = nullptr;  // its pages draw on it
    uint64_t weights = 0;                // bytes, in parts of kPageBytes that can be lent
    double fill_ns = 1;                  // of a byte of them
    std::function<void()> reviving;      // called when a part has its memory, but is not home yet
    // Called at the start of a pass, before each layer, and at the end; a failure fails the pass.
    std::function<Status(std::span<const Slice>)> begin;
    std::function<Status(int layer)> layer;
    std::function<Status()> end;
  };
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr int32_t kWidth = 3;

  // Of three layers; a page of any, and a state, is 4 KiB.
  static kv::Geometry Attention() { return {Full({0, 2}), Window({1})}; }
  static kv::Geometry Hybrid() { return {States({1}), Full({0}), Window({2})}; }
  static kv::Geometry Recurrent() { return {States({0, 1, 2})}; }
  static kv::LayerGroup Full(std::vector<int32_t> layers) {
    return {kv::CacheKind::kFull, 0, 1, 32, std::move(layers)};
  }
  static kv::LayerGroup Window(std::vector<int32_t> layers) {
    return {kv::CacheKind::kWindow, 48, 1, 32, std::move(layers)};
  }
  static kv::LayerGroup States(std::vector<int32_t> layers) {
    kv::LayerGroup group{kv::CacheKind::kState, 0, 0, 0, std::move(layers)};
    group.state_bytes = 100;
    group.snapshots = 3;
    return group;
  }
  // Attention, or what MIRAGE_FAKE_MODEL names: the tests run with each.
  static kv::Geometry DefaultGeometry() {
    const char* const value = std::getenv("MIRAGE_FAKE_MODEL");
    const std::string_view name = value == nullptr ? "attention" : value;
    if (name == "hybrid") return Hybrid();
    if (name == "recurrent") return Recurrent();
    return name == "attention" ? Attention() : kv::Geometry{};
  }

  FakeModel(memory::Arena& arena, Options options)
      : options_(std::move(options)),
        pages_(std::move(
            kv::PagePool::Create(arena, options_.geometry, uint64_t{1} << 26, options_.promise)
                .value())) {
    for (const kv::LayerGroup& group : options_.geometry)
      layers_ += static_cast<int>(group.layers.size());
    TakeWeights(arena.ledger(), options_.weights);
  }
  static std::shared_ptr<FakeModel> Make(FakeHost& host) { return Make(host, Options()); }
  static std::shared_ptr<FakeModel> Make(FakeHost& host, Options options) {
    return std::make_shared<FakeModel>(host.arena, std::move(options));
  }

  int32_t vocabulary() const override { return options_.vocabulary; }
  int64_t max_context() const override { return options_.context; }
  int64_t max_step_tokens() const override { return options_.step_tokens; }
  int32_t max_logit_rows() const override { return options_.logit_rows; }
  int32_t hidden_width() const override { return kWidth; }
  kv::PagePool& pages() override { return *pages_; }
  kv::PrefixCache& prefixes() override { return prefixes_; }
  [[nodiscard]] int layers() const { return layers_; }

  uint64_t lendable_bytes() const override { return weights_.bytes(); }
  uint64_t lent_bytes() const override { return options_.weights - weights_.bytes(); }
  uint64_t LendWeights(uint64_t bytes) override {
    const uint64_t lent = std::min(weights_.bytes(), CeilDiv(bytes, kPageBytes) * kPageBytes);
    weights_.Shrink(weights_.bytes() - lent);
    bytes_lent += static_cast<int64_t>(lent);
    return lent;
  }
  bool ReviveWeights(uint64_t spare) override {
    return lent_bytes() > 0 && ledger_->available() >= kPageBytes + spare &&
           TakeWeights(*ledger_, kPageBytes);
  }
  double UnhiddenNs(uint64_t lent, double /*pass_ns*/) const override {
    return options_.fill_ns * static_cast<double>(lent);
  }

  Status Forward(std::span<const Slice> slices, const std::function<bool()>& cancelled) override {
    if (running_.exchange(true)) ++overlapping_passes;
    logits_.clear();
    Status status = Pass(slices, cancelled);
    hidden_.clear();
    for (size_t i = 0; status && i < slices.size(); ++i) {
      const std::vector<uint64_t> hashes = HashesOf(slices[i]);
      for (auto row = static_cast<size_t>(slices[i].logit_rows); row > 0; --row)
        LogitsAfter(hashes[hashes.size() - row], &logits_);
      Score(slices[i].scores, hashes);
      for (int32_t row = 0; row < slices[i].hidden.count; ++row)
        HiddenAfter(hashes[static_cast<size_t>(slices[i].hidden.first + row)], &hidden_);
    }
    running_.store(false);
    return status;
  }
  std::span<float> Logits(int32_t index) override {
    const auto row = static_cast<size_t>(options_.vocabulary);
    return std::span(logits_).subspan(static_cast<size_t>(index) * row, row);
  }
  std::span<const float> Hidden(int32_t index) override {
    return std::span<const float>(hidden_).subspan(static_cast<size_t>(index) * kWidth, kWidth);
  }

  // ---- what the model says of tokens, with no engine ----

  // With these adapters, in all of them.
  [[nodiscard]] uint64_t HashOf(std::span<const int32_t> tokens,
                                const model::AdapterSetId& adapters = {}) const {
    uint64_t hash = options_.salt;
    for (const int32_t token : tokens) hash = Next(hash, token, adapters);
    return hash;
  }
  [[nodiscard]] std::vector<float> LogitsOf(std::span<const int32_t> tokens,
                                            const model::AdapterSetId& adapters = {}) const {
    std::vector<float> logits;
    LogitsAfter(HashOf(tokens, adapters), &logits);
    return logits;
  }
  [[nodiscard]] int32_t Greedy(std::span<const int32_t> tokens,
                               const model::AdapterSetId& adapters = {}) const {
    const std::vector<float> logits = LogitsOf(tokens, adapters);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  // The `count` greedy tokens after `tokens`.
  [[nodiscard]] std::vector<int32_t> Continue(std::vector<int32_t> tokens, int64_t count,
                                              const model::AdapterSetId& adapters = {}) const {
    std::vector<int32_t> output;
    while (static_cast<int64_t>(output.size()) < count) {
      output.push_back(Greedy(tokens, adapters));
      tokens.push_back(output.back());
    }
    return output;
  }
  // Of the last of `tokens`.
  [[nodiscard]] std::vector<float> HiddenOf(std::span<const int32_t> tokens) const {
    std::vector<float> hidden;
    HiddenAfter(HashOf(tokens), &hidden);
    return hidden;
  }
  // The `count` likeliest tokens after `tokens`.
  [[nodiscard]] std::vector<TokenLogprob> TopOf(std::span<const int32_t> tokens,
                                                int32_t count) const {
    return Top(HashOf(tokens), count);
  }
  [[nodiscard]] double LogprobOf(std::span<const int32_t> tokens, int32_t target) const {
    return Logprob(HashOf(tokens), target);
  }

  std::atomic<int64_t> passes{0};
  std::atomic<int64_t> layers_run{0};
  std::atomic<int64_t> tokens_computed{0};
  std::atomic<int64_t> bytes_lent{0};          // of weights, each time
  std::atomic<int64_t> overlapping_passes{0};  // two threads in one model
  std::atomic<int64_t> broken_pages{0};        // layers that disagree on a sequence's past

 private:
  static uint64_t Mix(uint64_t hash, uint64_t value) {
    hash ^= value + 0x9E3779B97F4A7C15u + (hash << 6) + (hash >> 2);
    hash *= 0xBF58476D1CE4E5B9u;
    return hash ^ (hash >> 29);
  }
  [[nodiscard]] uint64_t Next(uint64_t hash, int32_t token,
                              const model::AdapterSetId& adapters) const {
    const uint64_t next =
        Mix(options_.forgetful ? options_.salt : hash, static_cast<uint64_t>(token));
    return adapters == model::kNoAdapters ? next : Mix(next, adapters[0]);
  }
  void LogitsAfter(uint64_t hash, std::vector<float>* logits) const {
    if (options_.errs != 0 && hash % options_.errs == 0) hash = Mix(hash, 1);
    for (int32_t token = 0; token < options_.vocabulary; ++token)
      logits->push_back(
          static_cast<float>(Mix(hash, 1000003u + static_cast<uint64_t>(token)) >> 40) /
          static_cast<float>(1 << 22));  // [0, 4)
  }
  static void HiddenAfter(uint64_t hash, std::vector<float>* hidden) {
    for (uint64_t i = 0; i < kWidth; ++i)
      hidden->push_back(static_cast<float>(Mix(hash, 2000003u + i) >> 40) /
                            static_cast<float>(1 << 22) -
                        2.0f);  // [-2, 2)
  }
  [[nodiscard]] static double LogSum(std::span<const float> logits) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    return std::log(sum);
  }
  [[nodiscard]] double Logprob(uint64_t hash, int32_t target) const {
    std::vector<float> logits;
    LogitsAfter(hash, &logits);
    return static_cast<double>(logits[static_cast<size_t>(target)]) - LogSum(logits);
  }

  [[nodiscard]] std::vector<TokenLogprob> Top(uint64_t hash, int32_t count) const {
    std::vector<float> logits;
    LogitsAfter(hash, &logits);
    const double sum = LogSum(logits);
    std::vector<TokenLogprob> all;
    for (int32_t token = 0; token < options_.vocabulary; ++token)
      all.push_back({token, static_cast<float>(logits[static_cast<size_t>(token)] - sum)});
    std::stable_sort(all.begin(), all.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
      return a.logprob > b.logprob;
    });
    all.resize(static_cast<size_t>(count));
    return all;
  }
  void Score(const Scores& scores, std::span<const uint64_t> hashes) const {
    for (size_t i = 0; i < scores.targets.size(); ++i) {
      const uint64_t hash = hashes[static_cast<size_t>(scores.first) + i];
      scores.logprobs[i] = Logprob(hash, scores.targets[i]);
      if (scores.top_count == 0) continue;
      const std::vector<TokenLogprob> top = Top(hash, scores.top_count);
      std::copy(top.begin(), top.end(),
                scores.top.begin() + static_cast<std::ptrdiff_t>(i * top.size()));
    }
  }

  [[nodiscard]] std::byte* SlotOf(const kv::SequenceCache& cache, size_t group, int32_t layer,
                                  int64_t position) const {
    const kernels::SequenceView view = cache.View(group, 0, 0);
    const kernels::KvLayer where = pages_->layer(layer);
    const uint32_t page = view.pages[(position - view.first_position) / kernels::kPageTokens];
    return where.base + page * where.page_bytes +
           static_cast<uint64_t>(position % kernels::kPageTokens) * sizeof(uint64_t);
  }
  // A layer's hash of a position that it has computed.
  [[nodiscard]] uint64_t HashAt(const kv::SequenceCache& cache, size_t group, int32_t layer,
                                int64_t position) const {
    uint64_t hash = 0;
    std::memcpy(&hash, SlotOf(cache, group, layer, position), sizeof hash);
    return hash;
  }

  struct State {
    uint64_t hash = 0;
    int64_t tokens = 0;
    uint64_t check = 0;
  };
  [[nodiscard]] std::byte* StateOf(int32_t layer, kv::PageNumber page) const {
    const kernels::KvLayer where = pages_->layer(layer);
    return where.base + page * where.page_bytes;
  }
  [[nodiscard]] uint64_t ReadState(int32_t layer, kv::PageNumber page, int64_t tokens) {
    State state;
    std::memcpy(&state, StateOf(layer, page), sizeof state);
    if (state.tokens != tokens || state.check != Mix(state.hash, static_cast<uint64_t>(tokens)))
      ++broken_pages;
    return state.hash;
  }
  void WriteState(int32_t layer, kv::PageNumber page, uint64_t hash, int64_t tokens) const {
    const State state{hash, tokens, Mix(hash, static_cast<uint64_t>(tokens))};
    std::memcpy(StateOf(layer, page), &state, sizeof state);
  }
  // A layer's hash of all that the cache holds.
  [[nodiscard]] uint64_t PastOf(const kv::SequenceCache& cache, size_t group, int32_t layer) {
    if (cache.length() == 0) return options_.salt;
    if (options_.geometry[group].kind != kv::CacheKind::kState)
      return HashAt(cache, group, layer, cache.length() - 1);
    const std::optional<kv::PageNumber> before = cache.States(group).before;
    if (before) return ReadState(layer, *before, cache.length());
    ++broken_pages;
    return 0;
  }
  // What the first layer made of a slice, after each of its tokens.
  [[nodiscard]] std::vector<uint64_t> HashesOf(const Slice& slice) {
    const kv::SequenceCache& cache = *slice.cache;
    const int32_t layer = options_.geometry[0].layers[0];
    std::vector<uint64_t> hashes;
    uint64_t hash = PastOf(cache, 0, layer);
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      hash = Next(hash, slice.tokens[i], model::IdOf(slice.adapters));
      hashes.push_back(options_.geometry[0].kind == kv::CacheKind::kState
                           ? hash
                           : HashAt(cache, 0, layer, cache.length() + static_cast<int64_t>(i)));
    }
    return hashes;
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
    uint64_t hash = PastOf(cache, group, layer);
    if (hash != PastOf(cache, 0, options_.geometry[0].layers[0])) ++broken_pages;
    const bool recurrent = options_.geometry[group].kind == kv::CacheKind::kState;
    const kv::StateView states = recurrent ? cache.States(group) : kv::StateView{};
    size_t next = 0;  // state to be written
    for (const int32_t token : slice.tokens) {
      hash = Next(hash, token, model::IdOf(slice.adapters));
      if (!recurrent) {
        std::memcpy(SlotOf(cache, group, layer, position), &hash, sizeof hash);
      } else if (next < states.after.size() && states.after[next] == position + 1) {
        WriteState(layer, states.pages[next++], hash, position + 1);
      }
      ++position;
    }
    if (next != states.after.size()) ++broken_pages;  // the step does not come to where it ends
  }

  bool TakeWeights(memory::Ledger& ledger, uint64_t bytes) {
    ledger_ = &ledger;
    auto taken = memory::Holding::Take(ledger, memory::Owner::kWeights, bytes, "weights");
    if (!taken) return false;
    if (options_.reviving && lent_bytes() < options_.weights) options_.reviving();
    if (weights_.bytes() == 0)
      weights_ = *std::move(taken);
    else
      weights_.Join(*std::move(taken));
    return true;
  }

  const Options options_;
  const std::unique_ptr<kv::PagePool> pages_;
  memory::Ledger* ledger_ = nullptr;
  memory::Holding weights_;
  kv::PrefixCache prefixes_{*pages_};
  int layers_ = 0;
  std::vector<float> logits_;
  std::vector<float> hidden_;
  std::atomic<bool> running_{false};
};

}  // namespace mirage::engine
