// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/half.h"
#include "kernels/check.h"
#include "kernels/kv_page.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/vector_math.h"
#include "platform/stream.h"

namespace mirage::kernels::ref {
namespace {

// The softmax of some keys, before division by the sum.
struct Partial {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
  std::vector<float> out;  // [head_dim]
};

float Score(const AttentionArgs& args, const SequenceView& sequence, const float* q,
            int32_t kv_head, int64_t t) {
  const uint16_t* k = PageK(args.layer, PageOf(args.layer, sequence, t), kv_head);
  float dot = 0.0f;
  for (int32_t i = 0; i < args.layer.head_dim; ++i)
    dot = std::fma(q[i], HalfToFloat(k[i * kPageTokens + t % kPageTokens]), dot);
  const float score = args.scale * dot;
  return args.softcap > 0.0f ? Softcap<ScalarFma>(score, args.softcap) : score;
}

// Keys at positions [begin, end), all of one split.
Partial AttendSplit(const AttentionArgs& args, const SequenceView& sequence, const float* q,
                    int32_t kv_head, int64_t begin, int64_t end) {
  Partial partial;
  std::vector<float> weights;
  for (int64_t t = begin; t < end; ++t) {
    weights.push_back(Score(args, sequence, q, kv_head, t));
    partial.max = std::max(partial.max, weights.back());
  }
  float lanes[kSumLanes] = {};
  for (int64_t t = begin; t < end; ++t) {
    float& weight = weights[static_cast<size_t>(t - begin)];
    weight = Exp<ScalarFma>(weight - partial.max);
    lanes[t % kSumLanes] += weight;
  }
  partial.sum = SumLanes(lanes);
  partial.out.assign(static_cast<size_t>(args.layer.head_dim), 0.0f);
  for (int64_t t = begin; t < end; ++t) {
    const uint16_t* v = PageV(args.layer, PageOf(args.layer, sequence, t), kv_head) +
                        t % kPageTokens * args.layer.head_dim;
    for (size_t i = 0; i < partial.out.size(); ++i)
      partial.out[i] =
          std::fma(weights[static_cast<size_t>(t - begin)], HalfToFloat(v[i]), partial.out[i]);
  }
  return partial;
}

void Merge(const Partial& split, Partial* total) {
  if (total->out.empty()) {
    *total = split;
    return;
  }
  const float max = std::max(total->max, split.max);
  const float keep = Exp<ScalarFma>(total->max - max);
  const float add = Exp<ScalarFma>(split.max - max);
  total->max = max;
  total->sum = std::fma(split.sum, add, total->sum * keep);
  for (size_t i = 0; i < total->out.size(); ++i)
    total->out[i] = std::fma(split.out[i], add, total->out[i] * keep);
}

void AttendQuery(const AttentionArgs& args, const SequenceView& sequence, int32_t token,
                 int32_t head) {
  const int32_t kv_head = head / (args.heads / args.layer.kv_heads);
  const int64_t m = sequence.row0 + token;
  const float* q = args.q + m * args.q_stride + static_cast<int64_t>(head) * args.layer.head_dim;
  const int64_t end = sequence.position + token + 1;
  const int64_t begin = args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0;

  Partial total;
  for (int64_t split = begin / kSplitTokens; split * kSplitTokens < end; ++split)
    Merge(AttendSplit(args, sequence, q, kv_head, std::max(begin, split * kSplitTokens),
                      std::min(end, (split + 1) * kSplitTokens)),
          &total);

  float* y = args.y + (m * args.heads + head) * args.layer.head_dim;
  const float inverse = 1.0f / total.sum;
  // Adding +0 makes a zero positive: a fast kernel adds zeros for the keys it masks.
  for (size_t i = 0; i < total.out.size(); ++i) y[i] = total.out[i] * inverse + 0.0f;
}

}  // namespace

Status KvWrite(Stream& stream, const KvWriteArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    const int32_t head_dim = args.layer.head_dim;
    for (int32_t s = 0; s < args.sequence_count; ++s) {
      const SequenceView& sequence = args.sequences[s];
      for (int32_t token = 0; token < sequence.tokens; ++token) {
        const int64_t m = sequence.row0 + token;
        const int64_t t = sequence.position + token;
        std::byte* page = PageOf(args.layer, sequence, t);
        for (int32_t head = 0; head < args.layer.kv_heads; ++head) {
          uint16_t* k = PageK(args.layer, page, head) + t % kPageTokens;
          uint16_t* v = PageV(args.layer, page, head) + t % kPageTokens * head_dim;
          for (int32_t i = 0; i < head_dim; ++i) {
            k[i * kPageTokens] = FloatToHalf(args.k[m * args.k_stride + head * head_dim + i]);
            v[i] = FloatToHalf(args.v[m * args.v_stride + head * head_dim + i]);
          }
        }
      }
    }
  });
  return {};
}

Status Attention(Stream& stream, const AttentionArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    for (int32_t s = 0; s < args.sequence_count; ++s)
      for (int32_t token = 0; token < args.sequences[s].tokens; ++token)
        for (int32_t head = 0; head < args.heads; ++head)
          AttendQuery(args, args.sequences[s], token, head);
  });
  return {};
}

}  // namespace mirage::kernels::ref
