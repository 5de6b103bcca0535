// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/check.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/vector_math.h"
#include "platform/stream.h"

namespace mirage::kernels::ref {
namespace {

void RouteRow(const RouteArgs& args, int64_t row) {
  const float* logits = args.logits + row * args.experts;
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t e = 0; e < args.experts; ++e)
    if (logits[e] > largest) largest = logits[e];
  float sum = 0.0f;
  for (int32_t e = 0; e < args.experts; ++e) sum += Exp<ScalarFma>(logits[e] - largest);

  std::vector<bool> taken(static_cast<size_t>(args.experts), false);
  float chosen_sum = 0.0f;
  for (int64_t i = row * args.used; i < (row + 1) * args.used; ++i) {
    auto best = static_cast<int32_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
    for (int32_t e = best + 1; e < args.experts; ++e)
      if (!taken[static_cast<size_t>(e)] && logits[e] > logits[best]) best = e;
    taken[static_cast<size_t>(best)] = true;
    args.chosen[i] = best;
    args.weights[i] = Exp<ScalarFma>(logits[best] - largest) / sum;
    chosen_sum += args.weights[i];
  }
  if (!args.normalize) return;
  for (int64_t i = row * args.used; i < (row + 1) * args.used; ++i) args.weights[i] /= chosen_sum;
}

}  // namespace

Status Route(Stream& stream, const RouteArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    for (int64_t row = 0; row < args.rows; ++row) RouteRow(args, row);
  });
  return {};
}

Status GatherRows(Stream& stream, const GatherRowsArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    const int64_t blocks = args.cols / kBlock;
    for (int64_t i = 0; i < args.count; ++i) {
      if (args.x.f32 != nullptr)
        std::copy_n(args.x.f32 + int64_t{args.rows[i]} * args.cols, args.cols,
                    args.y + i * args.cols);
      if (args.x.q8 != nullptr)
        std::copy_n(args.x.q8 + args.rows[i] * blocks, blocks, args.q + i * blocks);
    }
  });
  return {};
}

Status AddRows(Stream& stream, const AddRowsArgs& args) {
  static_cast<platform::HostStream&>(stream).Run([args] {
    for (int64_t i = 0; i < args.count; ++i)
      for (int32_t c = 0; c < args.cols; ++c) {
        float& y = args.y[int64_t{args.rows[i]} * args.cols + c];
        y = std::fma(args.scales[i], args.x[i * args.cols + c], y);
      }
  });
  return {};
}

}  // namespace mirage::kernels::ref
