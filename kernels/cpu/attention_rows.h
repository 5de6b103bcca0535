// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention of a few query rows over the pages of one kv head, once for all instruction sets.
//
// For each split of 256 slots: scores of all rows, page by page (lanes are slots, the chain runs
// down head_dim); the softmax of each row; weights times V (lanes are dims, the chain runs down the
// slots); then the split is merged into each row's total. A key or value loaded and widened serves
// all rows of a register tile.

#include <cstdint>
#include <cstring>

#include "kernels/cpu/elementwise_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/kv_rows.h"
#include "kernels/kv_page.h"
#include "kernels/vector_math.h"

namespace mirage::kernels {
namespace {

inline constexpr int kMaxAttentionRows = 32;
inline constexpr int kAttentionRowFloats = 4096;  // of a buffer holding head_dim floats a row

template <class V>
int32_t AttentionRows(int32_t head_dim) {
  const int32_t rows = kAttentionRowFloats / head_dim;
  return rows < kMaxAttentionRows ? rows : kMaxAttentionRows;
}

// The softmax of some keys of one row, before division by the sum; sum is 0 before the first key.
struct SoftmaxState {
  float max = 0.0f;
  float sum = 0.0f;
};

// Query rows of a piece and what they have seen so far.
struct RowSet {
  int32_t rows;
  int32_t head_dim;
  int64_t begin[kMaxAttentionRows];  // the keys of a row are positions [begin, end)
  int64_t end[kMaxAttentionRows];
  alignas(64) float q[kAttentionRowFloats];      // [rows, head_dim]
  alignas(64) float out[kAttentionRowFloats];    // [rows, head_dim], of the present split
  alignas(64) float total[kAttentionRowFloats];  // [rows, head_dim], of the splits before
  alignas(64) float weights[kMaxAttentionRows][kSplitTokens];  // scores, then exp(score - max)
  SoftmaxState split[kMaxAttentionRows];
  SoftmaxState state[kMaxAttentionRows];
};

inline int32_t TokenOf(const AttentionPiece& piece, int32_t row) {
  return row / (piece.args->heads / piece.args->layer.kv_heads);
}
inline int64_t HeadOf(const AttentionPiece& piece, int32_t row) {
  const int32_t group = piece.args->heads / piece.args->layer.kv_heads;
  return static_cast<int64_t>(piece.kv_head) * group + row % group;
}

inline void GatherRows(const AttentionPiece& piece, RowSet& set) {
  const AttentionArgs& args = *piece.args;
  set.rows = piece.row_end - piece.row_begin;
  set.head_dim = args.layer.head_dim;
  for (int32_t r = 0; r < set.rows; ++r) {
    const int32_t token = TokenOf(piece, piece.row_begin + r);
    const int64_t head = HeadOf(piece, piece.row_begin + r);
    const int64_t end = piece.sequence->position + token + 1;
    set.end[r] = end;
    set.begin[r] = args.window > 0 && end > args.window ? end - args.window : 0;
    set.state[r] = {};
    std::memcpy(set.q + static_cast<int64_t>(r) * set.head_dim,
                args.q + (piece.sequence->row0 + token) * args.q_stride + head * set.head_dim,
                static_cast<size_t>(set.head_dim) * sizeof(float));
  }
}

// One query token reads keys and values faster than they arrive, and the processor's own prefetcher
// starts anew at each part (one head of one page). So where rows are few, values are asked for
// while scores are computed, and the keys of the next split while values are weighed, each by the
// part that lies at the same place in memory: `ahead` bytes after the one being read. 0: what is
// read anyway.
inline constexpr int32_t kFewRows = 8;

// Scores of kRows rows against the 32 slots of one page, starting at row r.
template <class V, KvType kType, int kRows>
inline void ScorePage(std::byte* k, int64_t ahead, RowSet& set, int32_t r, int64_t slot) {
  constexpr int kAll = kPageTokens / V::kLanes;
  constexpr int kVectors = kRows * kAll <= V::kAccumulators ? kAll : (kAll < 2 ? 1 : 2);
  const int32_t head_dim = set.head_dim;
  const float* q = set.q + static_cast<int64_t>(r) * head_dim;
#pragma GCC unroll 1
  for (int first = 0; first < kPageTokens; first += kVectors * V::kLanes) {
    typename V::Floats acc[kRows][kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = V::Set(0.0f);
    KeyReader<V, kType, kVectors> reader(k, head_dim, first);
    for (int32_t block = 0; block * kKvBlock < head_dim; ++block) {
      reader.Begin(block);
      const int32_t rest = head_dim - block * kKvBlock;
      const int32_t end = block * kKvBlock + (rest < kKvBlock ? rest : kKvBlock);
      for (int32_t d = block * kKvBlock; d < end; ++d) {
        reader.Prefetch(d, ahead);
        typename V::Floats keys[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) keys[v] = reader.Load(d, v);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const auto query = V::Set(q[i * head_dim + d]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[i][v] = V::MulAdd(query, keys[v], acc[i][v]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        V::Store(set.weights[r + i] + slot + first + v * V::kLanes, acc[i][v]);
  }
}

template <class V, KvType kType, int kRows>
inline void ScoreRows(std::byte* k, int64_t ahead, RowSet& set, int32_t r, int64_t slot) {
  for (; r + kRows <= set.rows; r += kRows) ScorePage<V, kType, kRows>(k, ahead, set, r, slot);
  if constexpr (kRows > 1) {
    if (r < set.rows) ScoreRows<V, kType, kRows - 1>(k, ahead, set, r, slot);
  }
}

// Turns a row's scores of one split into weights; keys outside [begin, end) become exact zeros.
template <class V>
inline SoftmaxState SoftmaxRow(const AttentionArgs& args, float* weights, int64_t begin,
                               int64_t end) {
  if (begin >= end) return {};
  const int64_t first = begin / kSumLanes * kSumLanes;
  const int64_t last = (end + kSumLanes - 1) / kSumLanes * kSumLanes;
  const auto scale = V::Set(args.scale);
  for (int64_t i = first; i < last; i += V::kLanes) {
    auto scores = V::Mul(V::Load(weights + i), scale);
    if (args.softcap > 0.0f) scores = Softcap<V>(scores, args.softcap);
    V::Store(weights + i, scores);
  }
  for (int64_t i = first; i < begin; ++i) weights[i] = -__builtin_inff();
  for (int64_t i = end; i < last; ++i) weights[i] = -__builtin_inff();
  auto max = V::Load(weights + first);
  for (int64_t i = first + V::kLanes; i < last; i += V::kLanes)
    max = V::Max(max, V::Load(weights + i));
  const float max_value = MaxLane<V>(max);
  const auto shift = V::Set(max_value);
  for (int64_t i = first; i < last; i += V::kLanes)
    V::Store(weights + i, Exp<V>(V::Sub(V::Load(weights + i), shift)));
  for (int64_t i = first; i < begin; ++i) weights[i] = 0.0f;
  for (int64_t i = end; i < last; ++i) weights[i] = 0.0f;
  LaneSums<V> sums;
  for (int64_t i = first; i < last; i += kSumLanes)
    for (int v = 0; v < LaneSums<V>::kVectors; ++v)
      sums.sums[v] = V::Add(sums.sums[v], V::Load(weights + i + v * V::kLanes));
  return {max_value, sums.Total()};
}

// The pages of a run of slots of one split.
struct SlotRun {
  const AttentionPiece* piece;
  int64_t begin;  // absolute positions
  int64_t end;
  int64_t split_start;
};

// From the values of the page of position t to the keys a split later; 0 where the piece has none.
inline int64_t ToNextSplit(const AttentionPiece& piece, int64_t t, const std::byte* v) {
  const SequenceView& sequence = *piece.sequence;
  const int64_t next = t + kSplitTokens;
  if (next / kSplitTokens >= piece.split_end || next >= sequence.position + sequence.tokens)
    return 0;
  const KvLayer& layer = piece.args->layer;
  return PageK(layer, PageOf(layer, sequence, next), piece.kv_head) - v;
}

// out[row, dim..] = sum over the slots of weight * V, for kRows rows and kVectors vectors of dims.
// kPart: only the first `count` dims of the one vector exist.
template <class V, KvType kType, int kRows, int kVectors, bool kPart>
inline void WeighValues(const SlotRun& run, RowSet& set, int32_t r, int32_t dim, int32_t count) {
  typename V::Floats acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[i][v] = V::Set(0.0f);
  const int32_t head_dim = set.head_dim;
  for (int64_t t = run.begin; t < run.end;) {
    const int64_t page_end = (t / kPageTokens + 1) * kPageTokens;
    const int64_t stop = page_end < run.end ? page_end : run.end;
    const KvLayer& layer = run.piece->args->layer;
    std::byte* values = PageV(layer, PageOf(layer, *run.piece->sequence, t), run.piece->kv_head);
    const ValueReader<V, kType, kVectors, kPart> reader(values, head_dim, dim, count);
    const int64_t ahead = set.rows <= kFewRows ? ToNextSplit(*run.piece, t, values) : 0;
    const float* weights = set.weights[r] + (t - run.split_start);
    for (; t < stop; ++t, ++weights) {
      reader.Prefetch(t % kPageTokens, ahead);
      typename V::Floats value[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) value[v] = reader.Load(t % kPageTokens, v);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const auto weight = V::Set(weights[i * kSplitTokens]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[i][v] = V::MulAdd(weight, value[v], acc[i][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      StorePart<V>(set.out + static_cast<int64_t>(r + i) * head_dim + dim + v * V::kLanes,
                   kPart ? count : V::kLanes, acc[i][v]);
}

template <class V, KvType kType, int kRows>
inline void WeighRows(const SlotRun& run, RowSet& set, int32_t r) {
  constexpr int kVectors = kRows * 4 <= V::kAccumulators ? 4 : 2;
  for (; r + kRows <= set.rows; r += kRows) {
    int32_t dim = 0;
    for (; dim + kVectors * V::kLanes <= set.head_dim; dim += kVectors * V::kLanes)
      WeighValues<V, kType, kRows, kVectors, false>(run, set, r, dim, 0);
    for (; dim + V::kLanes <= set.head_dim; dim += V::kLanes)
      WeighValues<V, kType, kRows, 1, false>(run, set, r, dim, 0);
    if (dim < set.head_dim)
      WeighValues<V, kType, kRows, 1, true>(run, set, r, dim, set.head_dim - dim);
  }
  if constexpr (kRows > 1) {
    if (r < set.rows) WeighRows<V, kType, kRows - 1>(run, set, r);
  }
}

// Adds a split to the splits before it.
template <class V>
inline void MergeSplit(const SoftmaxState& split, const float* out, int32_t head_dim,
                       SoftmaxState& state, float* total) {
  if (split.sum == 0.0f) return;
  if (state.sum == 0.0f) {
    state = split;
    std::memcpy(total, out, static_cast<size_t>(head_dim) * sizeof(float));
    return;
  }
  const float max = split.max > state.max ? split.max : state.max;
  // Two scalars through the vector function: lane 0 keeps, lane 1 adds.
  float factors[V::kLanes] = {state.max - max, split.max - max};
  V::Store(factors, Exp<V>(V::Load(factors)));
  const auto keep = V::Set(factors[0]);
  const auto add = V::Set(factors[1]);
  state.max = max;
  state.sum = V::ScalarMulAdd(split.sum, factors[1], state.sum * factors[0]);
  ForEachVector<V>(0, head_dim, [&](int64_t i, int64_t count) {
    StorePart<V>(
        total + i, count,
        V::MulAdd(LoadPart<V>(out + i, count), add, V::Mul(LoadPart<V>(total + i, count), keep)));
  });
}

template <class V>
inline void FinishRow(const AttentionPiece& piece, int32_t row, const SoftmaxState& state,
                      const float* total) {
  const AttentionArgs& args = *piece.args;
  const int64_t m = piece.sequence->row0 + TokenOf(piece, row);
  float* y = args.y + (m * args.heads + HeadOf(piece, row)) * args.layer.head_dim;
  const auto inverse = V::Set(1.0f / state.sum);
  const auto zero = V::Set(0.0f);  // makes a negative zero positive, see kernels/ref/attention.cc
  ForEachVector<V>(0, args.layer.head_dim, [&](int64_t i, int64_t count) {
    StorePart<V>(y + i, count, V::Add(V::Mul(LoadPart<V>(total + i, count), inverse), zero));
  });
}

template <class V, KvType kType>
inline void AttendSplit(const AttentionPiece& piece, int64_t split, RowSet& set) {
  const int64_t start = split * kSplitTokens;
  int64_t begin = start + kSplitTokens;
  int64_t end = start;
  for (int32_t r = 0; r < set.rows; ++r) {
    if (set.begin[r] < begin) begin = set.begin[r];
    if (set.end[r] > end) end = set.end[r];
  }
  if (begin < start) begin = start;
  if (end > start + kSplitTokens) end = start + kSplitTokens;

  const KvLayer& layer = piece.args->layer;
  for (int64_t t = begin / kPageTokens * kPageTokens; t < end; t += kPageTokens) {
    std::byte* page = PageOf(layer, *piece.sequence, t);
    std::byte* k = PageK(layer, page, piece.kv_head);
    const int64_t ahead = set.rows <= kFewRows ? PageV(layer, page, piece.kv_head) - k : 0;
    ScoreRows<V, kType, V::kAttentionTile>(k, ahead, set, 0, t - start);
  }
  for (int32_t r = 0; r < set.rows; ++r) {
    const int64_t row_begin = set.begin[r] > start ? set.begin[r] - start : 0;
    const int64_t row_end = set.end[r] < start + kSplitTokens ? set.end[r] - start : kSplitTokens;
    float* weights = set.weights[r];
    set.split[r] = SoftmaxRow<V>(*piece.args, weights, row_begin, row_end);
    // Slots that only other rows of the tile see.
    const bool none = set.split[r].sum == 0.0f;
    const int64_t seen_begin = none ? end - start : row_begin;
    const int64_t seen_end = none ? end - start : row_end;
    for (int64_t i = begin - start; i < seen_begin; ++i) weights[i] = 0.0f;
    for (int64_t i = seen_end; i < end - start; ++i) weights[i] = 0.0f;
  }
  if (begin < end) WeighRows<V, kType, V::kAttentionTile>({&piece, begin, end, start}, set, 0);
}

template <class V, KvType kType>
void AttendAs(const AttentionPiece& piece) {
  RowSet set;
  GatherRows(piece, set);
  const int64_t stride = set.head_dim + 2;
  for (int64_t split = piece.split_begin; split < piece.split_end; ++split) {
    AttendSplit<V, kType>(piece, split, set);
    for (int32_t r = 0; r < set.rows; ++r) {
      const float* out = set.out + static_cast<int64_t>(r) * set.head_dim;
      if (piece.partials == nullptr) {
        MergeSplit<V>(set.split[r], out, set.head_dim, set.state[r],
                      set.total + static_cast<int64_t>(r) * set.head_dim);
        continue;
      }
      float* partial =
          piece.partials + (r * piece.partial_splits + split - piece.split_begin) * stride;
      partial[0] = set.split[r].max;
      partial[1] = set.split[r].sum;
      std::memcpy(partial + 2, out, static_cast<size_t>(set.head_dim) * sizeof(float));
    }
  }
  if (piece.partials != nullptr) return;
  for (int32_t r = 0; r < set.rows; ++r)
    FinishRow<V>(piece, piece.row_begin + r, set.state[r],
                 set.total + static_cast<int64_t>(r) * set.head_dim);
}

template <class V>
void Attend(const AttentionPiece& piece) {
  switch (piece.args->layer.type) {
    case KvType::kF16:
      return AttendAs<V, KvType::kF16>(piece);
    case KvType::kQ8_0:
      return AttendAs<V, KvType::kQ8_0>(piece);
    case KvType::kQ4_0:
      return AttendAs<V, KvType::kQ4_0>(piece);
  }
}

template <class V>
void MergePartials(const AttentionPiece& piece) {
  const int32_t head_dim = piece.args->layer.head_dim;
  const int64_t stride = head_dim + 2;
  for (int32_t r = 0; r < piece.row_end - piece.row_begin; ++r) {
    SoftmaxState state;
    float total[kMaxHeadDim];
    for (int64_t s = 0; s < piece.split_end - piece.split_begin; ++s) {
      const float* partial = piece.partials + (r * piece.partial_splits + s) * stride;
      MergeSplit<V>({partial[0], partial[1]}, partial + 2, head_dim, state, total);
    }
    FinishRow<V>(piece, piece.row_begin + r, state, total);
  }
}

}  // namespace
}  // namespace mirage::kernels
