// SPDX-License-Identifier: Apache-2.0
// The bits of a position's logits follow from the tokens before it alone: not from how they were
// cut into steps, from other sequences in the pass, from threads, nor from where pages lie.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tests/model/golden_files.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

// A model that keeps everything, over one file.
struct Loaded {
  explicit Loaded(const std::string& golden, const TestHostOptions& options = {}, int rows = 9)
      : host(options) {
    LoadOptions load;
    load.plan.context = 512;
    load.plan.logit_rows = rows;
    auto loaded = Model::Load(host.host(), OpenFile(GoldenPath(golden)).value(), load);
    if (loaded) model = std::move(*loaded);
  }
  [[nodiscard]] size_t vocabulary() const { return model->config().vocabulary; }

  TestHost host;
  std::unique_ptr<Model> model;
};

// More tokens than the golden has, so that attention's splits and every window are crossed.
std::vector<int32_t> Tokens(const Loaded& loaded, size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % loaded.vocabulary());
  return tokens;
}

testing::AssertionResult SameBits(std::span<const float> got, std::span<const float> want) {
  if (got.size() == want.size() &&
      std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "bits differ, by up to " << Compare(got, want).max;
}

// The rows of RunInChunks(…, chunk) against those of every position.
void ExpectRowsOf(const std::vector<float>& every, const std::vector<float>& got, size_t tokens,
                  size_t chunk, size_t vocabulary) {
  size_t row = 0;
  for (size_t begin = 0; begin < tokens; begin += chunk, ++row) {
    const size_t last = std::min(begin + chunk, tokens) - 1;
    EXPECT_TRUE(SameBits(std::span(got).subspan(row * vocabulary, vocabulary),
                         std::span(every).subspan(last * vocabulary, vocabulary)))
        << "position " << last << " in chunks of " << chunk;
  }
}

class Invariance : public testing::TestWithParam<std::string> {};

TEST_P(Invariance, ChunksDoNotMatter) {
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  const std::vector<int32_t> tokens = Tokens(loaded, 330, 1);
  const auto every = RunInChunks(*loaded.model, tokens, 1);
  ASSERT_TRUE(every) << every.error().message;
  for (const size_t chunk : {3, 7, 32, 64, 330}) {
    const auto got = RunInChunks(*loaded.model, tokens, chunk);
    ASSERT_TRUE(got) << got.error().message;
    ExpectRowsOf(*every, *got, tokens.size(), chunk, loaded.vocabulary());
  }
}

TEST_P(Invariance, ThreadsDoNotMatter) {
  Loaded one(GetParam());
  ASSERT_TRUE(one.model);
  const std::vector<int32_t> tokens = Tokens(one, 70, 2);
  const auto want = RunInChunks(*one.model, tokens, 7);
  ASSERT_TRUE(want);
  for (const int threads : {2, 3}) {
    Loaded several(GetParam(), {.threads = threads});
    const auto got = RunInChunks(*several.model, tokens, 7);
    ASSERT_TRUE(got);
    EXPECT_TRUE(SameBits(*got, *want)) << threads << " threads";
  }
}

// Passes of four tokens and of fewer decode; the chunks of 13 are prefill.
TEST_P(Invariance, TuningDoesNotMatter) {
  Loaded plain(GetParam());
  ASSERT_TRUE(plain.model);
  const std::vector<int32_t> tokens = Tokens(plain, 52, 4);
  for (const size_t chunk : {1, 4, 13}) {
    const auto want = RunInChunks(*plain.model, tokens, chunk);
    ASSERT_TRUE(want);
    for (const TestHostOptions& options :
         {TestHostOptions{.threads = 3, .passes = {2, 3}, .cut = {1, 1 << 24}},
          TestHostOptions{.threads = 4, .passes = {4, 1}, .cut = {16, 4096}}}) {
      Loaded tuned(GetParam(), options);
      const auto got = RunInChunks(*tuned.model, tokens, chunk);
      ASSERT_TRUE(got);
      EXPECT_TRUE(SameBits(*got, *want)) << options.threads << " threads, chunks of " << chunk;
      // Really by as many as its passes are to have.
      EXPECT_EQ(tuned.host.pool.threads(),
                chunk > 4 ? options.passes.prefill : options.passes.decode);
    }
  }
}

TEST_P(Invariance, EveryTableOfKernelsAgreesWithItself) {
  for (const kernels::Ops* ops : kernels::RunnableOps()) {
    Loaded loaded(GetParam(), {.ops = ops});
    ASSERT_TRUE(loaded.model);
    const std::vector<int32_t> tokens = Tokens(loaded, 40, 3);
    const auto every = RunInChunks(*loaded.model, tokens, 1);
    ASSERT_TRUE(every);
    for (const size_t chunk : {3, 13, 40}) {
      const auto got = RunInChunks(*loaded.model, tokens, chunk);
      ASSERT_TRUE(got);
      SCOPED_TRACE(ops->name);
      ExpectRowsOf(*every, *got, tokens.size(), chunk, loaded.vocabulary());
    }
  }
}

TEST_P(Invariance, CompanyInThePassDoesNotMatter) {
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  Model& model = *loaded.model;
  constexpr size_t kSequences = 3;
  constexpr size_t kTokens = 60;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> alone;
  std::vector<kv::SequenceCache> caches;
  for (unsigned i = 0; i < kSequences; ++i) {
    tokens.push_back(Tokens(loaded, kTokens, 10 + i));
    auto rows = RunInChunks(model, tokens.back(), 1);
    ASSERT_TRUE(rows);
    alone.push_back(std::move(*rows));
    caches.emplace_back(model.pages());
  }
  // Passes of whoever has tokens left, with one to nine tokens each, in changing order, wanting the
  // logits of none, some or all of them. What is computed is not always kept: as after a wrong
  // guess, the last tokens may be computed again, in between from others.
  std::mt19937 random(4);
  std::vector<size_t> done(kSequences, 0);
  while (std::any_of(done.begin(), done.end(), [](size_t n) { return n < kTokens; })) {
    std::vector<size_t> order = {0, 1, 2};
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Slice> slices;
    std::vector<size_t> in_pass;
    for (const size_t i : order) {
      const size_t count = std::min<size_t>(random() % 10, kTokens - done[i]);
      if (count == 0) continue;
      ASSERT_TRUE(caches[i].Reserve(static_cast<int64_t>(done[i] + count)));
      slices.push_back({&caches[i], std::span(tokens[i]).subspan(done[i], count),
                        static_cast<int32_t>(random() % (std::min<size_t>(count, 3) + 1))});
      in_pass.push_back(i);
    }
    if (slices.empty()) continue;
    const Status passed = model.Forward(slices, {});
    ASSERT_TRUE(passed) << passed.error().message;
    int32_t row = 0;
    for (size_t s = 0; s < slices.size(); ++s) {
      const size_t i = in_pass[s];
      const size_t end = done[i] + slices[s].tokens.size();
      for (size_t at = end - static_cast<size_t>(slices[s].logit_rows); at < end; ++at)
        EXPECT_TRUE(
            SameBits(model.Logits(row++),
                     std::span(alone[i]).subspan(at * loaded.vocabulary(), loaded.vocabulary())))
            << "sequence " << i << " at " << at;
      const size_t kept = end - random() % slices[s].tokens.size();
      caches[i].Commit(static_cast<int64_t>(kept));
      caches[i].Rollback();
      done[i] = kept;
    }
  }
}

TEST_P(Invariance, WherePagesLieDoesNotMatter) {
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  const std::vector<int32_t> tokens = Tokens(loaded, 200, 6);
  const auto want = RunInChunks(*loaded.model, tokens, 25);
  ASSERT_TRUE(want);
  // The pool's free pages are in disorder, and those between belong to others.
  kv::PagePool& pages = loaded.model->pages();
  std::mt19937 random(7);
  std::vector<std::vector<kv::PageNumber>> held(pages.geometry().size());
  for (size_t group = 0; group < held.size(); ++group) {
    ASSERT_TRUE(pages.Take(group, 40, &held[group]));
    std::shuffle(held[group].begin(), held[group].end(), random);
    pages.Drop(group, std::span(held[group]).first(20));
  }
  const auto got = RunInChunks(*loaded.model, tokens, 25);
  ASSERT_TRUE(got);
  EXPECT_TRUE(SameBits(*got, *want));
  for (size_t group = 0; group < held.size(); ++group)
    pages.Drop(group, std::span(held[group]).subspan(20));
}

// As when a session is saved and restored: the bytes of its pages are all there is of the past.
TEST_P(Invariance, PagesCopiedElsewhereGoOnTheSame) {
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  Model& model = *loaded.model;
  const std::vector<int32_t> tokens = Tokens(loaded, 200, 9);
  const auto want = RunInChunks(model, tokens, 1);
  ASSERT_TRUE(want);
  kv::SequenceCache first(model.pages());
  constexpr size_t kBefore = 150;
  for (size_t done = 0; done < kBefore; done += 25) {
    ASSERT_TRUE(first.Reserve(static_cast<int64_t>(done + 25)));
    const Slice slice{&first, std::span(tokens).subspan(done, 25), 0};
    ASSERT_TRUE(model.Forward({&slice, 1}, {}));
    first.Commit(static_cast<int64_t>(done + 25));
  }
  const kv::Geometry& geometry = model.pages().geometry();
  std::vector<kv::SequenceCache::Extent> extents;
  for (size_t group = 0; group < geometry.size(); ++group) extents.push_back(first.extent(group));
  auto second = kv::SequenceCache::WithPages(model.pages(), kBefore, extents);
  ASSERT_TRUE(second) << second.error().message;
  for (size_t group = 0; group < geometry.size(); ++group)
    for (int64_t page = 0; page < extents[group].pages; ++page)
      for (size_t slot = 0; slot < geometry[group].layers.size(); ++slot)
        first.CopyPage(group, page, slot, second->PageBytes(group, page, slot));
  first.Clear();
  for (size_t done = kBefore; done < tokens.size(); ++done) {
    ASSERT_TRUE(second->Reserve(static_cast<int64_t>(done + 1)));
    const Slice slice{&*second, std::span(tokens).subspan(done, 1), 1};
    ASSERT_TRUE(model.Forward({&slice, 1}, {}));
    second->Commit(static_cast<int64_t>(done + 1));
    EXPECT_TRUE(SameBits(model.Logits(0),
                         std::span(*want).subspan(done * loaded.vocabulary(), loaded.vocabulary())))
        << "position " << done;
  }
}

TEST_P(Invariance, AScoreIsTheLogSoftmaxOfForwardsLogitsHoweverItIsCut) {
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  Model& model = *loaded.model;
  const std::vector<int32_t> tokens = Tokens(loaded, 61, 8);
  const auto rows = RunInChunks(model, tokens, 1);
  ASSERT_TRUE(rows);
  std::vector<double> want;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto row = std::span(*rows).subspan(i * loaded.vocabulary(), loaded.vocabulary());
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    want.push_back(row[static_cast<size_t>(tokens[i + 1])] - std::log(sum));
  }
  std::vector<double> whole;
  for (const size_t chunk : {60, 11, 32}) {
    kv::SequenceCache cache(model.pages());
    std::vector<double> got(60);
    for (size_t begin = 0; begin < 60; begin += chunk) {
      const size_t count = std::min<size_t>(chunk, 60 - begin);
      ASSERT_TRUE(cache.Reserve(static_cast<int64_t>(begin + count)));
      Slice slice{&cache, std::span(tokens).subspan(begin, count), 0};
      slice.scores = {0,
                      std::span(tokens).subspan(begin + 1, count),
                      std::span(got).subspan(begin, count),
                      0,
                      {}};
      const Status scored = model.Forward({&slice, 1}, {});
      ASSERT_TRUE(scored) << scored.error().message;
      cache.Commit(static_cast<int64_t>(begin + count));
    }
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-9) << "target " << i;
    if (whole.empty()) whole = got;
    EXPECT_EQ(got, whole) << "chunks of " << chunk;
  }
}

