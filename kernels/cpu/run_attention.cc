// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "kernels/cpu/op_table.h"
#include "platform/thread_pool.h"

namespace mirage::kernels {
namespace {

// Fewer query rows of one sequence than this and its splits may be tasks of their own.
constexpr int32_t kDecodeTokens = 4;

// How one sequence is cut. Rows are query rows: tokens x heads of one kv head.
struct SequenceCut {
  int64_t row_tiles;
  int64_t split_begin;
  int64_t splits;
};

struct Cutter {
  const CpuKernels& kernels;
  const AttentionArgs& args;
  int32_t heads_per_kv = args.heads / args.layer.kv_heads;
  int32_t tile_rows = kernels.attention_rows(args.layer.head_dim);

  SequenceCut Cut(const SequenceView& sequence) const {
    const int64_t rows = int64_t{sequence.tokens} * heads_per_kv;
    int64_t begin = 0;
    if (args.window > 0) begin = std::max<int64_t>(0, sequence.position + 1 - args.window);
    const int64_t last = sequence.position + sequence.tokens - 1;
    const int64_t split_begin = begin / kSplitTokens;
    return {(rows + tile_rows - 1) / tile_rows, split_begin, last / kSplitTokens - split_begin + 1};
  }

  // Tile number `tile` of a sequence, against all splits that its rows see.
  AttentionPiece Piece(const SequenceView& sequence, int32_t kv_head, int64_t tile) const {
    const auto rows = static_cast<int32_t>(sequence.tokens * heads_per_kv);
    AttentionPiece piece{};
    piece.args = &args;
    piece.sequence = &sequence;
    piece.kv_head = kv_head;
    piece.row_begin = static_cast<int32_t>(tile) * tile_rows;
    piece.row_end = std::min(piece.row_begin + tile_rows, rows);
    const int64_t first = sequence.position + piece.row_begin / heads_per_kv;
    const int64_t last = sequence.position + (piece.row_end - 1) / heads_per_kv;
    const int64_t begin = args.window > 0 ? std::max<int64_t>(0, first + 1 - args.window) : 0;
    piece.split_begin = begin / kSplitTokens;
    piece.split_end = last / kSplitTokens + 1;
    return piece;
  }
};

// Every (sequence, kv head, tile of rows) is a task that goes through its splits in order.
void AttendByTiles(const Cutter& cutter, platform::ThreadPool& pool) {
  const AttentionArgs& args = cutter.args;
  int64_t tiles = 0;
  for (int32_t s = 0; s < args.sequence_count; ++s)
    tiles += cutter.Cut(args.sequences[s]).row_tiles;
  pool.ParallelFor(tiles * args.layer.kv_heads, [&](int64_t task, int /*thread*/) {
    int64_t tile = task / args.layer.kv_heads;
    const SequenceView* sequence = args.sequences;
    for (int64_t count; tile >= (count = cutter.Cut(*sequence).row_tiles); ++sequence)
      tile -= count;
    cutter.kernels.attention(
        cutter.Piece(*sequence, static_cast<int32_t>(task % args.layer.kv_heads), tile));
  });
}

// One sequence of few rows: for every (kv head, tile) a few runs of splits are tasks that leave a
// partial result for each split in scratch.
void AttendBySplits(const Cutter& cutter, platform::ThreadPool& pool,
                    const SequenceView& sequence) {
  const AttentionArgs& args = cutter.args;
  const SequenceCut cut = cutter.Cut(sequence);
  const int64_t tiles = cut.row_tiles * args.layer.kv_heads;
  const int64_t row_floats = cut.splits * (args.layer.head_dim + 2);
  const auto piece_of = [&](int64_t tile) {
    const auto kv_head = static_cast<int32_t>(tile % args.layer.kv_heads);
    AttentionPiece piece = cutter.Piece(sequence, kv_head, tile / args.layer.kv_heads);
    const int64_t rows = int64_t{sequence.tokens} * cutter.heads_per_kv;
    piece.split_begin = cut.split_begin;
    piece.split_end = cut.split_begin + cut.splits;
    piece.partials = args.scratch + (kv_head * rows + piece.row_begin) * row_floats;
    piece.partial_splits = cut.splits;
    return piece;
  };
  const int64_t tasks = int64_t{pool.threads()} * pool.cut().tasks_per_thread;
  const int64_t run = std::max<int64_t>(1, tiles * cut.splits / tasks);
  const int64_t runs = (cut.splits + run - 1) / run;
  pool.ParallelFor(tiles * runs, [&](int64_t task, int /*thread*/) {
    AttentionPiece piece = piece_of(task / runs);
    const int64_t first = task % runs * run;
    piece.split_begin += first;
    piece.split_end = std::min(piece.split_begin + run, piece.split_end);
    piece.partials += first * (args.layer.head_dim + 2);
    cutter.kernels.attention(piece);
  });
  for (int64_t tile = 0; tile < tiles; ++tile) cutter.kernels.attention_merge(piece_of(tile));
}

}  // namespace

void RunKvWrite(const CpuKernels& kernels, platform::ThreadPool& pool, const KvWriteArgs& args) {
  constexpr int32_t kTokensPerTask = kPageTokens;  // a task mostly owns its page's cache lines
  int64_t tasks = 0;
  for (int32_t s = 0; s < args.sequence_count; ++s)
    tasks += (args.sequences[s].tokens + kTokensPerTask - 1) / kTokensPerTask;
  const auto write = [&](int64_t task) {
    const SequenceView* sequence = args.sequences;
    for (int64_t count; task >= (count = (sequence->tokens + kTokensPerTask - 1) / kTokensPerTask);
         ++sequence)
      task -= count;
    const auto begin = static_cast<int32_t>(task) * kTokensPerTask;
    kernels.kv_write(args, *sequence, begin, std::min(begin + kTokensPerTask, sequence->tokens));
  };
  constexpr int64_t kTasksWorthAPool = 16;
  int64_t tokens = 0;
  for (int32_t s = 0; s < args.sequence_count; ++s) tokens += args.sequences[s].tokens;
  if (tokens < kTasksWorthAPool) {
    for (int64_t task = 0; task < tasks; ++task) write(task);
  } else {
    pool.ParallelFor(tasks, [&](int64_t task, int /*thread*/) { write(task); });
  }
}

void RunAttention(const CpuKernels& kernels, platform::ThreadPool& pool,
                  const AttentionArgs& args) {
  const Cutter cutter{kernels, args};
  const bool scratch =
      args.scratch != nullptr && args.scratch_floats >= AttentionScratchFloats(args);
  // Splits become tasks only where sequences and heads do not fill the threads.
  const bool one_small = args.sequence_count == 1 && args.sequences[0].tokens <= kDecodeTokens;
  if (scratch && one_small && args.layer.kv_heads < 2 * pool.threads() && pool.threads() > 1 &&
      cutter.Cut(args.sequences[0]).splits > 1) {
    AttendBySplits(cutter, pool, args.sequences[0]);
    return;
  }
  AttendByTiles(cutter, pool);
}

}  // namespace mirage::kernels
