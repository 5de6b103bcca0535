// SPDX-License-Identifier: Apache-2.0
// What one pass costs in weights, and where embeddings come from.

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "tests/model/golden_files.h"
#include "tests/model/lending.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

TEST(Pass, EightSequencesCostOnePassOverTheWeights) {
  TestHost host;
  LoadOptions options;
  options.plan.logit_rows = 8;
  auto loaded = Model::Load(host.host(), OpenBytes(ModelOfManyRegions().Build()).value(), options);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  std::vector<int32_t> tokens = {1, 20, 300, 4000, 5, 60, 700, 8};
  std::vector<kv::SequenceCache> caches;
  std::vector<Slice> slices;
  for (size_t i = 0; i < 8; ++i) {
    caches.emplace_back(model.pages());
    ASSERT_TRUE(caches.back().Reserve(1));
  }
  for (size_t i = 0; i < 8; ++i)
    slices.push_back({&caches[i], std::span(tokens).subspan(i, 1), true});

  // Everything streamed, so that each acquire is a fill as well.
  for (size_t i = 0; i < model.regions().region_count(); ++i)
    ASSERT_TRUE(model.regions().Lend(static_cast<memory::RegionIndex>(i)));
  const auto run = [&](std::span<const Slice> pass) {
    const memory::StoreStats before = model.regions().Stats();
    const Status passed = model.Forward(pass, {});
    EXPECT_TRUE(passed);
    const memory::StoreStats after = model.regions().Stats();
    return std::pair(after.acquires - before.acquires,
                     after.bytes_streamed - before.bytes_streamed);
  };
  run(slices);  // later ones find the same regions in slots
  const auto together = run(slices);
  std::pair<uint64_t, uint64_t> apart = {0, 0};
  for (const Slice& slice : slices) {
    const auto one = run({&slice, 1});
    apart.first += one.first;
    apart.second += one.second;
  }
  const auto alone = run({slices.data(), 1});
  EXPECT_EQ(together.first, alone.first);
  EXPECT_EQ(apart.first, 8 * alone.first);
  EXPECT_LE(together.second, alone.second + alone.second / 50);
  EXPECT_GE(apart.second, 7 * together.second);
}

TEST(Pass, WithoutLogitsLeavesTheHeadAlone) {
  TestHost host;
  auto loaded = Model::Load(host.host(), OpenBytes(ModelOfManyRegions().Build()).value(), {});
  ASSERT_TRUE(loaded);
  Model& model = **loaded;
  const std::vector<int32_t> tokens = {1, 2, 3};
  kv::SequenceCache cache(model.pages());
  ASSERT_TRUE(cache.Reserve(3));
  const Slice silent{&cache, tokens, false};
  ASSERT_TRUE(model.Forward({&silent, 1}, {}));
  const uint64_t without = model.regions().Stats().acquires;
  const Slice speaking{&cache, tokens, true};
  ASSERT_TRUE(model.Forward({&speaking, 1}, {}));
  EXPECT_GT(model.regions().Stats().acquires - without, without);
}

TEST(Pass, ACancelledOneEndsWhereverItIsAskedAndCanBeMadeAgain) {
  for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued}) {
    TestHost host({.streams = streams});
    auto loaded = Model::Load(host.host(), OpenFile(GoldenPath("gemma2")).value(), {});
    ASSERT_TRUE(loaded);
    Model& model = **loaded;
    const std::vector<int32_t> tokens = GoldenTokens("gemma2");
    const auto want = RunInChunks(model, tokens, tokens.size());
    ASSERT_TRUE(want);
    kv::SequenceCache cache(model.pages());
    ASSERT_TRUE(cache.Reserve(static_cast<int64_t>(tokens.size())));
    const Slice slice{&cache, tokens, true};
    const auto polls_of = [&](bool with_head) {
      int polls = 0;
      const Slice whole{&cache, tokens, with_head ? 1 : 0};
      EXPECT_TRUE(model.Forward({&whole, 1}, [&] { return ++polls < 0; }));
      return polls;
    };
    // Before attention and each of a layer's four products; the head.
    const auto layers = static_cast<int>(model.config().layers.size());
    EXPECT_GE(polls_of(false), 5 * layers);
    EXPECT_GT(polls_of(true), polls_of(false));
    for (int stop_at = 0; stop_at < polls_of(true); ++stop_at) {
      int polls = 0;
      const Status passed = model.Forward({&slice, 1}, [&] { return polls++ == stop_at; });
      ASSERT_FALSE(passed);
      EXPECT_EQ(passed.error().code, Code::kCancelled);
      EXPECT_EQ(polls, stop_at + 1);
      EXPECT_EQ(cache.length(), 0);
    }
    ASSERT_TRUE(model.Forward({&slice, 1}, {}));
    EXPECT_EQ(std::memcmp(model.Logits(0).data(), want->data(), want->size() * sizeof(float)), 0);
  }
}

