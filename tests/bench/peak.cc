// SPDX-License-Identifier: Apache-2.0

#include "tests/bench/peak.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mirage::bench {
namespace {

// With one thread its CPU time, on which the load of a shared machine weighs less.
double Seconds(const platform::ThreadPool& pool) {
  timespec now{};
  clock_gettime(pool.threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Work a second of body(thread), which does `work`, on every thread of the pool: the best of
// several runs.
template <typename Body>
double BestRate(platform::ThreadPool& pool, double work, Body body) {
  double best = 0;
  for (int run = 0; run < 7; ++run) {
    const double start = Seconds(pool);
    pool.ParallelFor(pool.threads(), [&](int64_t task, int) { body(task); });
    best = std::max(best, work * pool.threads() / (Seconds(pool) - start));
  }
  return best;
}

constexpr int64_t kRounds = 500'000;
// Every loop over the sums is unrolled, so that the compiler keeps them in registers.
constexpr int kChains = 12;
volatile uint64_t sink;
volatile char opaque = 3;  // keeps the loops from being computed at compile time

#if defined(__x86_64__)

__attribute__((target("avx512f,avx512vnni"))) void Vnni512() {
  __m512i sums[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_epi32(c);
  const __m512i a = _mm512_set1_epi8(opaque);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_dpbusd_epi32(sums[c], a, a);
  }
#pragma GCC unroll 12
  for (auto& sum : sums) sink = sink + static_cast<uint64_t>(_mm512_reduce_add_epi32(sum));
}

// Products that are added up, as a kernel's are: the sums depend on one another, the products do
// not. In assembly, so that the compiler neither leaves out what is the same each time nor copies
// registers.
constexpr int kSums256 = 8;
__attribute__((target("avx2"))) void Unsigned256() {
  __m256i sums[kSums256] = {};
  const __m256i a = _mm256_set1_epi8(opaque);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 8
    for (__m256i& sum : sums) {
      __m256i product;
      asm volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0"
                   : "+x"(sum), "=&x"(product)
                   : "x"(a));
    }
  }
#pragma GCC unroll 8
  for (auto& sum : sums) sink = sink + static_cast<uint64_t>(_mm256_extract_epi32(sum, 0));
}

// The weight's sign has to move to the other factor, and a sum of two products fills 16 bits.
__attribute__((target("avx2"))) void Signed256() {
  __m256i sums[kSums256] = {};
  const __m256i a = _mm256_set1_epi8(opaque);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 8
    for (__m256i& sum : sums) {
      __m256i product;
      asm volatile(
          "vpsignb %2, %2, %1\n\tvpmaddubsw %1, %2, %1\n\tvpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(sum), "=&x"(product)
          : "x"(a), "x"(ones));
    }
  }
#pragma GCC unroll 8
  for (auto& sum : sums) sink = sink + static_cast<uint64_t>(_mm256_extract_epi32(sum, 0));
}

__attribute__((target("avx512f"))) void Fma512() {
  __m512 sums[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_ps(static_cast<float>(c));
  const __m512 a = _mm512_set1_ps(0.1f * static_cast<float>(opaque));
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_fmadd_ps(a, sums[c], a);
  }
#pragma GCC unroll 12
  for (auto& sum : sums) sink = sink + static_cast<uint64_t>(_mm512_reduce_add_ps(sum));
}

__attribute__((target("avx2,fma"))) void Fma256() {
  __m256 sums[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sums[c] = _mm256_set1_ps(static_cast<float>(c));
  const __m256 a = _mm256_set1_ps(0.1f * static_cast<float>(opaque));
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = _mm256_fmadd_ps(a, sums[c], a);
  }
#pragma GCC unroll 12
  for (auto& sum : sums) sink = sink + static_cast<uint64_t>(_mm256_cvtss_f32(sum));
}

#endif

}  // namespace

double ReadBandwidth(platform::ThreadPool& pool) {
  constexpr size_t kWords = size_t{16} << 20;  // 128 MiB a thread
  std::vector<std::vector<uint64_t>> buffers(static_cast<size_t>(pool.threads()));
  for (auto& buffer : buffers) buffer.assign(kWords, 1);
  return BestRate(pool, double{kWords} * 8, [&](int64_t task) {
    const uint64_t* p = buffers[static_cast<size_t>(task)].data();
    uint64_t sums[16] = {};
    for (size_t i = 0; i < kWords; i += 16)
      for (size_t lane = 0; lane < 16; ++lane) sums[lane] += p[i + lane];
    for (const uint64_t sum : sums) sink = sink + sum;
  });
}

double MultiplyAddPeak(platform::ThreadPool& pool, std::string_view table, Product product) {
#if defined(__x86_64__)
  const bool is_float = product == Product::kFloat;
  if (table == "avx512vnni") {
    if (is_float) return BestRate(pool, double{kRounds} * kChains * 16, [](int64_t) { Fma512(); });
    return BestRate(pool, double{kRounds} * kChains * 64, [](int64_t) { Vnni512(); });
  }
  if (table == "avx2") {
    if (is_float) return BestRate(pool, double{kRounds} * kChains * 8, [](int64_t) { Fma256(); });
    return BestRate(pool, double{kRounds} * kSums256 * 32, [product](int64_t) {
      if (product == Product::kSigned)
        Signed256();
      else
        Unsigned256();
    });
  }
#endif
  return 0;
}

}  // namespace mirage::bench
