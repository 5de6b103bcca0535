// SPDX-License-Identifier: Apache-2.0
// Every golden model (tests/golden) against the logits transformers computed for it.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/model/golden_files.h"
#include "tests/model/test_host.h"

namespace mirage::model {
namespace {

bool ReadsInt8(const std::string& weights) {
  return weights != "F32" && weights != "F16" && weights != "BF16";
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LogitsOfEveryTokenAgreeWithTransformers) {
  const nlohmann::json& entry = Goldens().at(GetParam());
  TestHost test;
  auto file = OpenFile(GoldenPath(GetParam()));
  ASSERT_TRUE(file) << file.error().message;
  LoadOptions options;
  options.plan.context = entry.at("context").get<int64_t>();
  auto model = Model::Load(test.host(), std::move(*file), options);
  ASSERT_TRUE(model) << model.error().message;

  const auto tokens = GoldenTokens(GetParam());
  const auto want = GoldenLogits(GetParam());
  auto got = RunInChunks(**model, tokens, 1);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->size(), want.size());
  const Difference difference = Compare(*got, want);

  // Keys and values are half floats in every model here; quantised weights round activations to
  // int8 besides.
  const nlohmann::json& tolerance = entry.at("tolerance");
  double max = tolerance.at("half_kv").at("max").get<double>();
  double rms = tolerance.at("half_kv").at("rms").get<double>();
  if (ReadsInt8(entry.at("weights").get<std::string>())) {
    max += tolerance.at("int8").at("max").get<double>();
    rms += tolerance.at("int8").at("rms").get<double>();
  }
  EXPECT_LE(difference.max, max);
  EXPECT_LE(difference.rms, rms);
  RecordProperty("max_abs_error", std::to_string(difference.max));
  RecordProperty("rms_error", std::to_string(difference.rms));
}

class GoldenHiddenStates : public testing::TestWithParam<nlohmann::json> {};

TEST_P(GoldenHiddenStates, OfEveryTokenAgreeWithTransformers) {
  const auto name = GetParam().at("name").get<std::string>();
  TestHost test;
  LoadOptions options;
  options.plan.context = Goldens().at(name).at("context").get<int64_t>();
  auto model = Model::Load(test.host(), OpenFile(GoldenPath(name)).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  const auto tokens = GoldenTokens(name);
  const auto want = GoldenHidden(name);
  const auto width = static_cast<size_t>((*model)->config().embedding);
  ASSERT_EQ(want.size(), tokens.size() * width);
  std::vector<float> whole;
  for (const size_t chunk : {tokens.size(), size_t{1}, size_t{7}}) {
    std::vector<float> got;
    kv::SequenceCache cache((*model)->pages());
    for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
      const size_t count = std::min(chunk, tokens.size() - begin);
      ASSERT_TRUE(cache.Reserve(static_cast<int64_t>(begin + count)));
      Slice slice;
      slice.cache = &cache;
      slice.tokens = std::span(tokens).subspan(begin, count);
      slice.hidden = {0, static_cast<int32_t>(count)};
      const Status done = (*model)->Forward({&slice, 1}, {});
      ASSERT_TRUE(done) << done.error().message;
      cache.Commit(static_cast<int64_t>(begin + count));
      for (size_t i = 0; i < count; ++i) {
        const std::span<const float> hidden = (*model)->Hidden(static_cast<int32_t>(i));
        ASSERT_EQ(hidden.size(), width);
        got.insert(got.end(), hidden.begin(), hidden.end());
      }
    }
    const Difference difference = Compare(got, want);
    EXPECT_LE(difference.max, GetParam().at("tolerance").at("max").get<double>());
    EXPECT_LE(difference.rms, GetParam().at("tolerance").at("rms").get<double>());
    if (whole.empty()) whole = got;
    EXPECT_EQ(got, whole) << "chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Some, GoldenHiddenStates, testing::ValuesIn(HiddenGoldens()),
                         [](const auto& golden) {
                           return golden.param.at("name").template get<std::string>();
                         });

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(GoldenNames()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace mirage::model
