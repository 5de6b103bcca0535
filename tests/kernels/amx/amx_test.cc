// SPDX-License-Identifier: Apache-2.0

// The emulated tiles, and the AMX table's own code on them.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "tests/kernels/amx/kernels_amx_emulated.h"
#include "tests/kernels/amx/tile_unit.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

// What LDTILECFG reads: palette 1 with tile t of rows[t] rows of row_bytes[t].
std::array<uint8_t, 64> Config(const std::vector<int>& rows, const std::vector<int>& row_bytes) {
  std::array<uint8_t, 64> config{};
  config[0] = 1;
  for (size_t t = 0; t < rows.size(); ++t) {
    config[48 + t] = static_cast<uint8_t>(rows[t]);
    config[16 + 2 * t] = static_cast<uint8_t>(row_bytes[t]);
  }
  return config;
}

TEST(TileUnit, AProductIsThatOfItsDefinition) {
  Random random(1);
  constexpr int kRows = 5;
  constexpr int kColumns = 3;
  constexpr int kDepth = 8;
  int8_t a[kRows][kDepth];
  int8_t b[kDepth][kColumns];
  for (auto& row : a)
    for (int8_t& value : row) value = static_cast<int8_t>(random.Int(-128, 127));
  for (auto& row : b)
    for (int8_t& value : row) value = static_cast<int8_t>(random.Int(-128, 127));
  // Four rows of b side by side.
  int8_t groups[kDepth / 4][4 * kColumns];
  for (int k = 0; k < kDepth; ++k)
    for (int column = 0; column < kColumns; ++column)
      groups[k / 4][4 * column + k % 4] = b[k][column];

  TileUnit tiles;
  tiles.LoadConfig(Config({kRows, kRows, kDepth / 4}, {4 * kColumns, kDepth, 4 * kColumns}).data());
  tiles.Load(1, a, sizeof a[0]);
  tiles.Load(2, groups, sizeof groups[0]);
  tiles.AddProduct(0, 1, 2);
  tiles.AddProduct(0, 1, 2);  // adds
  int32_t sums[kRows][kColumns + 1];
  std::memset(sums, 0x55, sizeof sums);
  tiles.Store(0, sums, sizeof sums[0]);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      int32_t expected = 0;
      for (int k = 0; k < kDepth; ++k) expected += 2 * a[row][k] * b[k][column];
      EXPECT_EQ(sums[row][column], expected) << row << ", " << column;
    }
    EXPECT_EQ(sums[row][kColumns], 0x55555555);
  }
  EXPECT_EQ(tiles.products(), 2);
}

TEST(TileUnitDeath, AConfigurationAgainstTheRulesEndsTheProgram) {
  TileUnit tiles;
  auto config = Config({17}, {64});
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "16 rows");
  config = Config({16}, {65});
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "64 bytes");
  config = Config({16}, {0});
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "rows without bytes");
  config = Config({1, 1, 1, 1, 1, 1, 1, 1, 1}, {4, 4, 4, 4, 4, 4, 4, 4, 4});
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "ninth");
  config = Config({16}, {64});
  config[0] = 2;
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "palette");
  config = Config({16}, {64});
  config[5] = 1;
  EXPECT_DEATH(tiles.LoadConfig(config.data()), "reserved");
}

TEST(TileUnitDeath, AnInstructionAgainstTheRulesEndsTheProgram) {
  TileUnit tiles;
  EXPECT_DEATH(tiles.Zero(0), "without a configuration");
  // 0 and 1: sums; 2: what both fit to; 3 to 5: each wrong in one extent.
  tiles.LoadConfig(Config({16, 8, 16, 16, 8, 8}, {64, 64, 32, 16, 64, 32}).data());
  tiles.AddProduct(0, 2, 4);
  EXPECT_DEATH(tiles.AddProduct(1, 2, 4), "differ in rows");
  EXPECT_DEATH(tiles.AddProduct(0, 2, 5), "differ in width");
  EXPECT_DEATH(tiles.AddProduct(0, 3, 4), "fit to each other");
  EXPECT_DEATH(tiles.AddProduct(0, 2, 2), "used twice");
  EXPECT_DEATH(tiles.Zero(6), "leaves out");
  tiles.Release();
  EXPECT_DEATH(tiles.Zero(0), "without a configuration");
}

