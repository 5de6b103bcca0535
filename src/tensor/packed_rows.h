// SPDX-License-Identifier: Apache-2.0
#pragma once

// The packed weight layout: the one in which every CPU kernel reads, on every instruction set.
//
// Rows are taken in groups of 8 (kRowGroup). For each run of columns that makes one block of the
// type (32 or 256, one column for float types), the group stores its 8 blocks field by field, each
// field interleaved over the 8 rows in units of one scalar or of four quant bytes:
//
//   Q4_0 row block {d; qs[16]}  ->  group block {d of rows 0..7; qs[0..3] of rows 0..7; qs[4..7] of
//   rows 0..7; ...}
//
// so that one 32-byte load holds the same four columns of 8 rows. Packing permutes bits and adds
// none: a group takes exactly 8 * RowBytes. Rows past the last whole group stay as the file stores
// them ("plain").
//
// Pure functions of bytes: any thread.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "tensor/dtype.h"

namespace mirage::tensor {

inline constexpr int kRowGroup = 8;

// Whether kernels can read this type at all, and whether a fast path exists for it in the CPU
// tables.
[[nodiscard]] bool IsPackable(DType dtype);
[[nodiscard]] bool HasFastKernel(DType dtype);

// Packs `rows` rows of `cols` columns from the file's layout. Both spans hold rows *
// RowBytes(dtype, cols) bytes and do not overlap.
[[nodiscard]] Status PackRows(DType dtype, int64_t rows, int64_t cols,
                              std::span<const std::byte> src, std::span<std::byte> dst);

// The inverse of PackRows.
[[nodiscard]] Status UnpackRows(DType dtype, int64_t rows, int64_t cols,
                                std::span<const std::byte> src, std::span<std::byte> dst);

}  // namespace mirage::tensor
