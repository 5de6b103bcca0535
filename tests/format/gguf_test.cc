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

TEST(Gguf, Version2IsReadAsVersion3) {
  const auto file = ReadGguf(
      OneShard(GgufBuilder().Version(2).AddKey("k", uint32_t{7}).AddTensor("a", {1}, {1}).Build()));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 2u);
  EXPECT_EQ(file->metadata().Get<uint32_t>("k").value(), 7u);
}

TEST(Gguf, AFileOfKeysAloneNeedsNoPadding) {
  const auto file = ReadGguf(OneShard(GgufBuilder().AddKey("k", uint8_t{7}).Build()));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->tensors().empty());
  EXPECT_EQ(file->tensor_bytes(), 0u);
}

TEST(Gguf, TypesWithoutADecoderAreMeasuredAllTheSame) {
  for (const tensor::DTypeInfo& info : tensor::kDTypes) {
    const auto file =
        ReadGguf(OneShard(GgufBuilder().AddZeroTensor("t", info.dtype, {512, 2, 3, 4}).Build()));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->tensors()[0].dtype, info.dtype);
    EXPECT_EQ(file->tensors()[0].extent.bytes, 24u * 512 / info.block_elements * info.block_bytes);
  }
}

TEST(Gguf, TensorsAreFoundByNameInAnyNumber) {
  GgufBuilder builder;
  for (int i = 0; i < 1000; ++i)
    builder.AddTensor("blk." + std::to_string(i), {1}, {static_cast<float>(i)});
  const auto file = ReadGguf(OneShard(builder.Build()));
  ASSERT_TRUE(file) << file.error().message;
  for (int i = 0; i < 1000; ++i) {
    const TensorInfo* tensor = file->FindTensor("blk." + std::to_string(i));
    ASSERT_NE(tensor, nullptr) << i;
    float value = -1;
    ASSERT_TRUE(file->ReadTensor(*tensor, 0, std::as_writable_bytes(std::span(&value, 1))));
    EXPECT_EQ(value, static_cast<float>(i));
  }
  EXPECT_EQ(file->GetTensor("blk.1000").error().code, Code::kCorrupt);
}

TEST(Gguf, ReadsStayInsideTheTensor) {
  const auto file = ReadGguf(OneShard(
      GgufBuilder().AddTensor("a", {8}, std::vector<float>(8)).AddTensor("b", {1}, {1}).Build()));
  ASSERT_TRUE(file) << file.error().message;
  std::byte bytes[33];
  const TensorInfo& a = file->tensors()[0];
  EXPECT_TRUE(file->ReadTensor(a, 0, std::span(bytes, 32)));
  EXPECT_TRUE(file->ReadTensor(a, 32, {}));
  EXPECT_EQ(file->ReadTensor(a, 0, bytes).error().code, Code::kInvalidArgument);
  EXPECT_EQ(file->ReadTensor(a, 33, {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(file->ReadTensor(a, ~0ull, std::span(bytes, 2)).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace mirage::format
