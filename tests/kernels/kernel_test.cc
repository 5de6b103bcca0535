// SPDX-License-Identifier: Apache-2.0

#include "tests/kernels/kernel_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_table.h"
#include "kernels/ref/ref_ops.h"
#include "tensor/packed_rows.h"
#if defined(MIRAGE_AMX_EMULATED)
#include "tests/kernels/amx/kernels_amx_emulated.h"
#endif
#if defined(MIRAGE_SIMDE)
#include "tests/kernels/simde/kernels_simde.h"
#endif

namespace mirage::kernels {
namespace {

// Where a block keeps half floats; -1 ends the list.
struct HalfOffsets {
  DType dtype;
  int offsets[3];
};
constexpr HalfOffsets kHalves[] = {
    {DType::kQ4_0, {0, -1}},    {DType::kQ4_1, {0, 2, -1}}, {DType::kQ5_0, {0, -1}},
    {DType::kQ5_1, {0, 2, -1}}, {DType::kQ8_0, {0, -1}},    {DType::kQ2_K, {80, 82, -1}},
    {DType::kQ3_K, {108, -1}},  {DType::kQ4_K, {0, 2, -1}}, {DType::kQ5_K, {0, 2, -1}},
    {DType::kQ6_K, {208, -1}},  {DType::kIQ4_NL, {0, -1}},  {DType::kIQ4_XS, {0, -1}},
    {DType::kMXFP4, {-1}},
};

void StoreRandomFloats(Random& random, DType dtype, std::vector<std::byte>& rows) {
  const size_t unit = dtype == DType::kF32 ? 4 : 2;
  for (size_t i = 0; i < rows.size(); i += unit) {
    const float value = random.Normal();
    const uint16_t half = dtype == DType::kF16 ? FloatToHalf(value) : FloatToBf16(value);
    if (dtype == DType::kF32)
      std::memcpy(&rows[i], &value, 4);
    else
      std::memcpy(&rows[i], &half, 2);
  }
}

#if defined(MIRAGE_AMX_EMULATED)
const CpuKernels kAmxEmulatedKernels = WithTiles(EmulatedAmxRest(), FindEmulatedAmxMatMulGroups);
#endif

}  // namespace

std::vector<const Ops*> TestedOps() {
  std::vector<const Ops*> tested(RunnableOps().begin(), RunnableOps().end());
#if defined(MIRAGE_SIMDE)
  static constexpr Ops kSimdeOps = MakeOps<kSimdeKernels>("avx512vnni_simde");
  if (std::string(CpuOps().name) != "generic") tested.push_back(&kSimdeOps);
#endif
#if defined(MIRAGE_AMX_EMULATED)
  static constexpr Ops kAmxEmulatedOps = MakeOps<kAmxEmulatedKernels>("amx_emulated");
  if (RunsEmulatedAmx()) tested.push_back(&kAmxEmulatedOps);
#endif
  return tested;
}

bool RunsEmulatedAmx() {
#if defined(MIRAGE_SIMDE)
  return std::string(CpuOps().name) != "generic";
#else
  return std::any_of(RunnableOps().begin(), RunnableOps().end(),
                     [](const Ops* ops) { return std::string(ops->name) == "avx512vnni"; });
#endif
}

int64_t Random::Int(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(engine_);
}

float Random::Normal() { return std::normal_distribution<float>()(engine_); }

std::vector<float> Random::Normals(int64_t count, float scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = scale * Normal();
  return values;
}

std::vector<std::byte> RandomRows(Random& random, DType dtype, int64_t rows, int64_t cols) {
  const uint64_t bytes = *tensor::RowBytes(dtype, cols) * static_cast<uint64_t>(rows);
  std::vector<std::byte> out(bytes);
  if (!ReadsQuantized(dtype)) {
    StoreRandomFloats(random, dtype, out);
    return out;
  }
  for (std::byte& byte : out) byte = static_cast<std::byte>(random.Int(0, 255));
  const uint64_t block_bytes = tensor::Info(dtype).block_bytes;
  for (uint64_t block = 0; block < bytes; block += block_bytes) {
    if (dtype == DType::kMXFP4) out[block] = static_cast<std::byte>(random.Int(118, 128));
    for (const HalfOffsets& halves : kHalves) {
      if (halves.dtype != dtype) continue;
      for (const int* offset = halves.offsets; *offset >= 0; ++offset) {
        const uint16_t half = FloatToHalf(0.02f * random.Normal());
        std::memcpy(&out[block + static_cast<uint64_t>(*offset)], &half, 2);
      }
    }
  }
  return out;
}

std::vector<std::byte> Packed(DType dtype, int64_t rows, int64_t cols,
                              const std::vector<std::byte>& plain) {
  std::vector<std::byte> packed(plain.size());
  EXPECT_TRUE(tensor::PackRows(dtype, rows, cols, plain, packed));
  return packed;
}

std::vector<ActBlock> Quantized(const std::vector<float>& x, int64_t cols) {
  std::vector<ActBlock> blocks(x.size() / kBlock);
  Machine machine(1);
  EXPECT_TRUE(RefOps().quantize(
      *machine.stream,
      {x.data(), blocks.data(), static_cast<int32_t>(x.size() / static_cast<size_t>(cols)),
       static_cast<int32_t>(cols)}));
  return blocks;
}

void ExpectSameBits(const std::vector<float>& expected, const std::vector<float>& actual,
                    const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(expected[i]), std::bit_cast<uint32_t>(actual[i]))
        << what << ": element " << i << " is " << actual[i] << ", expected " << expected[i];
  }
}

void ExpectNear(const std::vector<float>& expected, const std::vector<float>& actual,
                float tolerance, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_LE(std::fabs(expected[i] - actual[i]), tolerance)
        << what << ": element " << i << " is " << actual[i] << ", expected " << expected[i];
}

}  // namespace mirage::kernels
