// SPDX-License-Identifier: Apache-2.0
// No region is empty or larger than the bound, every row is in exactly one, whatever the shapes.

#include "model/region_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "model/arch/architectures.h"
#include "model/row_cuts.h"
#include "tests/model/test_host.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

void CheckCuts(const std::vector<MatrixRows>& matrices, uint64_t most_bytes) {
  const std::vector<RowEnds> cuts = CutRows(matrices, most_bytes);
  ASSERT_FALSE(cuts.empty());
  uint64_t row_of_each = 0;
  uint64_t total = 0;
  for (const MatrixRows& matrix : matrices) {
    row_of_each = RoundUp(row_of_each, kPieceAlignment) + matrix.row_bytes;
    total += matrix.row_bytes * static_cast<uint64_t>(matrix.rows);
  }
  RowEnds begins{};
  for (const RowEnds& ends : cuts) {
    uint64_t bytes = 0;
    int64_t rows = 0;
    for (size_t i = 0; i < matrices.size(); ++i) {
      ASSERT_GE(ends[i], begins[i]);
      rows += ends[i] - begins[i];
      bytes = RoundUp(bytes, kPieceAlignment) +
              static_cast<uint64_t>(ends[i] - begins[i]) * matrices[i].row_bytes;
    }
    EXPECT_GT(rows, 0) << "an empty region";
    EXPECT_LE(bytes, std::max(most_bytes, row_of_each))
        << matrices.size() << " matrices of " << matrices[0].rows << " rows of "
        << matrices[0].row_bytes << " bytes";
    begins = ends;
  }
  for (size_t i = 0; i < matrices.size(); ++i) EXPECT_EQ(begins[i], matrices[i].rows);
  // Not many more than needed: each but few is at least a third full.
  if (row_of_each * 3 < most_bytes) {
    EXPECT_LE(cuts.size(), 3 * (total / most_bytes + 1));
  }
}

TEST(CutRows, OfAnyShapeKeepTheBoundAndNoneIsEmpty) {
  constexpr uint64_t kMost = 1 << 20;
  for (const int64_t rows : {1, 7, 8, 31, 32, 33, 63, 64, 65, 95, 97, 1000, 5003, 128256}) {
    for (const uint64_t row_bytes :
         {uint64_t{18}, uint64_t{34}, uint64_t{1088}, uint64_t{4096}, uint64_t{21845},
          uint64_t{32769}, uint64_t{131071}, uint64_t{131073}, kMost / 3, kMost / 2 + 1, kMost - 1,
          kMost}) {
      if (static_cast<uint64_t>(rows) * row_bytes > uint64_t{1} << 31) continue;
      CheckCuts({{rows, row_bytes}}, kMost);
      CheckCuts({{rows, row_bytes}, {rows, row_bytes}}, kMost);
      CheckCuts(
          {{rows, row_bytes}, {std::max<int64_t>(1, rows / 3), row_bytes / 2 + 1}, {1, row_bytes}},
          kMost);
    }
  }
}

TEST(CutRows, StayAtRowsThatKernelsTakeTogetherWhereTheyCan) {
  for (const RowEnds& ends :
       CutRows(std::vector<MatrixRows>{{4096, 4352}, {1024, 4352}}, 1 << 20)) {
    EXPECT_EQ(ends[0] % 32, 0);
    EXPECT_EQ(ends[1] % 32, 0);
  }
  const std::vector<RowEnds> cuts = CutRows(std::vector<MatrixRows>{{63, 40000}}, 1 << 20);
  for (size_t i = 0; i + 1 < cuts.size(); ++i) EXPECT_EQ(cuts[i][0] % 8, 0);
}

struct Shape {
  const char* name;
  tensor::DType dtype;
  uint32_t embedding;
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_dim;
  uint32_t ffn;
  uint32_t vocabulary;
};

class LayoutOf : public testing::TestWithParam<Shape> {};

// Long rows and odd numbers of them, as whole models that are laid out and run.
TEST_P(LayoutOf, KeepsTheBoundAndChangesNoLogits) {
  const Shape& shape = GetParam();
  TinyModel tiny;
  tiny.layers = 1;
  tiny.dtype = shape.dtype;
  tiny.embedding = shape.embedding;
  tiny.heads = shape.heads;
  tiny.kv_heads = shape.kv_heads;
  tiny.head_dim = shape.head_dim;
  tiny.ffn = shape.ffn;
  tiny.vocabulary = shape.vocabulary;
  const std::vector<std::byte> file = tiny.Build();
  const format::ModelFile opened = OpenBytes(file).value();
  const Description description = Describe(opened, 64).value();
  const ModelLayout layout = MakeLayout(opened, description.map, 0).value();
  uint64_t model_bytes = 0;
  for (const format::TensorInfo& tensor : opened.tensors()) model_bytes += tensor.extent.bytes;
  const uint64_t most = memory::MaxRegionBytes(model_bytes);

  std::map<std::pair<int32_t, int64_t>, int64_t> rows_of;  // tensor and its first row: rows
  for (const Region& region : layout.regions) {
    EXPECT_GT(region.info.bytes, 0u);
    EXPECT_LE(region.info.bytes, most);
    for (const Piece& piece : region.pieces)
      if (piece.source.rows > 0)
        rows_of[{piece.source.tensor, piece.source.row0}] += piece.source.rows;
  }
  const auto expect_whole = [&](const TensorSlice& slice) {
    int64_t next = slice.row0;
    while (next < slice.row0 + slice.rows) {
      const auto found = rows_of.find({slice.tensor, next});
      ASSERT_NE(found, rows_of.end()) << "row " << next << " is in no region";
      next += found->second;
    }
    EXPECT_EQ(next, slice.row0 + slice.rows);
  };
  expect_whole(description.map.head);
  for (size_t m = 0; m < static_cast<size_t>(Matrix::kCount); ++m)
    expect_whole(description.map.layers[0][static_cast<Matrix>(m)]);

  // Streamed and resident, the cuts are of no consequence.
  const std::vector<int32_t> tokens = {1, 2, 3, 32, 0};
  LoadOptions options;
  options.plan.context = 64;
  TestHost host;
  auto model = Model::Load(host.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<float> want = RunInChunks(**model, tokens, 1).value();
  const uint64_t least = (*model)->plan().least_bytes;
  TestHost small({.limit_bytes = least});
  auto streamed = Model::Load(small.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(streamed) << streamed.error().message;
  EXPECT_EQ(RunInChunks(**streamed, tokens, 3).value().back(), want.back());
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LayoutOf,
    testing::Values(Shape{"f32_33", tensor::DType::kF32, 4096, 3, 1, 32, 95, 33},
                    Shape{"f16_63", tensor::DType::kF16, 8192, 3, 1, 32, 63, 63},
                    Shape{"q8_0_95", tensor::DType::kQ8_0, 16384, 1, 1, 32, 96, 95},
                    Shape{"q4_0_97", tensor::DType::kQ4_0, 16384, 3, 3, 32, 160, 97}),
    [](const auto& shape) { return shape.param.name; });

}  // namespace
}  // namespace mirage::model
