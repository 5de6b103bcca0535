// SPDX-License-Identifier: Apache-2.0

#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tensor/quant/blocks.h"

namespace mirage::tensor {
namespace {

TEST(DType, EveryRowIsFoundByItsIdAndName) {
  std::set<std::string_view> names;
  for (const DTypeInfo& info : kDTypes) {
    const DTypeInfo* found = FindDType(static_cast<uint32_t>(info.dtype));
    ASSERT_NE(found, nullptr) << info.name;
    EXPECT_EQ(found->dtype, info.dtype);
    EXPECT_EQ(&Info(info.dtype), found);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
  }
}

TEST(DType, EveryIdIsAKnownTypeOrARemovedOneOrNeither) {
  const std::set<uint32_t> removed{4, 5, 31, 32, 33, 36, 37, 38};
  for (uint32_t id = 0; id < 43; ++id) {
    EXPECT_EQ(FindRemovedDType(id) != nullptr, removed.count(id) == 1) << id;
    EXPECT_EQ(FindDType(id) == nullptr, removed.count(id) == 1) << id;
  }
  for (const uint32_t id : {43u, 44u, 127u, 128u, 255u, 256u, 0xFFFFFFFFu}) {
    EXPECT_EQ(FindDType(id), nullptr) << id;
    EXPECT_EQ(FindRemovedDType(id), nullptr) << id;
  }
}

TEST(DType, SupportedTypesAreThoseWithABlockStructOfTheTablesSize) {
  for (const DTypeInfo& info : kDTypes) {
    bool visited = false;
    VisitBlock(info.dtype, [&]<typename Block>(std::type_identity<Block>) {
      visited = true;
      EXPECT_EQ(sizeof(Block), info.block_bytes) << info.name;
      EXPECT_EQ(Block::kElements, static_cast<int>(info.block_elements)) << info.name;
    });
    EXPECT_EQ(visited, info.supported) << info.name;
  }
}

TEST(DType, RowsAreWholeBlocks) {
  EXPECT_EQ(RowBytes(DType::kQ4_K, 512).value(), 288u);
  EXPECT_EQ(RowBytes(DType::kF32, 3).value(), 12u);
  EXPECT_EQ(RowBytes(DType::kQ8_0, 33).error().code, Code::kCorrupt);
  EXPECT_EQ(RowBytes(DType::kQ8_0, 0).error().code, Code::kCorrupt);
  EXPECT_EQ(RowBytes(DType::kQ8_0, -32).error().code, Code::kCorrupt);
  EXPECT_NE(RowBytes(DType::kQ8_0, 33).error().message.find("33"), std::string::npos);
}

TEST(DType, ARowPast64BitsIsRefused) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(RowBytes(DType::kF32, kMost));
  EXPECT_FALSE(RowBytes(DType::kF64, kMost));
  EXPECT_TRUE(RowBytes(DType::kF16, kMost));
}

}  // namespace
}  // namespace mirage::tensor