// Groups of rows against tokens, as a task of matmul has them.
struct Product {
  DType dtype;
  int32_t groups;
  int32_t cols;
  int32_t tokens;
  std::vector<std::byte> weights;
  std::vector<ActBlock> x;
  std::vector<float> bias;
  std::vector<float> y;  // before

  Product(Random& random, DType type, int32_t group_count, int32_t col_count, int32_t token_count)
      : dtype(type), groups(group_count), cols(col_count), tokens(token_count) {
    const int32_t rows = groups * kRowGroup;
    weights = Packed(dtype, rows, cols, RandomRows(random, dtype, rows, cols));
    x = Quantized(random.Normals(int64_t{tokens} * cols), cols);
    bias = random.Normals(rows);
    y = random.Normals(int64_t{tokens} * rows);
  }

  [[nodiscard]] std::vector<float> Run(MatMulGroups multiply, bool with_bias, bool adds) const {
    std::vector<float> out = y;
    MatMulPiece piece{};
    piece.groups = weights.data();
    piece.group_bytes = static_cast<int64_t>(*tensor::RowBytes(dtype, cols)) * kRowGroup;
    piece.group_count = groups;
    piece.cols = cols;
    piece.x = x.data();
    piece.x_stride = cols / kBlock;
    piece.tokens = tokens;
    piece.y = out.data();
    piece.y_stride = groups * kRowGroup;
    piece.bias = with_bias ? bias.data() : nullptr;
    piece.adds = adds;
    piece.scale = 0.75f;
    multiply(piece);
    return out;
  }
};

TEST(EmulatedAmx, APieceHasTheBitsOfTheTableWithoutTiles) {
  if (!RunsEmulatedAmx()) GTEST_SKIP() << "AVX2, or AVX-512 where SIMDe is not used, is needed";
  Random random(2);
  for (const DType dtype : kQuantTypes)
    for (const int32_t groups : {2, 3, 6})
      for (const int32_t tokens : {16, 17, 33, 130, 290})
        for (const auto& [with_bias, adds] :
             {std::pair{false, false}, {true, false}, {false, true}}) {
          const Product product(random, dtype, groups, 256, tokens);
          ExpectSameBits(product.Run(EmulatedAmxRest().matmul_groups(dtype), with_bias, adds),
                         product.Run(FindEmulatedAmxMatMulGroups(dtype), with_bias, adds),
                         std::string(tensor::Name(dtype)) + " " + std::to_string(groups) +
                             " groups x " + std::to_string(tokens) + (with_bias ? " bias" : "") +
                             (adds ? " adds" : ""));
        }
}

TEST(EmulatedAmx, TilesServeManyTokensAloneAndAreReleased) {
  if (!RunsEmulatedAmx()) GTEST_SKIP() << "AVX2, or AVX-512 where SIMDe is not used, is needed";
  Random random(3);
  for (const DType dtype : kQuantTypes) {
    const auto products_of = [&](int32_t groups, int32_t tokens) {
      const int64_t before = GetEmulatedTileUse().products;
      (void)Product(random, dtype, groups, 256, tokens)
          .Run(FindEmulatedAmxMatMulGroups(dtype), false, false);
      EXPECT_FALSE(GetEmulatedTileUse().configured) << tensor::Name(dtype);
      return GetEmulatedTileUse().products - before;
    };
    const bool halves = dtype == DType::kQ2_K || dtype == DType::kQ3_K || dtype == DType::kQ6_K;
    const int64_t a_tile = halves ? 16 : 8;  // 256 columns of 16 rows by 16 tokens
    EXPECT_EQ(products_of(2, 15), 0) << tensor::Name(dtype);
    EXPECT_EQ(products_of(1, 64), 0) << tensor::Name(dtype);
    EXPECT_EQ(products_of(2, 16), a_tile) << tensor::Name(dtype);
    EXPECT_EQ(products_of(5, 47), 4 * a_tile) << tensor::Name(dtype);
  }
}

}  // namespace
}  // namespace mirage::kernels
