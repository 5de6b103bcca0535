// SPDX-License-Identifier: Apache-2.0

// What a well-formed file means. Files that are not: hostile_gguf_test.cc.

#include "format/gguf.h"

#include <gtest/gtest.h>

#include "tests/format/gguf_builder.h"

namespace mirage::format {
namespace {

using test::GgufBuilder;
using test::OneShard;

TEST(Gguf, TensorsKeepNameTypeShapeAndPlace) {
  GgufBuilder builder;
  builder.AddKey("general.architecture", "llama")
      .AddTensor("a", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})
      .AddZeroTensor("b", tensor::DType::kQ8_0, {64, 3});
  const auto file = ReadGguf(OneShard(builder.Build()));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->format(), "GGUF");
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->alignment(), 32u);
  ASSERT_EQ(file->tensors().size(), 2u);
  const TensorInfo* b = file->FindTensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, tensor::DType::kQ8_0);
  EXPECT_EQ(b->shape, (tensor::Shape{64, 3}));
  EXPECT_EQ(b->extent.bytes, 3u * 2 * 34);
  EXPECT_EQ(b->extent.offset % 32, 0u);
  EXPECT_EQ(file->tensor_bytes(), 32u + 204);
  EXPECT_EQ(file->FindTensor("c"), nullptr);

  const auto a = file->GetTensor("a");
  ASSERT_TRUE(a);
  float row1[4];
  ASSERT_TRUE(file->ReadTensor(**a, 16, std::as_writable_bytes(std::span(row1))));
  EXPECT_EQ(row1[0], 5);
  EXPECT_EQ(row1[3], 8);
}

}  // namespace
}  // namespace mirage::format
