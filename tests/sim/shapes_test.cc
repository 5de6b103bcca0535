// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sim/hardware.h"
#include "sim/model_shape.h"

namespace mirage::sim {
namespace {

// Parameter counts as the papers and model cards give them.
TEST(Shapes, HaveAsManyWeightsAsTheModels) {
  const auto billions = [](const char* name) {
    return static_cast<double>(FindModelShape(name).value().WeightBytes()) / 2e9;
  };
  EXPECT_NEAR(billions("opt-6.7b"), 6.7, 0.1);
  EXPECT_NEAR(billions("opt-13b"), 12.9, 0.2);
  EXPECT_NEAR(billions("opt-30b"), 30.0, 0.3);
  EXPECT_NEAR(billions("llama-2-13b"), 13.0, 0.1);
  EXPECT_NEAR(billions("llama-3-8b"), 8.03, 0.05);
  EXPECT_NEAR(billions("qwen3-30b-a3b"), 30.5, 0.2);
}

TEST(Shapes, KeysAndValuesOfAToken) {
  EXPECT_EQ(FindModelShape("opt-13b").value().KvBytesPerToken(), 819'200u);
  EXPECT_EQ(FindModelShape("llama-3-8b").value().KvBytesPerToken(), 131'072u);
}

TEST(Shapes, FewTokensReadFewExperts) {
  const ModelShape moe = FindModelShape("qwen3-30b-a3b").value();
  const double active = moe.LayerWeightsUsed() * moe.layers + static_cast<double>(moe.head_weights);
  EXPECT_NEAR(active / 1e9, 3.0, 0.15);
  EXPECT_DOUBLE_EQ(moe.LayerWeightsRead(1), moe.LayerWeightsUsed());
  EXPECT_GT(moe.LayerWeightsRead(8), moe.LayerWeightsRead(1));
  EXPECT_LE(moe.LayerWeightsRead(10'000), static_cast<double>(moe.layer_weights));
  const ModelShape dense = FindModelShape("llama-3-8b").value();
  EXPECT_DOUBLE_EQ(dense.LayerWeightsRead(1), static_cast<double>(dense.layer_weights));
}

TEST(Shapes, AnUnknownNameIsAnsweredWithThoseThereAre) {
  const auto shape = FindModelShape("opt-14b");
  ASSERT_FALSE(shape);
  EXPECT_NE(shape.error().message.find("opt-13b"), std::string::npos);
  const auto hardware = FindHardware("gh100");
  ASSERT_FALSE(hardware);
  EXPECT_NE(hardware.error().message.find("gh200"), std::string::npos);
}

}  // namespace
}  // namespace mirage::sim
