// SPDX-License-Identifier: Apache-2.0
// Every golden model (tests/golden) against the logits transformers computed for it.

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/model/test_host.h"

namespace mirage::model {
namespace {

const std::string kData = MIRAGE_SOURCE_DIR "/tests/golden/data/";

const nlohmann::json& Goldens() {
  static const nlohmann::json goldens = [] {
    std::ifstream in(MIRAGE_SOURCE_DIR "/tests/golden/goldens.json");
    const nlohmann::json all = nlohmann::json::parse(in);
    nlohmann::json by_name;
    for (const auto& entry : all.at("goldens"))
      by_name[entry.at("name").get<std::string>()] = entry;
    return by_name;
  }();
  return goldens;
}

struct Difference {
  double max = 0;
  double rms = 0;
};

Difference Compare(const std::vector<float>& got, const std::vector<float>& want) {
  Difference difference;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - want[i]);
    difference.max = std::isfinite(error) ? std::max(difference.max, error) : INFINITY;
    difference.rms += error * error;
  }
  difference.rms = std::sqrt(difference.rms / static_cast<double>(want.size()));
  return difference;
}

bool ReadsInt8(const std::string& weights) {
  return weights != "F32" && weights != "F16" && weights != "BF16";
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LogitsOfEveryTokenAgreeWithTransformers) {
  const nlohmann::json& entry = Goldens().at(GetParam());
  TestHost test;
  auto file = OpenFile(kData + GetParam() + ".gguf");
  ASSERT_TRUE(file) << file.error().message;
  LoadOptions options;
  options.plan.context = entry.at("context").get<int64_t>();
  auto model = Model::Load(test.host(), std::move(*file), options);
  ASSERT_TRUE(model) << model.error().message;

  const auto tokens = ReadAll<int32_t>(kData + GetParam() + ".tokens.i32");
  const auto want = ReadAll<float>(kData + GetParam() + ".logits.f32");
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

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Goldens().items()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(Names()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace mirage::model
