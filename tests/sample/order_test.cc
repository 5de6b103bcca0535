// SPDX-License-Identifier: Apache-2.0

#include "sample/order.h"

#include <gtest/gtest.h>

namespace mirage::sample {
namespace {

TEST(Order, DefaultIsTheOneDocumented) {
  EXPECT_EQ(OrderNames(DefaultOrder()),
            "penalties;dry;top_n_sigma;top_k;typical;top_p;min_p;xtc;temperature");
}

TEST(Order, NamesAreReadBack) {
  const auto order = ParseOrder("temperature; top-k,typ_p;min-p");
  ASSERT_TRUE(order);
  EXPECT_EQ(*order, (Order{Stage::kTemperature, Stage::kTopK, Stage::kTypical, Stage::kMinP}));
  EXPECT_EQ(*ParseOrder(OrderNames(DefaultOrder())), DefaultOrder());
  EXPECT_TRUE(ParseOrder("")->empty());
}

TEST(Order, UnknownAndRepeatedNamesAreRefused) {
  const auto unknown = ParseOrder("top_k;top_q");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message.find("samplers names 'top_q'; known are penalties"), 0u);
  const auto twice = ParseOrder("temp;top_k;temperature");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "samplers names 'temperature' twice");
  EXPECT_FALSE(ParseOrder("top_k;"));
  EXPECT_FALSE(ParseOrder(";"));
}

}  // namespace
}  // namespace mirage::sample
