// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "kernels/cpu/op_table.h"
#include "platform/thread_pool.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

// Row groups of a task are a multiple of this, so that wide tables work on two at a time.
constexpr int64_t kGroupStep = 2;

// Enough tasks to even out threads of unequal speed.
int64_t TasksFor(const platform::ThreadPool& pool) {
  const int64_t threads = pool.threads();
  return threads == 1 ? 1 : threads * pool.cut().tasks_per_thread;
}

// A segment as the tasks see it.
struct Part {
  const MatMulOutput* output;
  const WeightSegment* segment;
  MatMulGroups multiply;
  int64_t row_bytes;
  int64_t cuts;  // pieces of rows; the last has the plain rows as well
};

struct Plan {
  Part parts[kMaxOutputs * kMaxSegments];
  int part_count = 0;
  int64_t cuts = 0;          // of all parts
  int32_t panel_tokens = 0;  // tokens of one task
  int64_t panels = 0;
};

int64_t GroupsOf(const Part& part) { return part.segment->rows / kRowGroup; }

Plan MakePlan(const CpuKernels& kernels, const platform::ThreadPool& pool, int64_t tasks,
              const MatMulArgs& args) {
  Plan plan;
  int64_t groups = 0;
  int64_t token_bytes = 1;
  for (int32_t i = 0; i < args.output_count; ++i) {
    const MatMulOutput& output = args.outputs[i];
    const WeightView& weight = output.weight;
    for (int32_t s = 0; s < weight.segment_count; ++s) {
      if (weight.segments[s].rows <= 0) continue;
      Part& part = plan.parts[plan.part_count++];
      part = {&output, &weight.segments[s], kernels.matmul_groups(weight.dtype),
              static_cast<int64_t>(*tensor::RowBytes(weight.dtype, weight.cols)), 0};
      groups += GroupsOf(part);
    }
    token_bytes = std::max<int64_t>(token_bytes,
                                    ReadsQuantized(weight.dtype)
                                        ? int64_t{weight.cols} / kBlock * int64_t{sizeof(ActBlock)}
                                        : int64_t{weight.cols} * int64_t{sizeof(float)});
  }
  const int64_t step = kernels.matmul_token_step;
  const int64_t fit = std::max(pool.cut().panel_bytes / token_bytes / step * step, step);
  plan.panels = (args.tokens + fit - 1) / fit;
  plan.panel_tokens = static_cast<int32_t>(std::min<int64_t>(fit, args.tokens));

  const int64_t task_groups =
      std::max<int64_t>((groups / tasks + kGroupStep - 1) / kGroupStep * kGroupStep, kGroupStep);
  for (int i = 0; i < plan.part_count; ++i) {
    Part& part = plan.parts[i];
    part.cuts = std::max<int64_t>((GroupsOf(part) + task_groups / 2) / task_groups, 1);
    plan.cuts += part.cuts;
  }
  return plan;
}

// Rows [group_begin * 8, ...) of a part against tokens [token, token + tokens).
void MultiplyRows(const CpuKernels& kernels, const MatMulArgs& args, const Part& part,
                  int64_t group_begin, int64_t group_end, bool plain_rows, int32_t token,
                  int32_t tokens) {
  const WeightView& weight = part.output->weight;
  const bool quantized = ReadsQuantized(weight.dtype);
  MatMulPiece piece{};
  piece.cols = weight.cols;
  piece.tokens = tokens;
  piece.x_stride = quantized ? weight.cols / kBlock : weight.cols;
  piece.x = quantized ? static_cast<const void*>(args.x.q8 + token * piece.x_stride)
                      : static_cast<const void*>(args.x.f32 + token * piece.x_stride);
  piece.y_stride = part.output->y_stride;

  const auto aim_at_row = [&](int64_t row) {
    piece.groups = part.segment->data + row * part.row_bytes;
    piece.y = part.output->y + token * part.output->y_stride + part.segment->row0 + row;
    piece.bias =
        part.output->bias == nullptr ? nullptr : part.output->bias + part.segment->row0 + row;
  };
  if (group_begin < group_end) {
    aim_at_row(group_begin * kRowGroup);
    piece.group_bytes = part.row_bytes * kRowGroup;
    piece.group_count = static_cast<int32_t>(group_end - group_begin);
    part.multiply(piece);
  }
  if (plain_rows && part.segment->rows % kRowGroup != 0) {
    aim_at_row(GroupsOf(part) * kRowGroup);
    piece.group_bytes = part.row_bytes;
    piece.group_count = part.segment->rows % kRowGroup;
    kernels.matmul_plain_rows(weight.dtype, piece);
  }
}

void RunTask(const CpuKernels& kernels, const MatMulArgs& args, const Plan& plan, int64_t task) {
  // All rows of one panel of tokens, then the next panel.
  const auto token = static_cast<int32_t>(task / plan.cuts) * plan.panel_tokens;
  const int32_t tokens = std::min(plan.panel_tokens, args.tokens - token);
  int64_t cut = task % plan.cuts;
  const Part* part = plan.parts;
  while (cut >= part->cuts) cut -= (part++)->cuts;

  const int64_t pairs = (GroupsOf(*part) + kGroupStep - 1) / kGroupStep;
  const int64_t begin = std::min(cut * pairs / part->cuts * kGroupStep, GroupsOf(*part));
  const int64_t end = std::min((cut + 1) * pairs / part->cuts * kGroupStep, GroupsOf(*part));
  MultiplyRows(kernels, args, *part, begin, end, cut == part->cuts - 1, token, tokens);
}

}  // namespace

void RunMatMul(const CpuKernels& kernels, platform::ThreadPool& pool, const MatMulArgs& args) {
  if (args.tokens <= 0) return;
  const Plan plan = MakePlan(kernels, pool, TasksFor(pool), args);
  pool.ParallelFor(plan.cuts * plan.panels,
                   [&](int64_t task, int /*thread*/) { RunTask(kernels, args, plan, task); });
}

// The tasks of one product after those of another. Products are of about equal size, so that each
// gets its part of the tasks.
void RunMatMulEach(const CpuKernels& kernels, platform::ThreadPool& pool,
                   const MatMulEachArgs& args) {
  Plan plans[kMaxProducts];
  int64_t ends[kMaxProducts];
  int64_t tasks = 0;
  for (int32_t i = 0; i < args.count; ++i) {
    const int64_t share = (TasksFor(pool) + args.count - 1) / args.count;
    plans[i] = MakePlan(kernels, pool, share, args.products[i]);
    ends[i] = tasks += plans[i].cuts * plans[i].panels;
  }
  pool.ParallelFor(tasks, [&](int64_t task, int /*thread*/) {
    const int64_t* end = std::upper_bound(ends, ends + args.count, task);
    const auto i = end - ends;
    RunTask(kernels, args.products[i], plans[i], task - (i == 0 ? 0 : ends[i - 1]));
  });
}

}  // namespace mirage::kernels
