// SPDX-License-Identifier: Apache-2.0
#pragma once

// DType: how a tensor's elements are encoded, by the numbers GGUF files use.
//
// A *block* is the smallest run of elements encoded together: 1 for plain types, 32 to 256 for
// quantized ones. A row is a whole number of blocks, rows follow each other without padding. A type
// is *supported* when DequantizeRow decodes it; the other rows of the table let a reader measure
// tensors and name them.
//
// Everything here is constant: any thread.

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mirage::tensor {

enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct DTypeInfo {
  DType dtype;
  const char* name;
  uint32_t block_elements;
  uint32_t block_bytes;
  bool supported;
};

inline constexpr DTypeInfo kDTypes[] = {
    {DType::kF32, "F32", 1, 4, true},
    {DType::kF16, "F16", 1, 2, true},
    {DType::kQ4_0, "Q4_0", 32, 18, true},
    {DType::kQ4_1, "Q4_1", 32, 20, true},
    {DType::kQ5_0, "Q5_0", 32, 22, true},
    {DType::kQ5_1, "Q5_1", 32, 24, true},
    {DType::kQ8_0, "Q8_0", 32, 34, true},
    {DType::kQ8_1, "Q8_1", 32, 36, false},
    {DType::kQ2_K, "Q2_K", 256, 84, true},
    {DType::kQ3_K, "Q3_K", 256, 110, true},
    {DType::kQ4_K, "Q4_K", 256, 144, true},
    {DType::kQ5_K, "Q5_K", 256, 176, true},
    {DType::kQ6_K, "Q6_K", 256, 210, true},
    {DType::kQ8_K, "Q8_K", 256, 292, false},
    {DType::kIQ2_XXS, "IQ2_XXS", 256, 66, false},
    {DType::kIQ2_XS, "IQ2_XS", 256, 74, false},
    {DType::kIQ3_XXS, "IQ3_XXS", 256, 98, false},
    {DType::kIQ1_S, "IQ1_S", 256, 50, false},
    {DType::kIQ4_NL, "IQ4_NL", 32, 18, true},
    {DType::kIQ3_S, "IQ3_S", 256, 110, false},
    {DType::kIQ2_S, "IQ2_S", 256, 82, false},
    {DType::kIQ4_XS, "IQ4_XS", 256, 136, true},
    {DType::kI8, "I8", 1, 1, false},
    {DType::kI16, "I16", 1, 2, false},
    {DType::kI32, "I32", 1, 4, false},
    {DType::kI64, "I64", 1, 8, false},
    {DType::kF64, "F64", 1, 8, false},
    {DType::kIQ1_M, "IQ1_M", 256, 56, false},
    {DType::kBF16, "BF16", 1, 2, true},
    {DType::kTQ1_0, "TQ1_0", 256, 54, false},
    {DType::kTQ2_0, "TQ2_0", 256, 66, false},
    {DType::kMXFP4, "MXFP4", 32, 17, true},
    {DType::kNVFP4, "NVFP4", 64, 36, false},
    {DType::kQ1_0, "Q1_0", 128, 18, false},
    {DType::kQ2_0, "Q2_0", 64, 18, false},
};

// The row of a type id found in a file; nullptr for ids that are unknown or removed.
[[nodiscard]] const DTypeInfo* FindDType(uint32_t ggml_id);

// The name a type had before it was removed from the format ("Q4_2"); nullptr for any other id.
[[nodiscard]] const char* FindRemovedDType(uint32_t ggml_id);

// The row of a type. Every enumerator has one.
[[nodiscard]] const DTypeInfo& Info(DType dtype);
[[nodiscard]] inline std::string_view Name(DType dtype) { return Info(dtype).name; }

// True for types whose block holds several elements.
[[nodiscard]] inline bool IsQuantized(DType dtype) { return Info(dtype).block_elements > 1; }

// Bytes of one row. Fails with kCorrupt when `cols` is not a positive number of whole blocks or the
// product does not fit.
[[nodiscard]] Result<uint64_t> RowBytes(DType dtype, int64_t cols);

}  // namespace mirage::tensor
