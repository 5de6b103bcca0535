// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <span>

#include "kernels/cpu/op_table.h"
#include "platform/thread_pool.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

// Multiplications of one task: with fewer, waking another thread costs more than it saves.
constexpr int64_t kTaskWork = int64_t{1} << 15;
// Tokens that go through all rows before the next ones do, so that what they read stays near.
constexpr int32_t kPanelTokens = 32;

// One of the two products of an update.
struct Product {
  DType dtype;
  const std::byte* weights;  // packed [rows, cols]
  int32_t rows;
  int32_t cols;
  const float* x;  // [tokens, cols], x_stride apart
  int64_t x_stride;
  float* y;  // [tokens, rows], y_stride apart
  int64_t y_stride;
  bool adds;
  float scale;

  // Those past the last whole group count as one.
  [[nodiscard]] int64_t groups() const { return (rows + kRowGroup - 1) / kRowGroup; }
};

// Groups [begin, end) of a product's rows against tokens [token, token + tokens).
void Multiply(const CpuKernels& kernels, const Product& product, int64_t begin, int64_t end,
              int32_t token, int32_t tokens) {
  const auto row_bytes = static_cast<int64_t>(*tensor::RowBytes(product.dtype, product.cols));
  const int64_t whole = product.rows / kRowGroup;
  MatMulPiece piece{};
  piece.cols = product.cols;
  piece.x = product.x + token * product.x_stride;
  piece.x_stride = product.x_stride;
  piece.tokens = tokens;
  piece.y_stride = product.y_stride;
  piece.adds = product.adds;
  piece.scale = product.scale;
  const auto aim_at_group = [&](int64_t group) {
    piece.groups = product.weights + group * kRowGroup * row_bytes;
    piece.y = product.y + token * product.y_stride + group * kRowGroup;
  };
  if (begin < std::min(end, whole)) {
    aim_at_group(begin);
    piece.group_bytes = row_bytes * kRowGroup;
    piece.group_count = static_cast<int32_t>(std::min(end, whole) - begin);
    kernels.matmul_groups(product.dtype)(piece);
  }
  if (end > whole) {
    aim_at_group(whole);
    piece.group_bytes = row_bytes;
    piece.group_count = product.rows % kRowGroup;
    kernels.matmul_plain_rows(product.dtype, piece);
  }
}

// All products against all tokens. The work is cut anywhere between row groups and panels of
// tokens: who computes a value does not change it.
void MultiplyAll(const CpuKernels& kernels, platform::ThreadPool& pool,
                 std::span<const Product> products, int32_t tokens) {
  int64_t groups = 0;
  int64_t work = 0;
  for (const Product& product : products) {
    groups += product.groups();
    work += int64_t{product.rows} * product.cols * tokens;
  }
  const int64_t panels = (tokens + kPanelTokens - 1) / kPanelTokens;
  const int64_t items = panels * groups;
  const int64_t tasks = std::clamp<int64_t>(
      work / kTaskWork, 1, std::min(items, int64_t{pool.threads()} * pool.cut().tasks_per_thread));
  pool.ParallelFor(tasks, [&](int64_t task, int /*thread*/) {
    const int64_t end = (task + 1) * items / tasks;
    for (int64_t item = task * items / tasks; item < end;) {
      const auto token = static_cast<int32_t>(item / groups) * kPanelTokens;
      int64_t begin = item % groups;
      const Product* product = products.data();
      while (begin >= product->groups()) begin -= (product++)->groups();
      const int64_t count = std::min(product->groups() - begin, end - item);
      Multiply(kernels, *product, begin, begin + count, token,
               std::min(kPanelTokens, tokens - token));
      item += count;
    }
  });
}

}  // namespace

void RunLowRank(const CpuKernels& kernels, platform::ThreadPool& pool, const LowRankArgs& args) {
  if (args.tokens <= 0 || args.output_count == 0) return;
  Product down[kMaxOutputs];
  Product up[kMaxOutputs];
  const int64_t t_stride = LowRankScratchCols(args);
  float* t = args.t;
  for (int32_t i = 0; i < args.output_count; ++i) {
    const LowRankOutput& output = args.outputs[i];
    const int32_t padded = (output.rank + kRowGroup - 1) / kRowGroup * kRowGroup;
    down[i] = {output.a_type, output.a, padded,   args.cols, args.x,
               args.cols,     t,        t_stride, false,     1.0f};
    up[i] = {output.b_type, output.b, output.rows,     output.rank, t,
             t_stride,      output.y, output.y_stride, true,        output.scale};
    t += padded;
  }
  const auto count = static_cast<size_t>(args.output_count);
  MultiplyAll(kernels, pool, std::span(down).first(count), args.tokens);
  MultiplyAll(kernels, pool, std::span(up).first(count), args.tokens);
}

}  // namespace mirage::kernels
