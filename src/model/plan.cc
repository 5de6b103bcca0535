// SPDX-License-Identifier: Apache-2.0
#include "model/plan.h"

#include <algorithm>
#include <cstdio>

#include "base/checked.h"
#include "memory/policy/choose.h"
#include "model/weight_source.h"
#include "model/workspace.h"

namespace mirage::model {

namespace {

constexpr int64_t kMostStepTokens = 512;
constexpr int64_t kLeastStepTokens = 32;
constexpr int64_t kLeastContext = 512;

std::string MiB(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

int64_t HeadBlockRows(const ModelLayout& layout) {
  int64_t most = 0;
  for (uint32_t i = 0; i < layout.head.region_count; ++i)
    most = std::max(most, layout.regions[layout.head.first_region + i].pieces[0].source.rows);
  return most;
}

// Everything a plan is computed from.
struct Inputs {
  const Config& config;
  const ModelLayout& layout;
  const PlanRequest& request;
  kv::Geometry geometry;
  uint64_t embedding_row_bytes;
  std::vector<uint64_t> region_bytes;

  [[nodiscard]] uint64_t Workspace(int64_t step_tokens, int64_t logit_rows) const {
    return RoundUp(
        WorkspaceLayout(config, step_tokens, logit_rows, embedding_row_bytes, HeadBlockRows(layout))
            .total,
        request.chunk_bytes);
  }
  [[nodiscard]] uint64_t Kv(int64_t context, int64_t step_tokens) const {
    return KvBytes(geometry, context, std::min(step_tokens, context), request.sequences,
                   request.chunk_bytes);
  }
  [[nodiscard]] uint64_t Bounce() const {
    return WeightSource::BounceBytes(layout) * static_cast<uint64_t>(request.transfer_workers);
  }
  // A layer's vectors and one run of a matrix are leased at once.
  [[nodiscard]] memory::ResidencyQuery Residency(uint64_t budget) const {
    return {region_bytes, budget, request.chunk_bytes, 2};
  }
};

Plan Base(const Inputs& in, int64_t context, int64_t step_tokens) {
  Plan plan;
  plan.context = context;
  plan.step_tokens = step_tokens;
  plan.logit_rows = in.request.logit_rows;
  plan.kv = in.Kv(context, step_tokens);
  plan.tables = in.request.table_bytes;
  plan.workspace = in.Workspace(step_tokens, in.request.logit_rows);
  plan.slot_bytes = in.Bounce();
  plan.weights_total = RoundUp(in.layout.total_bytes(), in.request.chunk_bytes);
  for (const kv::LayerGroup& group : in.geometry)
    plan.kv_bytes_per_token += group.bytes_per_page() / kernels::kPageTokens;
  return plan;
}

uint64_t WithoutWeights(const Plan& plan) {
  return plan.kv + plan.tables + plan.workspace + plan.slot_bytes;
}

Plan AllResident(Plan plan, const Inputs& in) {
  plan.weights = plan.weights_total;
  plan.resident.assign(in.layout.regions.size(), true);
  plan.total = WithoutWeights(plan) + plan.weights;
  return plan;
}

// All weights streamed through the fewest slots, one page per layer and the smallest step.
Plan Least(const Inputs& in) {
  Plan plan = Base(in, kernels::kPageTokens, kLeastStepTokens);
  plan.logit_rows = 1;
  plan.workspace = in.Workspace(kLeastStepTokens, 1);
  plan.kv =
      KvBytes(in.geometry, kernels::kPageTokens, kernels::kPageTokens, 1, in.request.chunk_bytes);
  plan.slot_bytes += memory::LeastResidencyBytes(in.Residency(0));
  plan.total = WithoutWeights(plan);
  return plan;
}

// The longest context, in whole pages, that fits beside all weights; 0 when not even the least
// does.
int64_t LongestContext(const Inputs& in, int64_t most, int64_t step_tokens) {
  int64_t low = 0;
  int64_t high = most / kernels::kPageTokens;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (AllResident(Base(in, middle * kernels::kPageTokens, step_tokens), in).total <=
        in.request.limit_bytes)
      low = middle;
    else
      high = middle - 1;
  }
  return low * kernels::kPageTokens;
}

std::string Parts(const Plan& plan) {
  return "tables " + MiB(plan.tables) + ", workspace " + MiB(plan.workspace) + ", slots " +
         MiB(plan.slot_bytes) + ", KV " + MiB(plan.kv);
}

// Keeps as many regions as fit beside the rest and streams the others.
Result<Plan> Streaming(const Inputs& in, int64_t context, int64_t step_tokens) {
  Plan plan = Base(in, context, step_tokens);
  const uint64_t rest = WithoutWeights(plan);
  const uint64_t budget = in.request.limit_bytes > rest ? in.request.limit_bytes - rest : 0;
  MIRAGE_TRY_ASSIGN(memory::Residency choice, memory::ChooseResident(in.Residency(budget)));
  plan.resident = std::move(choice.resident);
  plan.slots = choice.slots;
  plan.slot_bytes += choice.slot_bytes;
  plan.weights = choice.home_bytes;
  plan.streamed_bytes_per_pass = choice.streamed_bytes;
  plan.total = WithoutWeights(plan) + plan.weights;
  return plan;
}

}  // namespace

uint64_t KvBytes(const kv::Geometry& geometry, int64_t tokens, int64_t step, int64_t sequences,
                 uint64_t chunk_bytes) {
  uint64_t total = 0;
  for (const kv::LayerGroup& group : geometry) {
    const auto pages = static_cast<uint64_t>(kv::PagesFor(group, tokens, step) * sequences);
    total += RoundUp(pages * group.page_bytes(), chunk_bytes) * group.layers.size();
  }
  return total;
}

Result<int64_t> SessionContext(const format::ModelFile& file, int64_t requested) {
  if (requested > 0) return requested;
  MIRAGE_TRY_ASSIGN(const auto architecture,
                    file.metadata().Get<std::string>("general.architecture"));
  MIRAGE_TRY_ASSIGN(const auto trained,
                    file.metadata().Get<int64_t>(architecture + ".context_length"));
  return std::clamp<int64_t>(trained, 1, kDefaultContext);
}

Result<Plan> MakePlan(const Description& description, const ModelLayout& layout,
                      uint64_t embedding_row_bytes, const PlanRequest& request) {
  Inputs in{description.config,  layout, request, description.config.CacheGeometry(),
            embedding_row_bytes, {}};
  for (const Region& region : layout.regions) in.region_bytes.push_back(region.info.bytes);
  const Plan least = Least(in);
  const uint64_t limit = request.limit_bytes;
  if (limit < least.total)
    return OutOfMemory("the limit of " + MiB(limit) + " is below the least that works, " +
                           MiB(least.total) + ": " + Parts(least),
                       least.total, limit);

  const int64_t wanted = request.context > 0
                             ? request.context
                             : std::min<int64_t>(description.config.context, kDefaultContext);
  const auto finish = [&](Plan plan) {
    plan.least_bytes = least.total;
    return plan;
  };

  // All weights, the wanted context; the step gives way first.
  for (int64_t step = kMostStepTokens; step >= kLeastStepTokens; step /= 2) {
    Plan plan = AllResident(Base(in, wanted, step), in);
    if (plan.total <= limit) return finish(std::move(plan));
  }
  // All weights, a shorter context where the choice is ours.
  const int64_t shortest = std::min(wanted, kLeastContext);
  if (request.context == 0) {
    for (int64_t step = kMostStepTokens; step >= kLeastStepTokens; step /= 2) {
      const int64_t context = LongestContext(in, wanted, step);
      if (context >= shortest) return finish(AllResident(Base(in, context, step), in));
    }
  }
  // Streamed weights. The step stays as large as leaves the KV and slots their place: each pass
  // over the weights costs the streamed bytes, however many tokens it carries.
  const int64_t context = request.context > 0 ? wanted : shortest;
  for (int64_t step = kMostStepTokens / 4; step >= kLeastStepTokens; step /= 2) {
    if (Result<Plan> plan = Streaming(in, context, step)) return finish(std::move(*plan));
  }
  if (request.context == 0) {  // less than 512 tokens is still more than nothing
    for (int64_t shorter = context / 2; shorter >= kernels::kPageTokens; shorter /= 2)
      if (Result<Plan> plan = Streaming(in, shorter, kLeastStepTokens))
        return finish(std::move(*plan));
  }
  Plan refused = Base(in, context, kLeastStepTokens);
  refused.slot_bytes += memory::LeastResidencyBytes(in.Residency(0));
  const uint64_t needed = WithoutWeights(refused);
  return OutOfMemory("a context of " + std::to_string(context) + " tokens needs " + MiB(needed) +
                         " (" + Parts(refused) + ") and the limit is " + MiB(limit),
                     needed, limit);
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
