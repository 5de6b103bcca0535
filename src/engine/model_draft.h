// SPDX-License-Identifier: Apache-2.0
#pragma once

// ModelDraft: guesses the next tokens of a sequence with a smaller model of the same vocabulary
// (speculative decoding; Leviathan, Kalman, Matias, 2023, arXiv 2211.17192).
//
// A guess is drawn from the small model's logits exactly as the token itself will be from the large
// model's: by the same sampler, with the same random number. Where the two distributions are near
// each other the two draws agree, at any temperature; which token comes is the large model's alone.
//
// It holds keys and values of its own. They are worth only time: whoever needs their pages takes
// them.
//
// Engine thread, once made.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/model_runner.h"
#include "kv/prefix_cache.h"
#include "kv/sequence_cache.h"
#include "sample/sampler.h"

namespace mirage::engine {

class ModelDraft {
 public:
  ModelDraft(std::shared_ptr<ModelRunner> runner, const kv::PrefixSharing& sharing);

  [[nodiscard]] ModelRunner& runner() const { return *runner_; }
  [[nodiscard]] const kv::SequenceCache& cache() const { return cache_; }

  // Begins to guess what follows `history`: at most `count` tokens, fewer where the small model's
  // context ends, and none where it does not know a token of it.
  void Begin(std::span<const int32_t> history, int64_t count, int64_t now_ns);
  [[nodiscard]] bool done() const { return left_ <= 0; }
  // No more guesses for now.
  void Stop() noexcept { left_ = 0; }
  // Tokens to compute before the next one can be guessed.
  [[nodiscard]] int64_t pending() const {
    return static_cast<int64_t>(tokens_.size()) - cache_.length();
  }
  [[nodiscard]] std::span<const int32_t> PendingTokens(int64_t count) const;
  // Pages for `count` pending tokens. All or nothing.
  [[nodiscard]] Status Reserve(int64_t count);
  void Commit(int64_t count);
  void Push(int32_t guess);
  // The history that Begin got and the guesses since; the guesses alone.
  [[nodiscard]] std::span<const int32_t> tokens() const { return tokens_; }
  [[nodiscard]] std::span<const int32_t> guesses() const {
    return std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(history_));
  }

  // Gives up keys and values; guesses that were made stay.
  void GiveUp() noexcept;
  // The sequence's last request ends: the next one finds what was computed of `history`.
  void End(std::span<const int32_t> history, int64_t now_ns) noexcept;

 private:
  void Keep(std::span<const int32_t> history);
  // With `end` tokens computed, those that stay.
  [[nodiscard]] int64_t Settled(int64_t end) const;

  const std::shared_ptr<ModelRunner> runner_;
  const kv::PrefixSharing sharing_;  // without adapters
  kv::SequenceCache cache_;
  std::vector<int32_t> tokens_;  // those of the cache are a beginning of it
  int64_t history_ = 0;          // of tokens_
  int64_t left_ = 0;             // guesses still wanted
};

// Of one request that wants guesses, what is needed to draw them.
struct DraftWish {
  ModelDraft* draft = nullptr;
  const sample::Sampler* sampler = nullptr;
  // Of the first token guessed; its history is the draft's.
  sample::DrawContext context;
  std::span<const int32_t> stop_tokens;  // nothing follows one of these
};

// Guesses for all wishes together, which are of one runner and begun: a pass gives each its next
// guess. One that has more than `chunk` tokens to catch up on computes so many of them and guesses
// nothing yet. `row` is as wide as the large model's vocabulary. After an error all drafts are
// to be dropped.
[[nodiscard]] Status GuessTogether(ModelRunner& runner, std::span<DraftWish> wishes, int64_t chunk,
                                   const Clock& clock, std::span<float> row,
                                   sample::Workspace& workspace);

}  // namespace mirage::engine