TEST(Pass, ALongOneIsAskedWithinEachProduct) {
  TinyModel tiny;
  tiny.layers = 1;
  tiny.embedding = 512;
  tiny.ffn = 4096;  // 512 tokens: 2^31 multiplications in gate and up, in two regions or more
  tiny.heads = 8;
  tiny.head_dim = 64;
  tiny.dtype = tensor::DType::kQ8_0;
  TestHost host;
  auto loaded = Model::Load(host.host(), OpenBytes(tiny.Build()).value(), {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  const auto polls_of = [&](size_t count) {
    const std::vector<int32_t> tokens(count, 1);
    kv::SequenceCache cache(model.pages());
    EXPECT_TRUE(cache.Reserve(static_cast<int64_t>(count)));
    const Slice slice{&cache, tokens, 0};
    int polls = 0;
    EXPECT_TRUE(model.Forward({&slice, 1}, [&] { return ++polls < 0; }));
    return polls;
  };
  EXPECT_GT(polls_of(512), polls_of(1));
}

TEST(Pass, RefusesTokensRowsAndLengthsItWasNotPlannedFor) {
  TestHost host;
  LoadOptions options;
  options.plan.logit_rows = 1;
  auto loaded = Model::Load(host.host(), OpenFile(GoldenPath("llama_mha")).value(), options);
  ASSERT_TRUE(loaded);
  Model& model = **loaded;
  kv::SequenceCache cache(model.pages());
  kv::SequenceCache other(model.pages());
  ASSERT_TRUE(cache.Reserve(600));
  ASSERT_TRUE(other.Reserve(600));
  const auto code = [&](std::vector<int32_t> first, std::vector<int32_t> second) {
    std::vector<Slice> slices = {{&cache, first, true}};
    if (!second.empty()) slices.push_back({&other, second, true});
    const Status passed = model.Forward(slices, {});
    return passed ? Code::kOk : passed.error().code;
  };
  EXPECT_EQ(code({101}, {}), Code::kInvalidArgument);
  EXPECT_EQ(code({-1}, {}), Code::kInvalidArgument);
  EXPECT_EQ(code({}, {}), Code::kInternal);
  EXPECT_EQ(code(std::vector<int32_t>(static_cast<size_t>(model.plan().step_tokens) + 1, 1), {}),
            Code::kInternal);
  EXPECT_EQ(code({1}, {1}), Code::kInternal);
  EXPECT_EQ(code({1}, {}), Code::kOk);
}

// A file that notes which bytes are read.
class WatchedSource final : public ByteSource {
 public:
  explicit WatchedSource(std::vector<std::byte> data) : inner_(std::move(data)) {}
  const std::string& name() const override { return inner_.name(); }
  uint64_t bytes() const override { return inner_.bytes(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    {
      const std::lock_guard lock(mutex_);
      reads_.emplace_back(offset, out.size());
    }
    return inner_.ReadAt(offset, out);
  }
  // Reads of single rows of `row_bytes` within an extent.
  size_t RowReads(const format::Extent& extent, uint64_t row_bytes) const {
    const std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const auto& [offset, size] : reads_)
      count += offset >= extent.offset && offset < extent.offset + extent.bytes && size == row_bytes
                   ? 1
                   : 0;
    return count;
  }
  void Forget() {
    const std::lock_guard lock(mutex_);
    reads_.clear();
  }

 private:
  const test::BytesSource inner_;
  mutable std::mutex mutex_;
  mutable std::vector<std::pair<uint64_t, size_t>> reads_;
};

class Embeddings : public testing::TestWithParam<bool> {};

TEST_P(Embeddings, AreGatheredFromTheFileWhetherOrNotTheTableIsInMemory) {
  TinyModel tiny = ModelOfManyRegions();
  tiny.tied = GetParam();
  auto source = std::make_shared<WatchedSource>(tiny.Build());
  TestHost host;
  auto loaded = Model::Load(host.host(), format::OpenModel({source}).value(), {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  const format::Extent extent = model.file().FindTensor("token_embd.weight")->extent;
  const uint64_t row_bytes = extent.bytes / tiny.vocabulary;
  const auto step = [&](std::vector<int32_t> tokens) {
    kv::SequenceCache cache(model.pages());
    EXPECT_TRUE(cache.Reserve(static_cast<int64_t>(tokens.size())));
    const Slice slice{&cache, tokens, true};
    source->Forget();
    EXPECT_TRUE(model.Forward({&slice, 1}, {}));
    const std::span<float> logits = model.Logits(0);
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::vector<float> resident = step({1, 2, 3, 4});
  EXPECT_EQ(source->RowReads(extent, row_bytes), 4u);
  step({1, 2, 3, 4});
  EXPECT_EQ(source->RowReads(extent, row_bytes), 0u) << "rows just read are remembered";
  step({2001, 2002, 2003, 2004, 2001});
  EXPECT_EQ(source->RowReads(extent, row_bytes), 4u);

  for (size_t i = 0; i < model.regions().region_count(); ++i)
    ASSERT_TRUE(model.regions().Lend(static_cast<memory::RegionIndex>(i)));
  step({3001, 3002, 3003, 3004});
  EXPECT_EQ(source->RowReads(extent, row_bytes), 4u);
  EXPECT_EQ(step({1, 2, 3, 4}), resident);
}

INSTANTIATE_TEST_SUITE_P(Heads, Embeddings, testing::Bool(),
                         [](const auto& tied) { return tied.param ? "tied" : "untied"; });

}  // namespace
}  // namespace mirage::model
