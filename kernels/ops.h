// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ops: what a model asks of a backend, one table of functions each backend fills.
//
// A backend is a constant of type Ops: kernels/ref (plain loops, the meaning, linked into tests),
// kernels/cpu (one table per instruction set). Arguments are plain data captured by value; the
// memory they point to lives until the step is over. Functions put work on the stream and return; a
// shape or type a backend cannot do is kUnsupported.
//
// Words: *token* or *row m*: one position of one sequence in the step's batch, M of them. *block*:
// 32 columns. Shapes are given slowest index first, [M, cols], rows contiguous unless a stride is
// named.
//
// Invariance (docs/ARCHITECTURE.md): the bits of row m depend on row m's inputs alone: never on M,
// on the other rows, on threads, on how a weight is cut into segments, nor on the address of a
// page.

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "platform/stream.h"
#include "tensor/dtype.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {

using platform::Stream;
using tensor::DType;
using tensor::kRowGroup;

// ---- activations
// ------------------------------------------------------------------------------------------------

// 32 activations: value i is scale * values[i]. One format for every quantised weight type.
//
// scale = max|x| / 127 and values = x * (127 / max|x|) rounded to nearest even; a block whose
// max|x| is below 2^-100 is all zero. The sums are what weights with an offset, a minimum or scales
// of 16 columns need of the block, in the shape their kernels load.
struct ActBlock {
  float scale;
  float scaled_sum;      // scale * float(sum)
  int32_t sum;           // of values
  int16_t half_sums[2];  // integer sums of values[0..15] and values[16..31]
  int8_t values[32];
};
static_assert(sizeof(ActBlock) == 48);
inline constexpr int kBlock = 32;

// M rows of K activations as the following matmul wants them: float weights read `f32`, all others
// `q8`.
struct Activations {
  const float* f32;    // [M, cols] or nullptr
  const ActBlock* q8;  // [M, cols / 32] or nullptr
};

struct QuantizeArgs {
  const float* x;  // [rows, cols]
  ActBlock* y;     // [rows, cols / 32]
  int32_t rows;
  int32_t cols;  // a multiple of 32
};

// ---- norms and elementwise
// ----------------------------------------------------------------------------------------

// y = x / sqrt(mean(x^2) + eps) * weight, row by row (RMSNorm, arXiv 1910.07467). The row's outputs
// go to `y`, to `q` quantised, or to both; y may be x. Used with rows = tokens * heads for a norm
// per head.
struct RmsNormArgs {
  const float* x;       // [rows, cols], rows x_stride apart
  const float* weight;  // [cols]
  float* y;             // [rows, cols], rows y_stride apart, or nullptr
  ActBlock* q;          // [rows, cols / 32] or nullptr
  int32_t rows;
  int32_t cols;
  int64_t x_stride;
  int64_t y_stride;
  float eps;
};

// y += x.
struct AddArgs {
  const float* x;  // [n]
  float* y;        // [n]
  int64_t n;
};

enum class Activation : int32_t { kSilu = 0, kGeluTanh = 1 };

// h = act(gate) * up; to y, to q quantised, or to both (SwiGLU, GeGLU: arXiv 2002.05202). y may be
// gate.
struct GatedArgs {
  const float* gate;  // [rows, cols], rows stride apart
  const float* up;    // [rows, cols], rows stride apart
  float* y;           // [rows, cols] contiguous, or nullptr
  ActBlock* q;        // [rows, cols / 32] or nullptr
  int32_t rows;
  int32_t cols;
  int64_t stride;
  Activation activation;
};

// x = cap * tanh(x / cap) (Gemma 2's logit soft-capping).
struct SoftcapArgs {
  float* x;  // [n]
  int64_t n;
  float cap;
};

// y = dequantised rows * scale; `rows_data` holds whole rows as a file stores them (embedding
// lookups).
struct DequantizeRowsArgs {
  const std::byte* rows_data;  // [rows, RowBytes(dtype, cols)]
  DType dtype;
  float* y;  // [rows, cols]
  int32_t rows;
  int32_t cols;
  float scale;
};

// ---- matmul
// -------------------------------------------------------------------------------------------------------

inline constexpr int kMaxSegments = 8;
inline constexpr int kMaxOutputs = 3;

// A run of rows of a weight in the packed layout (tensor/packed_rows.h).
struct WeightSegment {
  const std::byte* data;
  int32_t row0;  // first row within the whole tensor
  int32_t rows;
};

// Rows of one tensor [rows, cols] that are in memory now, in up to kMaxSegments runs.
struct WeightView {
  DType dtype;
  int32_t cols;
  int32_t segment_count;
  WeightSegment segments[kMaxSegments];
};

// y[m, row] = sum_c x[m, c] * w[row, c] + bias[row], for the rows present in `weight`.
struct MatMulOutput {
  WeightView weight;
  const float* bias;  // [rows of the whole tensor] or nullptr
  float* y;           // element (m, row) at y[m * y_stride + row], row counted in the whole tensor
  int64_t y_stride;
};

