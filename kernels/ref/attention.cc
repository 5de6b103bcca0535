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

// Number `dim` of the 32 that a block of a quantised part has for one slot.
int32_t NumberAt(KvType type, const uint8_t* block, int64_t stride, int32_t dim) {
  if (type == KvType::kQ8_0) return static_cast<int8_t>(block[dim * stride]);
  const uint8_t both = block[dim % 16 * stride];
  return (dim < 16 ? both & 15 : both >> 4) - 8;
}

float ValueAt(const KvLayer& layer, std::byte* part, bool is_k, int32_t dim, int64_t slot) {
  if (layer.type == KvType::kF16)
    return HalfToFloat(
        PartHalves(part)[is_k ? dim * kPageTokens + slot : slot * layer.head_dim + dim]);
  const int32_t block = dim / kKvBlock;
  const float d = HalfToFloat(PartScales(part)[block * kPageTokens + slot]);
  const int64_t bytes = KvBlockBytes(layer.type);
  const uint8_t* values = PartValues(part, layer.head_dim);
  values +=
      is_k ? block * bytes * kPageTokens + slot : (slot * KvBlocks(layer.head_dim) + block) * bytes;
  return d *
         static_cast<float>(NumberAt(layer.type, values, is_k ? kPageTokens : 1, dim % kKvBlock));
}

float Score(const AttentionArgs& args, const SequenceView& sequence, const float* q,
            int32_t kv_head, int64_t t) {
  std::byte* k = PageK(args.layer, PageOf(args.layer, sequence, t), kv_head);
  float dot = 0.0f;
  for (int32_t i = 0; i < args.layer.head_dim; ++i)
    dot = std::fma(q[i], ValueAt(args.layer, k, true, i, t % kPageTokens), dot);
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
    std::byte* v = PageV(args.layer, PageOf(args.layer, sequence, t), kv_head);
    for (int32_t i = 0; i < args.layer.head_dim; ++i) {
      float& out = partial.out[static_cast<size_t>(i)];
      out = std::fma(weights[static_cast<size_t>(t - begin)],
                     ValueAt(args.layer, v, false, i, t % kPageTokens), out);
    }
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

// One block of one slot; `stride` bytes lie between its values. Returns its scale.
float WriteQ8(const float* x, int32_t count, uint8_t* y, int64_t stride) {
  float most = 0.0f;
  for (int32_t i = 0; i < count; ++i) most = std::max(most, std::fabs(x[i]));
  const float d = most / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  for (int32_t i = 0; i < count; ++i) {
    const float level = x[i] * inverse;
    y[i * stride] = static_cast<uint8_t>(
        static_cast<int32_t>(std::nearbyint(std::clamp(level, -127.0f, 127.0f))));
  }
  return d;
}

float WriteQ4(const float* x, int32_t count, uint8_t* y, int64_t stride) {
  float most = 0.0f;
  for (int32_t i = 0; i < count; ++i)
    if (std::fabs(x[i]) > std::fabs(most)) most = x[i];
  const float d = most / -8.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  const auto number = [&](int32_t i) {
    if (i >= count) return 0;
    return static_cast<int32_t>(std::clamp(x[i] * inverse + 8.5f, 0.0f, 15.0f));
  };
  for (int32_t i = 0; i < kKvBlock / 2; ++i)
    y[i * stride] = static_cast<uint8_t>(number(i) | number(i + kKvBlock / 2) << 4);
  return d;
}

void WriteSlot(const KvLayer& layer, std::byte* part, bool is_k, int64_t slot, const float* x) {
  if (layer.type == KvType::kF16) {
    for (int32_t i = 0; i < layer.head_dim; ++i)
      PartHalves(part)[is_k ? i * kPageTokens + slot : slot * layer.head_dim + i] =
          FloatToHalf(x[i]);
    return;
  }
  const int64_t bytes = KvBlockBytes(layer.type);
  for (int32_t block = 0; block < KvBlocks(layer.head_dim); ++block) {
    const int32_t begin = block * kKvBlock;
    const int32_t count = std::min(kKvBlock, layer.head_dim - begin);
    uint8_t* y = PartValues(part, layer.head_dim);
    y += is_k ? block * bytes * kPageTokens + slot
              : (slot * KvBlocks(layer.head_dim) + block) * bytes;
    const auto write = layer.type == KvType::kQ8_0 ? WriteQ8 : WriteQ4;
    PartScales(part)[block * kPageTokens + slot] =
        FloatToHalf(write(x + begin, count, y, is_k ? kPageTokens : 1));
  }
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
          const float* k = args.k + m * args.k_stride + head * head_dim;
          const float* v = args.v + m * args.v_stride + head * head_dim;
          WriteSlot(args.layer, PageK(args.layer, page, head), true, t % kPageTokens, k);
          WriteSlot(args.layer, PageV(args.layer, page, head), false, t % kPageTokens, v);
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