// What some want scored, some a row of logits, some hidden states, one all; the head comes twice
// then.
TEST_P(Invariance, ScoresLogitsAndHiddenStatesOfManyAreThoseOfEachAlone) {
  constexpr int32_t kTop = 5;
  struct Part {
    size_t begin, count;
    int32_t logit_rows;
    size_t scored;  // from the third token on
    HiddenRows hidden;
  };
  constexpr Part kParts[] = {
      {0, 12, 1, 7, {3, 9}}, {5, 9, 0, 6, {}}, {11, 4, 2, 0, {0, 4}}, {20, 17, 0, 14, {16, 1}}};
  Loaded loaded(GetParam());
  ASSERT_TRUE(loaded.model);
  Model& model = *loaded.model;
  const std::vector<int32_t> tokens = Tokens(loaded, 61, 9);
  struct Wish {
    Wish(Model& model, std::span<const int32_t> tokens, const Part& part)
        : cache(model.pages()), logprobs(part.scored), top(part.scored * kTop) {
      slice = {&cache, tokens.subspan(part.begin, part.count), part.logit_rows};
      slice.hidden = part.hidden;
      if (part.scored > 0)
        slice.scores = {2, tokens.subspan(part.begin + 3, part.scored), logprobs, kTop, top};
      EXPECT_TRUE(cache.Reserve(static_cast<int64_t>(part.count)));
    }
    kv::SequenceCache cache;
    std::vector<double> logprobs;
    std::vector<TokenLogprob> top;
    Slice slice;
  };
  struct Rows {
    std::vector<float> logits, hidden;
  };
  const auto run = [&](std::vector<std::unique_ptr<Wish>>& wishes) {
    std::vector<Slice> slices;
    size_t rows = 0;
    int32_t hidden = 0;
    for (const auto& wish : wishes) {
      slices.push_back(wish->slice);
      rows += static_cast<size_t>(wish->slice.logit_rows);
      hidden += wish->slice.hidden.count;
    }
    const Status done = model.Forward(slices, {});
    EXPECT_TRUE(done) << done.error().message;
    const std::span<float> logits = model.Logits(0);
    Rows got;
    got.logits.assign(logits.data(), logits.data() + rows * loaded.vocabulary());
    for (int32_t i = 0; i < hidden; ++i) {
      const std::span<const float> row = model.Hidden(i);
      got.hidden.insert(got.hidden.end(), row.begin(), row.end());
    }
    return got;
  };
  std::vector<std::unique_ptr<Wish>> alone;
  Rows rows;
  for (const Part& part : kParts) {
    std::vector<std::unique_ptr<Wish>> one;
    one.push_back(std::make_unique<Wish>(model, tokens, part));
    const Rows own = run(one);
    rows.logits.insert(rows.logits.end(), own.logits.begin(), own.logits.end());
    rows.hidden.insert(rows.hidden.end(), own.hidden.begin(), own.hidden.end());
    alone.push_back(std::move(one.front()));
    for (size_t i = 0; i < part.scored; ++i) {
      EXPECT_LT(alone.back()->logprobs[i], 0);
      EXPECT_LE(alone.back()->logprobs[i], alone.back()->top[i * kTop].logprob + 1e-6);
    }
  }
  for (const bool streamed : {false, true}) {
    for (size_t i = 0; streamed && i < model.regions().region_count(); ++i)
      ASSERT_TRUE(model.regions().Lend(static_cast<memory::RegionIndex>(i)));
    std::vector<std::unique_ptr<Wish>> together;
    for (const Part& part : kParts) together.push_back(std::make_unique<Wish>(model, tokens, part));
    const Rows got = run(together);
    EXPECT_TRUE(SameBits(got.logits, rows.logits));
    EXPECT_TRUE(SameBits(got.hidden, rows.hidden));
    for (size_t i = 0; i < together.size(); ++i) {
      EXPECT_EQ(together[i]->logprobs, alone[i]->logprobs);
      for (size_t rank = 0; rank < together[i]->top.size(); ++rank) {
        EXPECT_EQ(together[i]->top[rank].token, alone[i]->top[rank].token);
        EXPECT_EQ(together[i]->top[rank].logprob, alone[i]->top[rank].logprob);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Invariance,
                         testing::Values("llama_gqa_tied", "llama_bias", "qwen3", "qwen3moe",
                                         "qwen3moe_unnormed", "quant_experts_q5_1", "gemma2",
                                         "gemma3", "phi3_window", "phi3_longrope_long", "quant_f16",
                                         "quant_q4_0", "quant_q8_0", "quant_q4_k", "quant_iq4_xs"),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace mirage::model
