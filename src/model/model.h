// SPDX-License-Identifier: Apache-2.0
#pragma once

// Model: a loaded model, one pass at a time.
//
// Weights are regions in a RegionStore, reached through leases; keys and values are pages in a
// PagePool; buffers are one workspace. All of it is counted in the ledger as the plan said.
//
// One thread at a time calls Forward and Score (the engine's). The rest: any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "format/model_file.h"
#include "kernels/ops.h"
#include "kv/page_pool.h"
#include "kv/sequence_cache.h"
#include "memory/arena.h"
#include "memory/region_store.h"
#include "memory/transfer.h"
#include "model/config.h"
#include "model/plan.h"

namespace mirage::model {

// What a model stands on; all of it outlives the model.
struct Host {
  platform::Device& device;
  memory::Arena& arena;
  memory::TransferEngine& transfer;
  const kernels::Ops& ops;
};

// A host that computes on the processor, with the fastest kernels this machine has.
[[nodiscard]] Host CpuHost(platform::Device& device, memory::Arena& arena,
                           memory::TransferEngine& transfer);

struct LoadOptions {
  PlanRequest plan;           // limit_bytes is replaced by what the ledger has available
  uint32_t model_number = 0;  // within the runtime, for RegionId
  // Called from the loading thread; false cancels.
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

// One sequence's rows of a pass: tokens at positions [cache->length(), + tokens.size()), their
// pages reserved.
struct Slice {
  const kv::SequenceCache* cache = nullptr;
  std::span<const int32_t> tokens;
  int32_t logit_rows = 0;  // logits are wanted of the last so many tokens
};

class Model {
 public:
  // Plans with what the ledger has available, keeps all of the plan for itself, takes what it needs
  // now and fills the regions the plan keeps resident. The plan's KV stays promised to the model
  // for its life. Everything is given back on failure. Any number of loads at once.
  [[nodiscard]] static Result<std::unique_ptr<Model>> Load(const Host& host, format::ModelFile file,
                                                           const LoadOptions& options);
  ~Model();

  // One pass over the weights for all slices. Afterwards Logits(i) is the i-th row that was
  // wanted, in the order of slices and tokens.
  // `cancelled` is polled within layers and the head, every ten milliseconds or so. Committed
  // lengths do not change.
  [[nodiscard]] Status Forward(std::span<const Slice> slices,
                               const std::function<bool()>& cancelled);
  // [vocabulary], valid and writable until the next pass.
  [[nodiscard]] std::span<float> Logits(int32_t index);

  // One pass over one slice; logprobs[i] is the natural log of the probability of targets[i] after
  // slice.tokens[first + i]. The head is reduced block by block, 8 rows at a time.
  [[nodiscard]] Status Score(const Slice& slice, int64_t first, std::span<const int32_t> targets,
                             std::span<double> logprobs, const std::function<bool()>& cancelled);

  [[nodiscard]] const Config& config() const;
  [[nodiscard]] const Plan& plan() const;
  // Of the ledger: what the model holds or is promised.
  [[nodiscard]] uint64_t committed_bytes() const;
  [[nodiscard]] const format::ModelFile& file() const;
  [[nodiscard]] kv::PagePool& pages();
  [[nodiscard]] memory::RegionStore& regions();

 private:
  Model();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mirage::model
