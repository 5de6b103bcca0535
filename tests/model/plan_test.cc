// SPDX-License-Identifier: Apache-2.0
// What the plan says before a load is what the ledger counts after it and at full context.

#include "model/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <ostream>

#include "tests/model/golden_files.h"
#include "tests/model/lending.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

struct Geometry {
  TinyModel model;
  PlanRequest request;
  int number = 0;

  friend void PrintTo(const Geometry& g, std::ostream* out) {
    *out << g.model.architecture << ", " << g.model.layers << " layers of " << g.model.embedding
         << ", " << g.request.sequences << " sequences of " << g.request.context;
  }
};

// Twenty models and uses that share nothing but the seed.
std::vector<Geometry> Geometries() {
  std::mt19937 random(20);
  const auto pick = [&](const auto&... choices) {
    const auto list = {choices...};
    return *(list.begin() + random() % list.size());
  };
  std::vector<Geometry> geometries;
  for (int number = 0; number < 20; ++number) {
    Geometry g;
    g.number = number;
    TinyModel& model = g.model;
    model.architecture = pick("llama", "llama", "gemma3");
    model.layers = pick(1u, 2u, 3u, 5u);
    model.embedding = pick(64u, 96u, 160u, 256u);
    model.vocabulary = pick(97u, 1000u, 5001u);
    model.kv_heads = pick(1u, 2u, 4u);
    model.heads = model.kv_heads * pick(1u, 2u, 3u);
    model.head_dim = pick(16u, 32u, 64u, 80u);
    model.ffn = pick(96u, 256u, 512u);
    if (number % 4 == 0) {
      for (uint32_t layer = 0; layer < model.layers; ++layer) {
        model.ffn_of_layer.push_back(64 * (layer + 1));
        model.kv_heads_of_layer.push_back(layer % 2 == 0 ? model.kv_heads : 1);
      }
    }
    model.window = pick(32u, 100u, 512u);
    model.window_pattern = pick(2u, 6u);
    model.tied = pick(false, true);
    // A row of attention's output has to be whole blocks.
    if (model.heads * model.head_dim % 32 == 0)
      model.dtype = pick(tensor::DType::kF32, tensor::DType::kF16, tensor::DType::kQ8_0,
                         tensor::DType::kQ4_0);
    model.seed = random();
    g.request.sequences = pick(1, 2, 8, 16, 64);
    g.request.logit_rows = std::min(g.request.sequences, 16);
    g.request.context = pick(64, 130, 512, 1000);
    g.request.session_bytes = {4096, 1000, 8};
    geometries.push_back(std::move(g));
  }
  for (const uint32_t used : {1u, 4u, 9u}) {
    Geometry g;
    g.number = static_cast<int>(geometries.size());
    g.model = ModelOfManyExperts();
    g.model.experts_used = used;
    g.request.sequences = 4;
    g.request.logit_rows = 4;
    g.request.context = 130;
    geometries.push_back(std::move(g));
  }
  return geometries;
}

// Grows the caches as prompts of one sequence after the other would, then decodes them together.
Status FillContext(Model& model, int32_t sequences) {
  const Plan& plan = model.plan();
  std::vector<kv::SequenceCache> caches;
  for (int32_t i = 0; i < sequences; ++i) {
    kv::SequenceCache& cache = caches.emplace_back(model.pages());
    while (cache.length() < plan.context - 1) {
      const int64_t end = std::min(cache.length() + plan.step_tokens, plan.context - 1);
      MIRAGE_TRY(cache.Reserve(end));
      cache.Commit(end);
    }
  }
  const std::vector<int32_t> token = {1};
  for (size_t begin = 0; begin < caches.size(); begin += static_cast<size_t>(plan.logit_rows)) {
    std::vector<Slice> slices;
    for (size_t i = begin;
         i < std::min(caches.size(), begin + static_cast<size_t>(plan.logit_rows)); ++i) {
      MIRAGE_TRY(caches[i].Reserve(plan.context));
      slices.push_back({&caches[i], token, true});
    }
    MIRAGE_TRY(model.Forward(slices, {}));
  }
  return {};
}

class PlanOf : public testing::TestWithParam<Geometry> {};