// Up to three weights that share the input (q/k/v, gate/up): one pass, one barrier.
//
// Arithmetic, quantised weights: per block of 32 columns the integer dot is exact; the float sum
// over blocks is one chain of fused multiply-adds per (row, m) in ascending block order, for every
// M. Float weights: one chain of fused multiply-adds per (row, m) over columns in ascending order.
// kernels/integer_block.h states the terms of each type.
struct MatMulArgs {
  Activations x;
  int32_t tokens;  // M
  int32_t output_count;
  MatMulOutput outputs[kMaxOutputs];
};

// Several products, each with its own input and weights: one pass, one barrier. What each computes
// is what matmul would.
inline constexpr int kMaxProducts = 16;
struct MatMulEachArgs {
  int32_t count;
  MatMulArgs products[kMaxProducts];
};

// ---- mixtures of experts
// ----------------------------------------------------------------------------------------------

// Chooses for each row the `used` experts with the largest logits and weighs them by the softmax
// over all experts (arXiv 1701.06538); with `normalize` the chosen ones' weights sum to 1.
//
// Of equal logits the lower id is the larger. Whatever the logits, no numbers too, a row's experts
// are different ones. Sums are in ascending order of ids, that of the chosen ones in order of
// choice.
struct RouteArgs {
  const float* logits;  // [rows, experts]
  int32_t* chosen;      // [rows, used], largest first
  float* weights;       // [rows, used]
  int32_t rows;
  int32_t experts;
  int32_t used;
  bool normalize;
};

// y[i] = x[rows[i]].
struct GatherRowsArgs {
  Activations x;        // either or both
  const int32_t* rows;  // [count]
  int32_t count;
  int32_t cols;  // a multiple of 32 where there is q8
  float* y;      // [count, cols], where x.f32 is
  ActBlock* q;   // [count, cols / 32], where x.q8 is
};

// y[rows[i]] += scales[i] * x[i], in ascending order of i: one fused multiply-add each.
struct AddRowsArgs {
  const float* x;       // [count, cols]
  const int32_t* rows;  // [count]; a row may come more than once
  const float* scales;  // [count]
  int32_t count;
  int32_t cols;
  float* y;  // [rows, cols]
};

// ---- low-rank updates
// ----------------------------------------------------------------------------------------------

// What an adapter adds to the product with one weight.
struct LowRankOutput {
  DType a_type;  // F32, F16 or BF16, as b_type
  DType b_type;
  const std::byte* a;  // packed rows [RoundUp(rank, 8), cols]; those past `rank` are without use
  const std::byte* b;  // packed rows [rows, rank]
  int32_t rank;
  int32_t rows;
  float scale;
  float* y;  // element (m, row) at y[m * y_stride + row]
  int64_t y_stride;
};

// y[m, row] += scale * sum_k b[row, k] * t[m, k],  t[m, k] = sum_c a[k, c] * x[m, c]
// (LoRA, arXiv 2106.09685), for up to three weights that share the input.
//
// Arithmetic: both sums are chains of fused multiply-adds in ascending order, as in matmul; the
// last step is one more, scale * sum + y.
struct LowRankArgs {
  const float* x;  // [tokens, cols]
  int32_t tokens;  // M
  int32_t cols;
  int32_t output_count;
  LowRankOutput outputs[kMaxOutputs];
  float* t;  // scratch [tokens, LowRankScratchCols(args)]
};

// Floats of scratch for each token.
[[nodiscard]] inline int64_t LowRankScratchCols(const LowRankArgs& args) {
  int64_t cols = 0;
  for (int32_t i = 0; i < args.output_count; ++i) cols += (args.outputs[i].rank + 7) / 8 * 8;
  return cols;
}

// ---- rope
// ---------------------------------------------------------------------------------------------------------

enum class RopePairs : int32_t {
  kAdjacent = 0,  // (x[2i], x[2i+1]): llama files, whose Q and K rows are permuted for it
  kHalves = 1,    // (x[i], x[i + rotary/2]): NeoX style
};

// Rotates the first `rotary` values of every head in place (arXiv 2104.09864). cos and sin already
// carry frequency scaling and any magnitude factor.
struct RopeArgs {
  float* x;          // [tokens, heads, head_dim], tokens x_stride apart
  const float* cos;  // [tokens, rotary / 2]
  const float* sin;  // [tokens, rotary / 2]
  int32_t tokens;
  int32_t heads;
  int32_t head_dim;
  int32_t rotary;
  int64_t x_stride;
  RopePairs pairs;
};

// ---- KV pages and attention
// ---------------------------------------------------------------------------------------

inline constexpr int kPageTokens = 32;  // consecutive absolute positions of one layer
inline constexpr int kMaxHeadDim = 512;
inline constexpr int kSplitTokens = 256;  // attention's unit of partial sums, at absolute positions

