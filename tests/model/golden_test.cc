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

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(GoldenNames()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace mirage::model