TEST_P(PlanOf, IsWithinFivePercentOfWhatTheLedgerCounts) {
  const std::vector<std::byte> file = GetParam().model.Build();
  PlanRequest request = GetParam().request;
  const auto ample = MakePlan(OpenBytes(file).value(), request);
  ASSERT_TRUE(ample) << ample.error().message;
  const uint64_t span = ample->total - ample->least_bytes;
  for (const uint64_t limit :
       {ample->total, ample->total - span / 3, ample->total - 2 * span / 3}) {
    request.limit_bytes = limit;
    const auto planned = MakePlan(OpenBytes(file).value(), request);
    if (!planned) {
      // An explicit context may need more than the least.
      EXPECT_EQ(planned.error().code, Code::kOutOfMemory);
      EXPECT_GT(planned.error().needed_bytes, limit);
      continue;
    }
    EXPECT_LE(planned->total, limit);
    TestHost host({.limit_bytes = limit});
    LoadOptions options;
    options.plan = GetParam().request;
    auto model = Model::Load(host.host(), OpenBytes(file).value(), options);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ((*model)->plan().total, planned->total);
    const Status filled = FillContext(**model, request.sequences);
    ASSERT_TRUE(filled) << filled.error().message;
    // With all else taken, what was kept for sessions is there.
    auto text = memory::Holding::Take(host.ledger, memory::Owner::kSessions, planned->sessions,
                                      "text", &(*model)->session_promise());
    ASSERT_TRUE(text) << text.error().message;
    const auto peak = static_cast<double>(host.ledger.Snapshot().peak);
    const auto total = static_cast<double>(planned->total);
    EXPECT_NEAR(peak, total, 0.05 * total)
        << "weights " << planned->weights << ", KV " << planned->kv << ", slots "
        << planned->slot_bytes << ", workspace " << planned->workspace << "; counted: weights "
        << host.ledger.Snapshot().by_owner[static_cast<size_t>(memory::Owner::kWeights)] << ", KV "
        << (*model)->pages().Stats().bytes_peak << ", tables "
        << host.ledger.Snapshot().by_owner[static_cast<size_t>(memory::Owner::kTables)];
    text->Reset();
    model->reset();
    EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Geometries, PlanOf, testing::ValuesIn(Geometries()),
                         [](const auto& g) { return std::to_string(g.param.number); });

struct Use {
  std::string model;
  PlanRequest request;
  std::string name;
  friend void PrintTo(const Use& use, std::ostream* out) { *out << use.name; }
};

class LeastBytes : public testing::TestWithParam<Use> {};

TEST_P(LeastBytes, WorkAndOneByteLessDoesNot) {
  const auto bytes = [&] {
    if (GetParam().model == "many_regions") return ModelOfManyRegions().Build();
    if (GetParam().model == "many_experts") return ModelOfManyExperts().Build();
    return ReadAll<std::byte>(GoldenPath(GetParam().model));
  }();
  PlanRequest request = GetParam().request;
  const auto ample = MakePlan(OpenBytes(bytes).value(), request);
  ASSERT_TRUE(ample) << ample.error().message;
  const uint64_t least = ample->least_bytes;
  EXPECT_LE(least, ample->total);

  LoadOptions options;
  options.plan = request;
  TestHost big;
  auto ample_model = Model::Load(big.host(), OpenBytes(bytes).value(), options);
  ASSERT_TRUE(ample_model);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  const auto want = RunInChunks(**ample_model, tokens, 5);
  ASSERT_TRUE(want);

  TestHost host({.limit_bytes = least});
  auto model = Model::Load(host.host(), OpenBytes(bytes).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  const auto got = RunInChunks(**model, tokens, 5);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, *want);
  const Status filled = FillContext(**model, request.sequences);
  EXPECT_TRUE(filled) << filled.error().message;

  request.limit_bytes = least - 1;
  const auto refused = MakePlan(OpenBytes(bytes).value(), request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(refused.error().needed_bytes, least);
  EXPECT_EQ(refused.error().available_bytes, least - 1);
  EXPECT_NE(refused.error().message.find("workspace"), std::string::npos)
      << "the parts are not named: " << refused.error().message;

  TestHost small({.limit_bytes = least - 1});
  auto too_small = Model::Load(small.host(), OpenBytes(bytes).value(), options);
  ASSERT_FALSE(too_small);
  EXPECT_EQ(too_small.error().needed_bytes, least);
  EXPECT_EQ(too_small.error().available_bytes, least - 1);
  EXPECT_EQ(small.ledger.Snapshot().used, 0u);
}

std::vector<Use> Uses() {
  std::vector<Use> uses;
  for (const char* model : {"many_regions", "many_experts", "gemma2", "quant_q4_k"}) {
    uses.push_back({model, {}, std::string(model)});
    uses.push_back({model, {.context = 100}, std::string(model) + "_context"});
    uses.push_back({model,
                    {.context = 300, .sequences = 5, .logit_rows = 5},
                    std::string(model) + "_sequences"});
    uses.push_back({model, {.logit_rows = 16}, std::string(model) + "_rows"});
  }
  return uses;
}

INSTANTIATE_TEST_SUITE_P(Uses, LeastBytes, testing::ValuesIn(Uses()),
                         [](const auto& use) { return use.param.name; });

TEST(Plan, GivesWayInTheOrderItSays) {
  const auto file = OpenBytes(ModelOfManyRegions().Build()).value();
  PlanRequest request;
  const Plan ample = MakePlan(file, request).value();
  EXPECT_EQ(ample.context, 2048);
  EXPECT_EQ(ample.streamed_bytes_per_pass, 0u);
  int64_t context = ample.context;
  int64_t step = ample.step_tokens;
  uint64_t streamed = 0;
  bool shortened = false;
  for (uint64_t limit = ample.total; limit >= ample.least_bytes;
       limit -= std::min<uint64_t>(limit, 200'000)) {
    request.limit_bytes = limit;
    const auto plan = MakePlan(file, request);
    ASSERT_TRUE(plan) << plan.error().message << " at " << limit;
    EXPECT_LE(plan->total, limit);
    if (plan->streamed_bytes_per_pass > 0) {
      EXPECT_LE(plan->context, 512) << "weights are streamed before the context shrinks";
    }
    if (plan->context < ample.context && plan->context > 512) {
      shortened = true;
      EXPECT_EQ(plan->streamed_bytes_per_pass, 0u);
    }
    EXPECT_LE(plan->context, context);
    context = plan->context;
    step = plan->step_tokens;
    streamed = plan->streamed_bytes_per_pass;
  }
  EXPECT_TRUE(shortened);
  EXPECT_LT(step, ample.step_tokens);
  EXPECT_GT(streamed, 0u);
}

TEST(Plan, HonoursAnExplicitContextByStreaming) {
  const auto file = OpenBytes(ModelOfManyRegions().Build()).value();
  PlanRequest request;
  request.context = 2048;
  const Plan ample = MakePlan(file, request).value();
  // Beyond what a smaller step gives back.
  request.limit_bytes = ample.total - ample.workspace - ample.weights / 2;
  const auto plan = MakePlan(file, request);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->context, 2048);
  EXPECT_GT(plan->streamed_bytes_per_pass, 0u);
}

TEST(Plan, StreamsWhatIsToBeOffloadedWhereAllWouldFit) {
  const auto file = OpenBytes(ModelOfManyRegions().Build()).value();
  PlanRequest request;
  request.context = 512;
  const Plan all = MakePlan(file, request).value();
  ASSERT_EQ(all.streamed_bytes_per_pass, 0u);
  request.offload_bytes = all.weights_total / 2;
  const Plan half = MakePlan(file, request).value();
  EXPECT_EQ(half.context, all.context);
  EXPECT_EQ(half.kv, all.kv);
  EXPECT_GE(half.streamed_bytes_per_pass, all.weights_total / 4);
  EXPECT_LT(half.total, all.total);
  // Spread over the pass: of its beginning and of its end some stay and some do not.
  const size_t regions = half.resident.size();
  for (const size_t begin : {size_t{0}, regions / 2})
    EXPECT_TRUE(std::find(half.resident.begin() + static_cast<std::ptrdiff_t>(begin),
                          half.resident.begin() + static_cast<std::ptrdiff_t>(begin + regions / 2),
                          false) !=
                half.resident.begin() + static_cast<std::ptrdiff_t>(begin + regions / 2));
  request.offload_bytes = UINT64_MAX;
  const Plan none = MakePlan(file, request).value();
  EXPECT_GT(none.streamed_bytes_per_pass, half.streamed_bytes_per_pass);
  EXPECT_GE(none.total, none.least_bytes);
}

TEST(Plan, OfAMixtureSaysWhatATokenReads) {
  const TinyModel tiny = ModelOfManyExperts();
  const auto file = OpenBytes(tiny.Build()).value();
  uint64_t experts = 0;
  for (const format::TensorInfo& tensor : file.tensors())
    if (tensor.name.find("_exps.") != std::string::npos) experts += tensor.extent.bytes;
  PlanRequest request;
  request.context = 64;
  const Plan ample = MakePlan(file, request).value();
  EXPECT_EQ(ample.active_bytes,
            ample.weights_total - experts / tiny.experts * (tiny.experts - tiny.experts_used));
  EXPECT_EQ(ample.streamed_bytes_per_pass, 0u);
  request.limit_bytes = ample.least_bytes;
  const Plan least = MakePlan(file, request).value();
  EXPECT_EQ(least.weights, 0u);
  EXPECT_EQ(least.streamed_bytes_per_pass, ample.active_bytes);

  const Plan dense = MakePlan(OpenBytes(ModelOfManyRegions().Build()).value(), {}).value();
  EXPECT_EQ(dense.active_bytes, dense.weights_total);
}

TEST(Plan, AContextThatCanNeverFitIsSaidWithItsBytes) {
  const auto file = OpenBytes(ModelOfManyRegions().Build()).value();
  PlanRequest request;
  request.limit_bytes = 8 << 20;
  request.context = 1 << 20;
  const auto plan = MakePlan(file, request);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kOutOfMemory);
  EXPECT_GT(plan.error().needed_bytes, request.limit_bytes);
  EXPECT_EQ(plan.error().available_bytes, request.limit_bytes);
  EXPECT_NE(plan.error().message.find("1048576"), std::string::npos) << plan.error().message;
}

}  // namespace
}  // namespace mirage::model
