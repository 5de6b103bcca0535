// SPDX-License-Identifier: Apache-2.0
#pragma once

// Plan: what a model takes, by part, under a limit; asked before anything is loaded.
//
// One pure function serves the plan before load, admission, `inspect` and the answer when memory
// runs out. Its numbers are those the loader then takes from the ledger.
//
// The order of giving way under a limit, when the caller left the choice: the step's workspace
// shrinks, then the context down to 512, then weights are streamed. An explicit context is honoured
// by streaming.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "format/model_file.h"
#include "model/arch/architectures.h"
#include "model/region_layout.h"

namespace mirage::model {

struct PlanRequest {
  uint64_t limit_bytes = UINT64_MAX;  // for this model: what the ledger has available
  uint64_t table_bytes = 0;           // vocabulary and the like, kept beside the model
  int64_t context = 0;                // tokens a sequence may hold; 0: chosen, at most 8192
  kv::KvType kv_type = kv::KvType::kF16;
  int32_t sequences = 1;  // that many of `context` tokens at once
  // Kept for their user beside keys and values, text and tokens: for all, for each, and for each of
  // its tokens.
  struct {
    uint64_t fixed = 0;
    uint64_t per_sequence = 0;
    uint64_t per_token = 0;
  } session_bytes;
  uint64_t adapter_bytes = 0;       // kept for LoRA adapters
  uint64_t offload_bytes = 0;       // of weights, to be streamed even where there is room for them
  int32_t logit_rows = 1;           // sequences sampled in one step, at most
  int32_t transfer_workers = 1;     // each holds a buffer to repack with
  uint64_t chunk_bytes = 64 << 10;  // the arena's
  // Of addresses for each layer group's pages, where the plan's own KV is less: a limit raised
  // later gives the pages that fit into them.
  uint64_t kv_address_bytes = uint64_t{64} << 30;
};

struct Plan {
  int64_t context = 0;
  int64_t step_tokens = 0;
  int32_t logit_rows = 0;
  int32_t slots = 3;  // staging slots, backed while something is streamed

  // Bytes taken from the ledger.
  uint64_t weights = 0;     // resident
  uint64_t kv = 0;          // at the full context of every sequence; taken page by page
  uint64_t slot_bytes = 0;  // slots and buffers to repack with
  uint64_t tables = 0;
  uint64_t workspace = 0;
  uint64_t sessions = 0;  // promised, and taken as they grow
  uint64_t adapters = 0;  // promised, and taken as they are loaded
  uint64_t total = 0;

  uint64_t weights_total = 0;  // resident or not
  // What a pass of one token reads, on average over the experts of a mixture, and what it streams
  // of that.
  uint64_t active_bytes = 0;
  uint64_t streamed_bytes_per_pass = 0;
  uint64_t kv_bytes_per_token = 0;  // over all layers, windows not counted, states left out
  uint64_t least_bytes = 0;         // the smallest limit that works
  std::vector<bool> resident;       // per region
};

// kOutOfMemory with the least bytes that work and their parts, or with what an explicit context
// would take.
[[nodiscard]] Result<Plan> MakePlan(const Description& description, const ModelLayout& layout,
                                    uint64_t embedding_row_bytes, const PlanRequest& request);

// The same from a file, nothing loaded.
[[nodiscard]] Result<Plan> MakePlan(const format::ModelFile& file, const PlanRequest& request);

// Bytes of addresses to reserve for each layer group's pages.
[[nodiscard]] uint64_t KvAddressBytes(const PlanRequest& request, uint64_t kv_bytes);

// Bytes of KV and states, in whole chunks per layer, that sequences of `tokens` tokens hold while
// `step` are computed.
[[nodiscard]] uint64_t KvBytes(const kv::Geometry& geometry, int64_t tokens, int64_t step,
                               int64_t sequences, uint64_t chunk_bytes);

// The longest sequence a model is run with when the caller names none.
inline constexpr int64_t kDefaultContext = 8192;
// The caller's choice or the default, within what the model was trained for.
[[nodiscard]] Result<int64_t> SessionContext(const format::ModelFile& file, int64_t requested);

}  // namespace mirage::model
