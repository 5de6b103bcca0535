// SPDX-License-Identifier: Apache-2.0
#pragma once

// What kernel tests share: random data that no type or op can mistake, packed weights, a pool and a
// stream.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kernels/ops.h"
#include "platform/host_stream.h"
#include "platform/thread_pool.h"

namespace mirage::kernels {

inline constexpr DType kQuantTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                                        DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                                        DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
                                        DType::kMXFP4};
inline constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// Every table that can be tested here: those the machine runs, AVX-512 over SIMDe, and AMX with
// its tiles emulated, over SIMDe or on AVX-512.
[[nodiscard]] std::vector<const Ops*> TestedOps();
[[nodiscard]] bool RunsEmulatedAmx();

// Whether a table promises the reference's bits: all that have a fused multiply-add.
[[nodiscard]] inline bool IsExact(const Ops& ops) { return std::string(ops.name) != "generic"; }

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  [[nodiscard]] int64_t Int(int64_t low, int64_t high);  // both included
  [[nodiscard]] float Normal();
  [[nodiscard]] std::vector<float> Normals(int64_t count, float scale = 1.0f);

 private:
  std::mt19937_64 engine_;
};

// Rows as a file stores them: random bits everywhere but in the floats of a block, which are small
// numbers.
[[nodiscard]] std::vector<std::byte> RandomRows(Random& random, DType dtype, int64_t rows,
                                                int64_t cols);
[[nodiscard]] std::vector<std::byte> Packed(DType dtype, int64_t rows, int64_t cols,
                                            const std::vector<std::byte>& plain);

// A pool and a stream that runs work at once.
struct Machine {
  explicit Machine(int threads, platform::TaskCut cut = {})
      : pool(threads, cut), stream(platform::MakeInlineStream(pool, clock)) {}
  platform::ThreadPool pool;
  SteadyClock clock;
  std::unique_ptr<platform::HostStream> stream;
};

// The ActBlocks of rows of floats, by the reference.
[[nodiscard]] std::vector<ActBlock> Quantized(const std::vector<float>& x, int64_t cols);

// Fails the test at the first element that differs in its bits; `what` says where.
void ExpectSameBits(const std::vector<float>& expected, const std::vector<float>& actual,
                    const std::string& what);
// Or by more than `tolerance`.
void ExpectNear(const std::vector<float>& expected, const std::vector<float>& actual,
                float tolerance, const std::string& what);

}  // namespace mirage::kernels
