// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: which regions are an expert's, and that a pass touches those of the chosen
// ones alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "model/arch/architectures.h"
#include "model/expert_rows.h"
#include "tests/model/golden_files.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

TEST(SortByExpert, PutsTheRowsOfEachExpertSideBySideInTheirOrder) {
  const std::vector<int32_t> chosen = {4, 1, 0, 4, 1, 4};  // three rows of two
  const std::vector<float> weights = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
  std::vector<int32_t> rows(6, -1);
  std::vector<float> sorted(6, -1);
  const std::vector<ExpertRows> experts =
      SortByExpert(chosen, weights, 2, 6, rows.data(), sorted.data());
  ASSERT_EQ(experts.size(), 3u);
  EXPECT_EQ(experts[0].expert, 0);
  EXPECT_EQ(experts[0].count, 1);
  EXPECT_EQ(experts[1].expert, 1);
  EXPECT_EQ(experts[1].first, 1);
  EXPECT_EQ(experts[1].count, 2);
  EXPECT_EQ(experts[2].expert, 4);
  EXPECT_EQ(experts[2].first, 3);
  EXPECT_EQ(experts[2].count, 3);
  EXPECT_EQ(rows, (std::vector<int32_t>{1, 0, 2, 0, 1, 2}));
  EXPECT_EQ(sorted, (std::vector<float>{0.3f, 0.2f, 0.5f, 0.1f, 0.4f, 0.6f}));
}

TEST(ExpertRegions, EachIsOfOneExpertAndHoldsItsRows) {
  const TinyModel tiny = ModelOfManyExperts();
  const auto file = OpenBytes(tiny.Build()).value();
  const Description description = Describe(file, 64).value();
  const ModelLayout layout = MakeLayout(file, description.map, 0).value();
  std::set<memory::RegionIndex> of_experts;
  for (size_t layer = 0; layer < tiny.layers; ++layer) {
    const ExpertTensors& tensors = description.map.layers[layer].experts;
    ASSERT_EQ(layout.layers[layer].experts.size(), tiny.experts);
    for (uint32_t expert = 0; expert < tiny.experts; ++expert) {
      const ExpertPlaces& places = layout.layers[layer].experts[expert];
      const auto check = [&](const MatrixGroup& group, const std::vector<TensorSlice>& of_all) {
        for (uint32_t i = 0; i < group.region_count; ++i) {
          const Region& region = layout.regions[group.first_region + i];
          EXPECT_EQ(region.info.id.layer, layer);
          EXPECT_EQ(region.info.id.expert, expert);
          EXPECT_TRUE(of_experts.insert(group.first_region + i).second);
          ASSERT_EQ(region.pieces.size(), of_all.size());
          for (size_t m = 0; m < of_all.size(); ++m) {
            const int64_t rows = of_all[m].rows / tiny.experts;
            const Piece& piece = region.pieces[m];
            EXPECT_EQ(piece.source.tensor, of_all[m].tensor);
            EXPECT_EQ(piece.source.row0, expert * rows + piece.row0);
            EXPECT_LE(piece.row0 + piece.source.rows, rows);
          }
        }
      };
      check(places.gate_up, {tensors.gate, tensors.up});
      check(places.down, {tensors.down});
    }
  }
  for (const memory::RegionIndex region : layout.NeededByEveryPass())
    EXPECT_TRUE(of_experts.insert(region).second);
  EXPECT_EQ(of_experts.size(), layout.regions.size());
}

struct Touched {
  std::vector<uint64_t> uses;  // per region
  memory::StoreStats stats;
};

Touched RunTouching(Model& model, std::span<const int32_t> tokens) {
  const memory::StoreStats before = model.regions().Stats();
  std::vector<uint64_t> uses;
  for (memory::RegionIndex i = 0; i < model.regions().region_count(); ++i)
    uses.push_back(model.regions().uses(i));
  EXPECT_TRUE(RunInChunks(model, tokens, tokens.size()));
  Touched touched{{}, model.regions().Stats()};
  touched.stats.acquires -= before.acquires;
  touched.stats.bytes_streamed -= before.bytes_streamed;
  for (memory::RegionIndex i = 0; i < uses.size(); ++i)
    touched.uses.push_back(model.regions().uses(i) - uses[i]);
  return touched;
}

class ChosenExperts : public testing::TestWithParam<platform::HostStreams> {};

