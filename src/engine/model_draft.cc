// SPDX-License-Identifier: Apache-2.0
#include "engine/model_draft.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace mirage::engine {
namespace {

// The large model's row for the small model's: one may know more tokens than the other.
void CopyRow(std::span<const float> logits, std::span<float> row) {
  const size_t common = std::min(logits.size(), row.size());
  std::copy_n(logits.begin(), common, row.begin());
  std::fill(row.begin() + static_cast<std::ptrdiff_t>(common), row.end(),
            -std::numeric_limits<float>::infinity());
}

// Draws the next guess of a wish from the index-th row of the runner's.
Status GuessOne(ModelRunner& runner, DraftWish& wish, int32_t index, std::span<float> row,
                sample::Workspace& workspace) {
  CopyRow(runner.Logits(index), row);
  wish.context.history = wish.draft->tokens();
  MIRAGE_TRY_ASSIGN(const sample::Choice choice,
                    wish.sampler->Sample(row, wish.context, workspace));
  wish.context.mirostat_mu = choice.mirostat_mu;
  ++wish.context.position;
  wish.draft->Push(choice.token);
  if (std::find(wish.stop_tokens.begin(), wish.stop_tokens.end(), choice.token) !=
      wish.stop_tokens.end())
    wish.draft->Stop();
  return {};
}

}  // namespace

ModelDraft::ModelDraft(std::shared_ptr<ModelRunner> runner, const kv::PrefixSharing& sharing)
    : runner_(std::move(runner)),
      sharing_(model::SharedWith(sharing, model::kNoAdapters)),
      cache_(runner_->pages()) {}

void ModelDraft::Begin(std::span<const int32_t> history, int64_t count, int64_t now_ns) {
  Keep(history);
  const auto length = static_cast<int64_t>(history.size());
  const bool known = std::all_of(history.begin(), history.end(),
                                 [&](int32_t token) { return token < runner_->vocabulary(); });
  left_ = known ? std::min(count, runner_->max_context() - length) : 0;
  // Logits come from computing a token: the newest one is not looked for.
  if (!done() && cache_.length() == 0 && sharing_.enabled)
    runner_->prefixes().Find(sharing_.salt, history.first(history.size() - 1), now_ns, &cache_);
}

// Guesses that did not come true are taken back, and all that follows a change.
void ModelDraft::Keep(std::span<const int32_t> history) {
  const auto same =
      std::mismatch(tokens_.begin(), tokens_.end(), history.begin(), history.end()).first -
      tokens_.begin();
  cache_.Truncate(std::min<int64_t>(same, static_cast<int64_t>(history.size()) - 1));
  tokens_.assign(history.begin(), history.end());
  history_ = static_cast<int64_t>(history.size());
}

std::span<const int32_t> ModelDraft::PendingTokens(int64_t count) const {
  return std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(cache_.length()),
                                                   static_cast<size_t>(count));
}

// Guesses may be taken back, and the newest token, which Begin may want once more.
int64_t ModelDraft::Settled(int64_t end) const { return std::min(end, history_ - 1); }

Status ModelDraft::Reserve(int64_t count) {
  const int64_t end = cache_.length() + count;
  if (cache_.Reserve(end, Settled(end), kv::Snapshots::kTake)) return {};
  return cache_.Reserve(end, Settled(end), kv::Snapshots::kSkip);
}

void ModelDraft::Commit(int64_t count) {
  const int64_t end = cache_.length() + count;
  cache_.Commit(end, Settled(end));
}

void ModelDraft::Push(int32_t guess) {
  tokens_.push_back(guess);
  --left_;
}

void ModelDraft::GiveUp() noexcept {
  cache_.Clear();
  Stop();
}

void ModelDraft::End(std::span<const int32_t> history, int64_t now_ns) noexcept {
  const auto same =
      std::mismatch(tokens_.begin(), tokens_.end(), history.begin(), history.end()).first -
      tokens_.begin();
  const int64_t length = cache_.Truncate(same);
  if (sharing_.enabled)
    runner_->prefixes().Insert(sharing_.salt, history.first(static_cast<size_t>(length)), true,
                               now_ns, &cache_);
  GiveUp();
}

Status GuessTogether(ModelRunner& runner, std::span<DraftWish> wishes, int64_t chunk,
                     const Clock& clock, std::span<float> row, sample::Workspace& workspace) {
  for (;;) {
    std::vector<Slice> slices;
    std::vector<DraftWish*> taking_part;
    int64_t room = runner.max_step_tokens();
    int32_t rows = runner.max_logit_rows();
    for (DraftWish& wish : wishes) {
      ModelDraft& draft = *wish.draft;
      if (draft.done()) continue;
      const int64_t count = std::min({draft.pending(), chunk, room});
      if (count == 0 || rows == 0) {  // no place for it among so many
        draft.Stop();
        continue;
      }
      if (!draft.Reserve(count)) {
        draft.GiveUp();
        continue;
      }
      const bool guesses = count == draft.pending();
      slices.push_back({&draft.cache(), draft.PendingTokens(count), guesses ? 1 : 0});
      taking_part.push_back(&wish);
      room -= count;
      rows -= guesses ? 1 : 0;
    }
    if (slices.empty()) return {};

    const int64_t begin = clock.NowNs();
    MIRAGE_TRY(runner.Forward(slices, {}));
    runner.step_cost.Learn(runner.max_step_tokens() - room, clock.NowNs() - begin);
    int32_t index = 0;
    for (size_t i = 0; i < slices.size(); ++i) {
      DraftWish& wish = *taking_part[i];
      wish.draft->Commit(static_cast<int64_t>(slices[i].tokens.size()));
      if (slices[i].logit_rows == 0)
        wish.draft->Stop();  // it goes on catching up in the next round
      else
        MIRAGE_TRY(GuessOne(runner, wish, index++, row, workspace));
    }
  }
}

}  // namespace mirage::engine
