// SPDX-License-Identifier: Apache-2.0
#include "model/plan.h"

#include <algorithm>
#include <cstdio>

#include "base/checked.h"
#include "kv/page_pool.h"
#include "kv/prefix_cache.h"
#include "memory/arena.h"
#include "memory/layout.h"
#include "memory/policy/choose.h"
#include "memory/region_store.h"
#include "model/weight_source.h"
#include "model/workspace.h"

namespace mirage::model {

namespace {

constexpr int64_t kMostStepTokens = 512;
constexpr int64_t kLeastStepTokens = 32;
constexpr int64_t kLeastContext = 512;
constexpr int64_t kMostContext = int64_t{1} << 30;
constexpr int64_t kMostSequences = 1 << 16;
constexpr int64_t kMostAdapterBytes = int64_t{1} << 50;
// A layer's vectors and one run of a matrix are leased at once.
constexpr int kLiveLeases = 2;

std::string MiB(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// What is needed and what there is; in bytes where rounding would hide the difference.
std::pair<std::string, std::string> Compared(uint64_t needed, uint64_t there) {
  if (MiB(needed) != MiB(there)) return {MiB(needed), MiB(there)};
  return {std::to_string(needed) + " bytes", std::to_string(there) + " bytes"};
}

// Everything a plan is computed from.
struct Inputs {
  const Config& config;
  const ModelLayout& layout;
  const PlanRequest& request;
  kv::Geometry geometry;
  uint64_t embedding_row_bytes;
  std::vector<uint64_t> region_bytes;

  [[nodiscard]] memory::ResidencyQuery Residency(uint64_t budget) const {
    return {region_bytes, budget, request.chunk_bytes, kLiveLeases};
  }
};

// What a plan may choose, besides which weights stay.
struct Shape {
  int64_t context;
  int64_t step_tokens;
  int32_t sequences;
};

// What the arena, the page pool and the prefix cache keep of the KV of `sequences` and of where it
// may lie.
uint64_t PageTableBytes(const Inputs& in, int64_t context, int64_t step, int64_t sequences,
                        uint64_t kv_bytes) {
  // Of a page: its count of holders, its place among the free ones and in its sequence's table.
  constexpr uint64_t kPerPage = sizeof(uint16_t) + 2 * sizeof(kv::PageNumber);
  const uint64_t addresses = KvAddressBytes(in.request, kv_bytes);
  uint64_t total = 0;
  uint64_t most_nodes = 0;
  for (const kv::LayerGroup& group : in.geometry) {
    const auto pages = static_cast<uint64_t>(kv::PagesFor(group, context, step) * sequences);
    // To a state lead the nodes of all tokens before it.
    const uint64_t nodes = group.kind == kv::CacheKind::kState
                               ? CeilDiv(static_cast<uint64_t>(context), kernels::kPageTokens) *
                                     static_cast<uint64_t>(sequences)
                               : pages;
    most_nodes = std::max(most_nodes, nodes);
    const uint64_t used = std::min(
        CheckedMul<uint64_t>(pages, group.page_bytes()).value_or(kTooManyBytes), kTooManyBytes);
    const uint64_t reserved = std::max(addresses / group.layers.size(), used);
    total += pages * kPerPage + group.layers.size() * memory::Arena::TableBytes(
                                                          reserved, used, in.request.chunk_bytes);
  }
  return total + most_nodes * kv::PrefixCache::NodeBytes(in.geometry.size());
}

uint64_t SessionBytes(const PlanRequest& request, const Shape& shape) {
  const uint64_t each = request.session_bytes.per_sequence +
                        static_cast<uint64_t>(shape.context) * request.session_bytes.per_token;
  return request.session_bytes.fixed + static_cast<uint64_t>(shape.sequences) * each;
}

// The model's own description, and what the arena keeps of its homes and slots.
uint64_t DescriptionBytes(const Inputs& in, uint64_t workspace_bytes) {
  // Of a layer in the pool and the decoder: its address range, its group and its place in that.
  constexpr uint64_t kPerLayer =
      sizeof(LayerConfig) + sizeof(LayerTensors) + sizeof(memory::Range) + 3 * sizeof(int32_t);
  uint64_t total = in.layout.heap_bytes() + in.config.layers.size() * kPerLayer +
                   in.region_bytes.size() * sizeof(memory::RegionIndex);
  for (const RopeConfig& rope : in.config.ropes)
    total += static_cast<uint64_t>(rope.rotary) / 2 * sizeof(double) +
             rope.factors.size() * sizeof(float);
  total += in.config.classifier.weight.size() * sizeof(float);
  const uint64_t slots =
      memory::SlotBytes(*std::max_element(in.region_bytes.begin(), in.region_bytes.end()),
                        kLiveLeases + 1, in.request.chunk_bytes);
  for (const uint64_t bytes : {in.layout.total_bytes(), slots, workspace_bytes})
    total += memory::Arena::TableBytes(bytes, bytes, in.request.chunk_bytes);
  return total;
}

Plan WithoutWeights(const Inputs& in, const Shape& shape) {
  Plan plan;
  plan.context = shape.context;
  plan.step_tokens = shape.step_tokens;
  plan.logit_rows = in.request.logit_rows;
  plan.kv = KvBytes(in.geometry, shape.context, std::min(shape.step_tokens, shape.context),
                    shape.sequences, in.request.chunk_bytes);
  plan.workspace =
      RoundUp(WorkspaceLayout(in.config, {shape.step_tokens, in.request.logit_rows, shape.context,
                                          in.embedding_row_bytes, in.layout.head_block_rows()})
                  .total,
              in.request.chunk_bytes);
  plan.tables = in.request.table_bytes + memory::RegionStore::TableBytes(in.region_bytes.size()) +
                RowGather::CacheBytes(in.embedding_row_bytes) +
                DescriptionBytes(in, plan.workspace) +
                PageTableBytes(in, shape.context, std::min(shape.step_tokens, shape.context),
                               shape.sequences, plan.kv);
  plan.slot_bytes =
      WeightSource::ScratchBytes(in.layout) * static_cast<uint64_t>(in.request.transfer_workers);
  plan.sessions = SessionBytes(in.request, shape);
  plan.adapters = in.request.adapter_bytes;
  plan.total =
      plan.kv + plan.tables + plan.workspace + plan.slot_bytes + plan.sessions + plan.adapters;
  for (const kv::LayerGroup& group : in.geometry)
    if (group.kind != kv::CacheKind::kState)
      plan.kv_bytes_per_token += group.bytes_per_page() / kernels::kPageTokens;
  return plan;
}

std::string Parts(const Plan& plan) {
  return "tables " + MiB(plan.tables) + ", workspace " + MiB(plan.workspace) + ", slots " +
         MiB(plan.slot_bytes) + ", KV " + MiB(plan.kv) + ", sessions " + MiB(plan.sessions) +
         (plan.adapters > 0 ? ", adapters " + MiB(plan.adapters) : "");
}

// All weights streamed through the fewest slots.
Plan Least(const Inputs& in, const Shape& shape) {
  Plan plan = WithoutWeights(in, shape);
  const uint64_t slots = memory::LeastResidencyBytes(in.Residency(0));
  plan.slot_bytes += slots;
  plan.total += slots;
  return plan;
}

// What weights may take at most: all but those that are to be streamed in any case. Below what the
// slots and one region take nothing would be gained.
uint64_t WeightBudget(const Inputs& in) {
  if (in.request.offload_bytes == 0) return UINT64_MAX;
  const uint64_t all = in.layout.total_bytes();
  const uint64_t kept = all - std::min(all, in.request.offload_bytes);
  const uint64_t slots =
      memory::SlotBytes(*std::max_element(in.region_bytes.begin(), in.region_bytes.end()),
                        kLiveLeases + 1, in.request.chunk_bytes);
  return std::max(kept + slots, memory::LeastResidencyBytes(in.Residency(0)));
}

// Adds the weights: all of them where they fit, else as many as do, the others streamed.
Result<Plan> WithWeights(const Inputs& in, const Shape& shape) {
  Plan plan = WithoutWeights(in, shape);
  const uint64_t limit = in.request.limit_bytes;
  const uint64_t budget = limit > plan.total ? limit - plan.total : 0;
  MIRAGE_TRY_ASSIGN(memory::Residency choice,
                    memory::ChooseResident(in.Residency(std::min(budget, WeightBudget(in)))));
  plan.resident = std::move(choice.resident);
  plan.slots = choice.slots;
  plan.slot_bytes += choice.slot_bytes;
  plan.weights = choice.home_bytes;
  std::vector<bool> streamed = plan.resident;
  streamed.flip();
  plan.streamed_bytes_per_pass = in.layout.BytesPerToken(in.config, streamed);
  plan.total += choice.slot_bytes + choice.home_bytes;
  return plan;
}

// The longest context, in whole pages, that fits beside all weights; 0 when not even one page does.
int64_t LongestContext(const Inputs& in, const Shape& most, uint64_t weights) {
  int64_t low = 0;
  int64_t high = most.context / kernels::kPageTokens;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    const Shape shape{middle * kernels::kPageTokens, most.step_tokens, most.sequences};
    const Plan plan = WithoutWeights(in, shape);
    if (plan.total + weights <= in.request.limit_bytes)
      low = middle;
    else
      high = middle - 1;
  }
  return low * kernels::kPageTokens;
}

Status CheckRequest(const PlanRequest& request) {
  const auto check = [](const char* what, int64_t value, int64_t least, int64_t most) -> Status {
    if (value >= least && value <= most) return {};
    return Fail(Code::kInvalidArgument, std::string(what) + " is " + std::to_string(value) +
                                            ", outside " + std::to_string(least) + ".." +
                                            std::to_string(most));
  };
  MIRAGE_TRY(check("the context", request.context, 0, kMostContext));
  MIRAGE_TRY(check("the bytes for adapters",
                   static_cast<int64_t>(std::min<uint64_t>(request.adapter_bytes, INT64_MAX)), 0,
                   kMostAdapterBytes));
  MIRAGE_TRY(check("the number of sequences", request.sequences, 1, kMostSequences));
  MIRAGE_TRY(check("the number of logit rows", request.logit_rows, 1, kMostSequences));
  return check("the number of transfer workers", request.transfer_workers, 1, 64);
}

// Every choice under which the model may run, best first: all weights with the step giving way, all
// weights with a context that gives way where the choice is ours, then streamed weights.
Result<Plan> Choose(const Inputs& in, int64_t wanted) {
  const PlanRequest& request = in.request;
  const bool free_context = request.context == 0;
  MIRAGE_TRY_ASSIGN(const memory::Residency all, memory::ChooseResident(in.Residency(UINT64_MAX)));
  for (int64_t step = kMostStepTokens; step >= kLeastStepTokens; step /= 2) {
    const Shape shape{wanted, step, request.sequences};
    if (WithoutWeights(in, shape).total + all.home_bytes <= request.limit_bytes)
      return WithWeights(in, shape);
  }
  const int64_t shortest = std::min(wanted, kLeastContext);
  for (int64_t step = kMostStepTokens; free_context && step >= kLeastStepTokens; step /= 2) {
    Shape shape{wanted, step, request.sequences};
    shape.context = LongestContext(in, shape, all.home_bytes);
    if (shape.context >= shortest) return WithWeights(in, shape);
  }
  // A pass over streamed weights costs the same however many tokens it carries; what a large step
  // takes from the weights is little beside that.
  Shape shape{free_context ? shortest : wanted, kMostStepTokens / 4, request.sequences};
  for (; shape.step_tokens >= kLeastStepTokens; shape.step_tokens /= 2)
    if (Result<Plan> plan = WithWeights(in, shape)) return plan;
  shape.step_tokens = kLeastStepTokens;
  if (free_context) {  // less than 512 tokens, and of one sequence, is still more than nothing
    shape.sequences = 1;
    for (; shape.context > kernels::kPageTokens; shape.context /= 2)
      if (Result<Plan> plan = WithWeights(in, shape)) return plan;
    shape.context = kernels::kPageTokens;
    if (Result<Plan> plan = WithWeights(in, shape)) return plan;
  }
  const Plan refused = Least(in, shape);
  const auto [needed, there] = Compared(refused.total, request.limit_bytes);
  return OutOfMemory("a context of " + std::to_string(shape.context) + " tokens needs " + needed +
                         " (" + Parts(refused) + ") and the limit is " + there,
                     refused.total, request.limit_bytes);
}

}  // namespace

uint64_t KvAddressBytes(const PlanRequest& request, uint64_t kv_bytes) {
  return std::max(kv_bytes, request.kv_address_bytes);
}

uint64_t KvBytes(const kv::Geometry& geometry, int64_t tokens, int64_t step, int64_t sequences,
                 uint64_t chunk_bytes) {
  uint64_t total = 0;
  for (const kv::LayerGroup& group : geometry) {
    const auto pages = static_cast<uint64_t>(kv::PagesFor(group, tokens, step) * sequences);
    total = std::min(total + kv::BackedBytes(group, pages, chunk_bytes), kTooManyBytes);
  }
  return total;
}

Result<int64_t> SessionContext(const format::ModelFile& file, int64_t requested) {
  if (requested > 0) return requested;
  const format::Metadata& keys = file.metadata();
  MIRAGE_TRY_ASSIGN(const auto architecture,
                    file.Locate(keys.Get<std::string>("general.architecture")));
  MIRAGE_TRY_ASSIGN(const auto trained, file.Locate(keys.GetOr<int64_t>(
                                            architecture + ".context_length", kDefaultContext)));
  return std::clamp<int64_t>(trained, 1, kDefaultContext);
}

Result<Plan> MakePlan(const Description& description, const ModelLayout& layout,
                      uint64_t embedding_row_bytes, const PlanRequest& request) {
  MIRAGE_TRY(CheckRequest(request));
  Inputs in{description.config,  layout, request, description.config.CacheGeometry(request.kv_type),
            embedding_row_bytes, {}};
  for (const Region& region : layout.regions) in.region_bytes.push_back(region.info.bytes);
  const Shape smallest = request.context > 0
                             ? Shape{request.context, kLeastStepTokens, request.sequences}
                             : Shape{kernels::kPageTokens, kLeastStepTokens, 1};
  const Plan least = Least(in, smallest);
  if (request.limit_bytes < least.total) {
    const auto [needed, there] = Compared(least.total, request.limit_bytes);
    return OutOfMemory(
        (request.context > 0 ? "a context of " + std::to_string(request.context) + " tokens"
                             : "the model") +
            " needs at least " + needed + " and " + there + " are there: " + Parts(least),
        least.total, request.limit_bytes);
  }
  MIRAGE_TRY_ASSIGN(Plan plan, Choose(in, request.context > 0 ? request.context
                                                              : std::min(description.config.context,
                                                                         kDefaultContext)));
  plan.weights_total = layout.total_bytes();
  plan.active_bytes =
      layout.BytesPerToken(description.config, std::vector<bool>(layout.regions.size(), true));
  plan.least_bytes = least.total;
  return plan;
}

Result<Plan> MakePlan(const format::ModelFile& file, const PlanRequest& request) {
  MIRAGE_TRY_ASSIGN(const int64_t context, SessionContext(file, request.context));
  MIRAGE_TRY_ASSIGN(const Description description, Describe(file, context));
  MIRAGE_TRY_ASSIGN(const ModelLayout layout, MakeLayout(file, description.map, 0));
  const format::TensorInfo& table = file.tensors()[description.map.embedding.tensor];
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, tensor::RowBytes(table.dtype, table.shape.cols()));
  return MakePlan(description, layout, row_bytes, request);
}

}  // namespace mirage::model
