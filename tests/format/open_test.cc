// SPDX-License-Identifier: Apache-2.0

#include "format/open.h"

#include <gtest/gtest.h>

#include "tests/format/gguf_builder.h"

namespace mirage::format {
namespace {

TEST(OpenModel, TheMagicPicksTheReader) {
  const auto file = OpenModel(test::OneShard(test::GgufBuilder().AddKey("k", 1).Build()));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->format(), "GGUF");
}

TEST(OpenModel, AnUnknownMagicIsShownInHex) {
  const auto file = OpenModel(test::OneShard(
      {std::byte{0x7F}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'}, std::byte{2}}));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kUnsupported);
  EXPECT_NE(file.error().message.find("7f 45 4c 46"), std::string::npos) << file.error().message;
}

TEST(OpenModel, AFileOfAFewBytesIsCorrupt) {
  EXPECT_EQ(OpenModel(test::OneShard({})).error().code, Code::kCorrupt);
  EXPECT_EQ(OpenModel(test::OneShard(std::vector<std::byte>(3))).error().code, Code::kCorrupt);
  EXPECT_EQ(OpenModel({}).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace mirage::format
