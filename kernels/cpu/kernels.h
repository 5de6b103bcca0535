// SPDX-License-Identifier: Apache-2.0
#pragma once

// CpuKernels: what one instruction set provides. Each function is a leaf: it computes a piece of an
// op on the calling thread. The ops themselves (checks, cutting the work into pieces, the pool) are
// written once over this table in kernels/cpu/ops.cc and its neighbours.
//
// Files that fill a table are compiled for their instruction set, so they define nothing with
// external linkage but the table: an inline function of theirs, picked by the linker for everyone,
// would end other machines with SIGILL.

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace mirage::kernels {

// Some row groups of a weight times some rows of activations.
struct MatMulPiece {
  const std::byte* groups;  // packed, group_bytes apart
  int64_t group_bytes;
  int32_t group_count;
  int32_t cols;
  const void* x;     // ActBlock or float, by the type of the weight
  int64_t x_stride;  // elements of that type from one token to the next
  int32_t tokens;
  float* y;  // element (token, row of these groups) at y[token * y_stride + row]
  int64_t y_stride;
  const float* bias;  // of the first row, or nullptr
  bool adds;          // y += scale * (x times the rows), without a bias, instead of y =
  float scale;
};
using MatMulGroups = void (*)(const MatMulPiece&);

// Rows past a segment's last group, as the file stores them. `groups` points to the first row,
// group_bytes is the bytes of one row, group_count the number of rows.
using MatMulPlainRows = void (*)(DType, const MatMulPiece&);

// Query rows of one sequence against one kv head, over some splits. Query row r is head
// kv_head * G + r % G of the sequence's token r / G, where G = heads / kv_heads.
struct AttentionPiece {
  const AttentionArgs* args;
  const SequenceView* sequence;
  int32_t kv_head;
  int32_t row_begin;
  int32_t row_end;
  int64_t split_begin;
  int64_t split_end;
  // nullptr: merges the splits and writes y. Otherwise each (row, split) leaves {max, sum,
  // out[head_dim]} at partials + ((row - row_begin) * partial_splits + split - split_begin) *
  // (head_dim + 2), with sum 0 where every key of the split is masked.
  float* partials;
  int64_t partial_splits;
};

struct CpuKernels {
  void (*quantize)(const float* x, ActBlock* y, int64_t blocks);
  void (*rms_norm)(const RmsNormArgs&, int64_t row_begin, int64_t row_end);
  void (*add)(const float* x, float* y, int64_t n);
  void (*add_scaled)(const float* x, float scale, float* y, int64_t n);  // y += scale * x
  // Columns [col_begin, col_end) of one row; both are multiples of 32 where q is written.
  void (*gated)(const GatedArgs&, int64_t row, int32_t col_begin, int32_t col_end);
  void (*softcap)(float* x, int64_t n, float cap);
  void (*rope)(const RopeArgs&, int64_t token_begin, int64_t token_end);
  void (*kv_write)(const KvWriteArgs&, const SequenceView&, int32_t token_begin, int32_t token_end);

  MatMulGroups (*matmul_groups)(DType);  // nullptr for a type without a kernel
  int32_t matmul_token_step;  // the tokens that one of them goes through fastest are a multiple
  MatMulPlainRows matmul_plain_rows;

  int32_t (*attention_rows)(int32_t head_dim);  // the most query rows of one piece
  void (*attention)(const AttentionPiece&);
  void (*attention_merge)(const AttentionPiece&);  // of a piece whose partials are complete
};

// A table with AMX's products of many tokens, which go through tiles of 16.
[[nodiscard, gnu::always_inline]] constexpr CpuKernels WithTiles(
    CpuKernels kernels, MatMulGroups (*matmul_groups)(DType)) {
  kernels.matmul_groups = matmul_groups;
  kernels.matmul_token_step = 16;
  return kernels;
}

}  // namespace mirage::kernels
