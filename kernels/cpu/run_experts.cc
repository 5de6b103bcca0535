// SPDX-License-Identifier: Apache-2.0

// What is around the products of a mixture of experts. Choosing is a few steps of scalar
// arithmetic per row, the same on every instruction set.

#include <algorithm>
#include <limits>

#include "kernels/cpu/in_parallel.h"
#include "kernels/cpu/op_table.h"
#include "kernels/vector_math.h"

namespace mirage::kernels {
namespace {

// The expert to choose next; the first one left where no logit is larger, be they no numbers.
int32_t BestLeft(const RouteArgs& args, const float* logits, const int32_t* taken,
                 int32_t taken_count) {
  int32_t best = -1;
  for (int32_t e = 0; e < args.experts; ++e) {
    if (best >= 0 && !(logits[e] > logits[best])) continue;
    if (std::find(taken, taken + taken_count, e) != taken + taken_count) continue;
    best = e;
  }
  return best;
}

void RouteRow(const RouteArgs& args, int64_t row) {
  const float* logits = args.logits + row * args.experts;
  int32_t* chosen = args.chosen + row * args.used;
  float* weights = args.weights + row * args.used;
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t e = 0; e < args.experts; ++e)
    if (logits[e] > largest) largest = logits[e];
  float sum = 0.0f;
  for (int32_t e = 0; e < args.experts; ++e) sum += Exp<ScalarFma>(logits[e] - largest);

  float chosen_sum = 0.0f;
  for (int32_t i = 0; i < args.used; ++i) {
    chosen[i] = BestLeft(args, logits, chosen, i);
    weights[i] = Exp<ScalarFma>(logits[chosen[i]] - largest) / sum;
    chosen_sum += weights[i];
  }
  if (!args.normalize) return;
  for (int32_t i = 0; i < args.used; ++i) weights[i] /= chosen_sum;
}

}  // namespace

void RunRoute(const CpuKernels& /*kernels*/, platform::ThreadPool& pool, const RouteArgs& args) {
  constexpr int64_t kExpCost = 8;  // an exponential and the comparisons, in plain values
  InParallel(pool, args.rows, args.experts * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) RouteRow(args, row);
  });
}

void RunGatherRows(const CpuKernels& /*kernels*/, platform::ThreadPool& pool,
                   const GatherRowsArgs& args) {
  const int64_t blocks = args.cols / kBlock;
  InParallel(pool, args.count, args.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = args.rows[i];
      if (args.x.f32 != nullptr)
        std::copy_n(args.x.f32 + row * args.cols, args.cols, args.y + i * args.cols);
      if (args.x.q8 != nullptr) std::copy_n(args.x.q8 + row * blocks, blocks, args.q + i * blocks);
    }
  });
}

// Cut by columns, so that each sum is one task's.
void RunAddRows(const CpuKernels& kernels, platform::ThreadPool& pool, const AddRowsArgs& args) {
  constexpr int32_t kCut = 64;
  const int64_t cuts = (args.cols + kCut - 1) / kCut;
  InParallel(pool, cuts, int64_t{args.count} * kCut, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kCut;
    const int64_t cols = std::min<int64_t>(end * kCut, args.cols) - first;
    for (int64_t i = 0; i < args.count; ++i)
      kernels.add_scaled(args.x + i * args.cols + first, args.scales[i],
                         args.y + int64_t{args.rows[i]} * args.cols + first, cols);
  });
}

}  // namespace mirage::kernels
