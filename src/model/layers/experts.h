// SPDX-License-Identifier: Apache-2.0
#pragma once

// Experts: a mixture of experts in place of a block's feed-forward (arXiv 1701.06538).
//
// The router runs for all rows of the batch; then it is known which experts' regions the pass
// needs, and only these are acquired. Rows are gathered by expert, each expert's matrices are
// multiplied with its rows, and the outputs are added up row by row in ascending order of experts:
// a row's bits do not depend on which experts the others have chosen.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "model/config.h"
#include "model/expert_rows.h"
#include "model/layers/linear.h"
#include "model/workspace.h"

namespace mirage::model {

class Experts {
 public:
  Experts(const Config& config, const ModelLayout& layout, const WorkspaceLayout& workspace)
      : config_(config), layout_(layout), workspace_(workspace) {}

  // projected [tokens, embedding] = the experts' output for hidden, normed with `norm` first; both
  // are buffers of the workspace at `base`. Waits for the stream.
  [[nodiscard]] Status Run(const Backend& backend, int32_t layer, const float* norm, int32_t tokens,
                           std::byte* base) const;

 private:
  struct Buffers;

  // Norms all rows and chooses their experts.
  [[nodiscard]] Status Route(const Backend& backend, int32_t layer, const float* norm,
                             int32_t tokens, const Buffers& buffers,
                             kernels::Activations* normed) const;
  // Adds the outputs of some experts, whose pairs lie side by side.
  [[nodiscard]] Status AddOutputs(const Backend& backend, int32_t layer,
                                  std::span<const ExpertRows> experts,
                                  const kernels::Activations& normed, const Buffers& buffers) const;

  const Config& config_;
  const ModelLayout& layout_;
  const WorkspaceLayout& workspace_;
};

}  // namespace mirage::model