// How keys and values are kept. The quantised ones cut head_dim into blocks of 32 with one half
// float d each, and a value is d times a whole number in float arithmetic:
//   kQ8_0  d = max |x| / 127, numbers in [-127, 127], to nearest, ties to even
//   kQ4_0  d = x of the largest |x| / -8, numbers in [-8, 7], halves up
// both with x times the reciprocal of d before it is rounded to half (as ggml's block types).
enum class KvType : uint8_t { kF16, kQ8_0, kQ4_0 };

// One layer's pages: K of each kv head, then V of each kv head, as kernels/kv_page.h lays them out.
// Page p starts at base + p * page_bytes. K is stored across slots so that q.k runs down head_dim
// with one slot in each lane: no sums across lanes, and one ascending chain per key whatever the
// vector width.
struct KvLayer {
  std::byte* base;
  uint64_t page_bytes;
  int32_t kv_heads;
  int32_t head_dim;
  KvType type = KvType::kF16;
};

// What one sequence of the batch sees of a layer. The page of absolute position t is
// pages[(t - first_position) / 32]; first_position is a multiple of 32.
struct SequenceView {
  const uint32_t* pages;
  int64_t first_position;
  int64_t position;  // absolute position of the sequence's first token in this batch
  int32_t row0;      // its first row m in the batch
  int32_t tokens;    // its rows in the batch
};

// Writes K and V of the batch's tokens into their pages, in the layer's type.
struct KvWriteArgs {
  const float* k;  // [M, kv_heads, head_dim], tokens k_stride apart
  const float* v;  // [M, kv_heads, head_dim], tokens v_stride apart
  int64_t k_stride;
  int64_t v_stride;
  KvLayer layer;
  const SequenceView* sequences;  // [sequence_count]
  int32_t sequence_count;
};

// Causal attention over pages (grouped queries: head h reads kv head h / (heads / kv_heads)).
//
// The keys of a query at position t are positions (t - window, t] (window 0: all). They are taken
// in splits of 256 slots at absolute positions. Within a split: score = scale * q.k, soft-capped
// when softcap > 0; the split's (max, sum of exp, weighted V) come from that split alone; splits
// are merged in ascending order; masked slots are exact zeros and fully masked splits are skipped.
// K and V are read as stored. A decode step is a prefill of one.
struct AttentionArgs {
  const float* q;  // [M, heads, head_dim], tokens q_stride apart
  int64_t q_stride;
  float* y;  // [M, heads * head_dim]
  KvLayer layer;
  const SequenceView* sequences;  // [sequence_count]
  int32_t sequence_count;
  int32_t heads;
  int64_t window;
  float scale;
  float softcap;

  // Room for the partial results of splits, so that the splits of one kv head can run on several
  // threads (a decode step of a model with few kv heads). Without it, or when it is less than
  // AttentionScratchFloats(args), threads share the work by sequence, kv head and query rows only.
  float* scratch = nullptr;
  int64_t scratch_floats = 0;
};

// Floats of scratch with which every split of these sequences is a task of its own.
[[nodiscard]] inline int64_t AttentionScratchFloats(const AttentionArgs& args) {
  int64_t token_splits = 0;
  for (int32_t i = 0; i < args.sequence_count; ++i) {
    const SequenceView& sequence = args.sequences[i];
    const int64_t last = sequence.position + sequence.tokens - 1;
    const int64_t splits = last / kSplitTokens - sequence.first_position / kSplitTokens + 1;
    token_splits += splits * sequence.tokens;
  }
  return token_splits * args.heads * (args.layer.head_dim + 2);
}

// ---- the table
// ----------------------------------------------------------------------------------------------------

struct Ops {
  const char* name;  // "ref", "generic", "avx2", "avx512vnni", "neon", ...

  Status (*quantize)(Stream&, const QuantizeArgs&);
  Status (*rms_norm)(Stream&, const RmsNormArgs&);
  Status (*add)(Stream&, const AddArgs&);
  Status (*gated)(Stream&, const GatedArgs&);
  Status (*softcap)(Stream&, const SoftcapArgs&);
  Status (*dequantize_rows)(Stream&, const DequantizeRowsArgs&);
  Status (*matmul)(Stream&, const MatMulArgs&);
  Status (*matmul_each)(Stream&, const MatMulEachArgs&);
  Status (*route)(Stream&, const RouteArgs&);
  Status (*gather_rows)(Stream&, const GatherRowsArgs&);
  Status (*add_rows)(Stream&, const AddRowsArgs&);
  Status (*low_rank)(Stream&, const LowRankArgs&);
  Status (*rope)(Stream&, const RopeArgs&);
  Status (*kv_write)(Stream&, const KvWriteArgs&);
  Status (*attention)(Stream&, const AttentionArgs&);
};

// Whether a weight of this type reads Activations::q8 (all but F32, F16 and BF16).
[[nodiscard]] constexpr bool ReadsQuantized(DType dtype) {
  return dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16;
}

}  // namespace mirage::kernels
