// SPDX-License-Identifier: Apache-2.0
#pragma once

// Model: a loaded model, one pass at a time.
//
// Weights are regions in a RegionStore, reached through leases; keys and values are pages in a
// PagePool; buffers are one workspace. All of it is counted in the ledger as the plan said.
//
// One thread at a time calls Forward (the engine's). The rest: any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/token_logprob.h"
#include "format/model_file.h"
#include "kernels/ops.h"
#include "kv/page_pool.h"
#include "kv/sequence_cache.h"
#include "memory/arena.h"
#include "memory/region_store.h"
#include "memory/transfer.h"
#include "memory/weight_lender.h"
#include "model/adapter_set.h"
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

struct LoadOptions {
  PlanRequest plan;           // limit_bytes is replaced by what the ledger has available
  uint32_t model_number = 0;  // within the runtime, for RegionId
  // Of weights that are read in every pass; asked before each read, on any thread. Null: cached.
  std::function<Caching()> caching;
  // Called from the loading thread; false cancels.
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

// How likely some tokens are, each after one of a slice's and all before it.
struct Scores {
  int64_t first = 0;                 // targets[i] comes after slice.tokens[first + i]
  std::span<const int32_t> targets;  // none: nothing is wanted
  std::span<double> logprobs;        // [targets], natural logs; NaN where the logits are no numbers
  int32_t top_count = 0;             // of the likeliest tokens, at most the vocabulary
  std::span<TokenLogprob> top;       // [targets][top_count], likeliest first, lowest id on ties
};

// Of which of a slice's tokens the hidden state is wanted that the head would read, after the last
// norm.
struct HiddenRows {
  int64_t first = 0;
  int32_t count = 0;
};

// One sequence's rows of a pass: tokens at positions [cache->length(), + tokens.size()), their
// pages reserved.
struct Slice {
  const kv::SequenceCache* cache = nullptr;
  std::span<const int32_t> tokens;
  int32_t logit_rows = 0;  // logits are wanted of the last so many tokens
  Scores scores = {};
  const AdapterSet* adapters = nullptr;  // of this model; null: none
  HiddenRows hidden = {};
};

class Model {
 public:
  // Plans with what the ledger has available, keeps all of the plan for itself, takes what it needs
  // now and fills the regions the plan keeps resident. The plan's KV, and what it has for sessions
  // and adapters, stay promised to the model for its life. Everything is given back on failure. Any
  // number of loads at once.
  [[nodiscard]] static Result<std::unique_ptr<Model>> Load(const Host& host, format::ModelFile file,
                                                           const LoadOptions& options);
  ~Model();

  // A LoRA adapter of this model, which outlives it, and what it takes to load it. Any thread, any
  // number at once.
  [[nodiscard]] Result<std::shared_ptr<const Adapter>> LoadAdapter(
      const format::ModelFile& file, const AdapterProgress& progress = {}) const;
  [[nodiscard]] Result<uint64_t> BytesToLoadAdapter(const format::ModelFile& file) const;

  // One pass over the weights for all slices. Afterwards Logits(i) and Hidden(i) are the i-th rows
  // that were wanted, in the order of slices and tokens, and scores have been written. For scores
  // the head is reduced block by block, 8 rows at a time.
  // `cancelled` is polled within layers and the head, every ten milliseconds or so. Committed
  // lengths do not change.
  [[nodiscard]] Status Forward(std::span<const Slice> slices,
                               const std::function<bool()>& cancelled);
  // [vocabulary], valid and writable until the next pass.
  [[nodiscard]] std::span<float> Logits(int32_t index);
  // [embedding], as the logits.
  [[nodiscard]] std::span<const float> Hidden(int32_t index) const;

  [[nodiscard]] const Config& config() const;
  [[nodiscard]] const Plan& plan() const;
  // Of the ledger: what the model holds or is promised.
  [[nodiscard]] uint64_t committed_bytes() const;
  // For what its sessions hold besides keys and values.
  [[nodiscard]] memory::Promise& session_promise();
  // For its adapters.
  [[nodiscard]] const memory::Promise& adapter_promise() const;
  [[nodiscard]] const format::ModelFile& file() const;
  [[nodiscard]] kv::PagePool& pages();
  [[nodiscard]] memory::RegionStore& regions();
  // Of its weights; the model outlives it.
  [[nodiscard]] memory::WeightLender MakeLender();

 private:
  Model();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mirage::model
