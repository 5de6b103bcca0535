// SPDX-License-Identifier: Apache-2.0
#pragma once

// Decoder: one pre-norm transformer block, attention then feed-forward, as every supported
// architecture has it.
//
// What differs between architectures is which vectors exist (biases, norms per head, norms after a
// block) and the numbers of the Config. The batch is M rows of several sequences side by side.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kv/page_pool.h"
#include "model/config.h"
#include "model/layers/experts.h"
#include "model/layers/linear.h"
#include "model/layers/low_rank.h"
#include "model/workspace.h"

namespace mirage::model {

// The step all layers of a pass share.
struct Step {
  int32_t tokens = 0;  // M
  std::byte* workspace = nullptr;
  std::vector<std::vector<kernels::SequenceView>> views;  // per cache group, per sequence
  std::vector<const float*> rope_cos;                     // per rope, [M, rotary / 2]
  std::vector<const float*> rope_sin;
  std::vector<AdaptedRows> adapted;
};

class Decoder {
 public:
  Decoder(const Config& config, const ModelLayout& layout, const WorkspaceLayout& workspace,
          kv::PagePool& pages);

  // hidden [M, embedding] in the workspace, in place.
  [[nodiscard]] Status RunLayer(const Backend& backend, int32_t layer, const Step& step) const;

 private:
  struct Buffers;
  struct Vectors;

  [[nodiscard]] Status Attention(const Backend& backend, int32_t layer, const Vectors& vectors,
                                 const Buffers& buffers, const Step& step) const;
  [[nodiscard]] Status FeedForward(const Backend& backend, int32_t layer, const Vectors& vectors,
                                   const Buffers& buffers, const Step& step) const;
  // The products of a group, with what the rows' adapters add to them.
  [[nodiscard]] Status Project(const Backend& backend, Projection projection, int32_t layer,
                               const MatrixGroup& group, const kernels::Activations& x,
                               const Step& step, std::span<const LinearOutput> outputs) const;
  // hidden += the block's output in `projected`, normed first when `norm` is there.
  [[nodiscard]] Status AddResidual(const Backend& backend, const float* norm,
                                   const Buffers& buffers, const Step& step) const;

  const Config& config_;
  const ModelLayout& layout_;
  const WorkspaceLayout& workspace_;
  kv::PagePool& pages_;
  const Experts experts_;
  std::vector<int32_t> group_of_layer_;
};

// Norms `rows` rows of the residual stream into what the next matmul reads, and into floats where
// `adapted` rows are among them.
[[nodiscard]] Status NormInto(const Backend& backend, const MatrixGroup& next, bool adapted,
                              const float* x, const float* weight, int32_t rows, int32_t cols,
                              float epsilon, float* floats, kernels::ActBlock* blocks,
                              kernels::Activations* out);

}  // namespace mirage::model