TEST_P(ChosenExperts, AreAllThatAPassTouches) {
  const TinyModel tiny = ModelOfManyExperts();
  const auto file = OpenBytes(tiny.Build()).value();
  const ModelLayout layout = MakeLayout(file, Describe(file, 64)->map, 0).value();
  TestHost host({.streams = GetParam()});
  LoadOptions options;
  options.plan.context = 64;
  auto loaded = Model::Load(host.host(), OpenBytes(tiny.Build()).value(), options);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  for (const bool lent : {false, true}) {
    for (memory::RegionIndex i = 0; lent && i < model.regions().region_count(); ++i) {
      ASSERT_TRUE(model.regions().Lend(i));
    }
    for (const std::vector<int32_t>& tokens :
         {std::vector<int32_t>{7}, {400}, {1, 2}, {5, 5, 5}, {1, 77, 300, 20, 500}}) {
      const Touched touched = RunTouching(model, tokens);
      uint64_t touched_bytes = 0;
      for (size_t i = 0; i < touched.uses.size(); ++i)
        if (touched.uses[i] > 0) touched_bytes += layout.regions[i].info.bytes;
      for (const memory::RegionIndex region : layout.NeededByEveryPass())
        EXPECT_EQ(touched.uses[region], 1u);
      for (const LayerPlaces& layer : layout.layers) {
        size_t chosen = 0;
        for (const ExpertPlaces& expert : layer.experts) {
          EXPECT_EQ(touched.uses[expert.gate_up.first_region],
                    touched.uses[expert.down.first_region]);
          EXPECT_LE(touched.uses[expert.down.first_region], 1u);
          chosen += touched.uses[expert.down.first_region];
        }
        EXPECT_GE(chosen, tiny.experts_used);
        EXPECT_LE(chosen, tiny.experts_used * tokens.size());
        if (tokens.size() == 1) {
          EXPECT_EQ(chosen, tiny.experts_used);
        }
      }
      // What is filled ahead is needed: only what is still in slots from the pass before is not
      // read again, and only a few slots' worth was read for nothing.
      const uint64_t slack = model.regions().slot_bytes();
      if (lent) {
        EXPECT_LE(touched.stats.bytes_streamed, touched_bytes + slack);
        EXPECT_GE(touched.stats.bytes_streamed + slack, touched_bytes);
      } else {
        EXPECT_EQ(touched.stats.bytes_streamed, 0u);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Streams, ChosenExperts,
                         testing::Values(platform::HostStreams::kInline,
                                         platform::HostStreams::kQueued),
                         [](const auto& streams) {
                           return streams.param == platform::HostStreams::kInline ? "inlined"
                                                                                  : "queued";
                         });

// More experts than a step has rows, all of them used: several batches of pairs.
TEST(Experts, OfMoreThanAStepHasRowsAreComputedInSeveralGoes) {
  TinyModel tiny = ModelOfManyExperts();
  tiny.layers = 1;
  tiny.experts = 71;
  tiny.experts_used = 70;
  const std::vector<std::byte> file = tiny.Build();
  const std::vector<int32_t> tokens = {3, 500, 17, 250};
  LoadOptions options;
  options.plan.context = 64;
  TestHost ample;
  auto whole = Model::Load(ample.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(whole) << whole.error().message;
  ASSERT_GE((*whole)->plan().step_tokens, 4 * 70);
  const auto want = RunInChunks(**whole, tokens, 4);
  ASSERT_TRUE(want);
  TestHost small({.limit_bytes = (*whole)->plan().least_bytes});
  auto least = Model::Load(small.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(least) << least.error().message;
  ASSERT_LT((*least)->plan().step_tokens, 70);
  const auto got = RunInChunks(**least, tokens, 4);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, *want);
}

// A token whose numbers are none spoils its own row alone, and no expert's memory.
TEST(Experts, ATokenThatIsNoNumberLeavesTheOthersAlone) {
  TinyModel tiny;
  tiny.architecture = "qwen3moe";
  std::vector<std::byte> file = tiny.Build();
  const auto opened = OpenBytes(file).value();
  const format::TensorInfo& table = *opened.FindTensor("token_embd.weight");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(file.data() + table.extent.offset + 9 * tiny.embedding * sizeof(float), &nan,
              sizeof nan);
  TestHost host;
  LoadOptions options;
  options.plan.context = 64;
  options.plan.logit_rows = 2;
  auto model = Model::Load(host.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<int32_t> good = {5};
  const std::vector<int32_t> bad = {9};
  const std::vector<float> want = RunInChunks(**model, good, 1).value();
  std::vector<kv::SequenceCache> caches;
  for (int i = 0; i < 2; ++i) {
    caches.emplace_back((*model)->pages());
    ASSERT_TRUE(caches.back().Reserve(1));
  }
  const Slice slices[] = {{&caches[0], bad, 1}, {&caches[1], good, 1}};
  ASSERT_TRUE((*model)->Forward(slices, {}));
  EXPECT_TRUE(std::isnan((*model)->Logits(0)[0]));
  const std::span<const float> got = (*model)->Logits(1);
  EXPECT_EQ(std::vector<float>(got.begin(), got.end()), want);
}

}  // namespace
}  // namespace mirage::model
