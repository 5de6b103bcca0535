// SPDX-License-Identifier: Apache-2.0

#include "session/context_overflow.h"

#include <algorithm>
#include <utility>

namespace mirage::session {
namespace {

using Policy = ContextOverflow::Policy;

constexpr int64_t kRoomForAnswer = 256;  // where none is asked for, and all that a shift needs

int64_t Size(const std::vector<int32_t>& tokens) { return static_cast<int64_t>(tokens.size()); }

// What is kept is less than half, and room at most half: so something of a prompt's end is left.
int64_t MostKept(int64_t context) { return (context - 1) / 2; }

int64_t MostPromptTokens(const PromptSpace& space) {
  const bool shifts = space.overflow.policy == Policy::kShift;
  int64_t room = space.max_tokens > 0 ? space.max_tokens : kRoomForAnswer;
  if (shifts) room = std::min(room, kRoomForAnswer);
  room = std::min(room, space.context / (shifts ? 4 : 2));
  return space.context - std::max<int64_t>(1, room);
}

// How many tokens a prompt of `tokens` must lose. A context that shifts loses them in portions, so
// that a conversation that grows begins alike for a while and is not computed again each time.
int64_t TokensToDrop(const PromptSpace& space, int64_t keep, int64_t tokens) {
  const int64_t excess = tokens - MostPromptTokens(space);
  if (excess <= 0 || space.overflow.policy != Policy::kShift) return std::max<int64_t>(0, excess);
  const int64_t portion = std::max<int64_t>(1, (space.context - keep) / 2);
  return (excess + portion - 1) / portion * portion;
}

int64_t KeptOf(const PromptSpace& space, int64_t by_default) {
  if (space.overflow.policy == Policy::kError) return 0;
  if (space.overflow.keep >= 0) return space.overflow.keep;
  return std::min(by_default, MostKept(space.context));
}

void Cut(FittedPrompt* prompt, const PromptSpace& space) {
  const int64_t count = TokensToDrop(space, prompt->keep, Size(prompt->tokens));
  const auto begin = prompt->tokens.begin() + prompt->keep;
  if (count > 0) prompt->tokens.erase(begin, begin + count);
  prompt->dropped += count;
}

// Tokens of the system messages that the conversation begins with, as far as they are told apart
// from what comes after.
Result<int64_t> SystemTokens(const Conversation& conversation, const RenderTokens& render,
                             const std::vector<int32_t>& whole) {
  const size_t count = conversation.SystemMessages();
  if (count == 0) return ContextOverflow::kSinks;
  Result<std::vector<int32_t>> alone = render(conversation.BeginningToJson(count));
  if (!alone) {
    if (alone.error().code == Code::kRefused) return ContextOverflow::kSinks;
    return Fail(std::move(alone).error());
  }
  const auto common = std::mismatch(whole.begin(), whole.end(), alone->begin(), alone->end());
  return std::max<int64_t>(ContextOverflow::kSinks, common.first - whole.begin());
}

// The rendering without as few as will do of the oldest messages. Fewer are more tokens: the first
// that is short enough is found by halving. Those that the template refuses are not. Empty: none
// is.
Result<std::vector<int32_t>> LeaveOut(const Conversation& conversation, const RenderTokens& render,
                                      int64_t most_tokens) {
  const std::vector<size_t> begins = conversation.LaterTurns();
  std::vector<int32_t> best;
  size_t low = 0;
  size_t high = begins.size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    Result<std::vector<int32_t>> tokens = render(conversation.TurnsToJson(begins[middle]));
    if (!tokens && tokens.error().code != Code::kRefused) return Fail(std::move(tokens).error());
    if (tokens && Size(*tokens) <= most_tokens) {
      best = *std::move(tokens);
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return best;
}

}  // namespace

Status CheckOverflow(const ContextOverflow& overflow, int64_t context) {
  if (overflow.keep == -1) return {};
  if (overflow.policy == Policy::kError)
    return Fail(Code::kInvalidArgument, "keep_tokens is " + std::to_string(overflow.keep) +
                                            ", but the overflow drops none");
  if (overflow.keep < 0 || overflow.keep > MostKept(context))
    return Fail(Code::kInvalidArgument, "keep_tokens is " + std::to_string(overflow.keep) +
                                            "; 0 to " + std::to_string(MostKept(context)) +
                                            " of a context of " + std::to_string(context) +
                                            " tokens are allowed, or -1");
  return {};
}

FittedPrompt FitTokens(std::vector<int32_t> tokens, const PromptSpace& space) {
  FittedPrompt prompt;
  prompt.tokens = std::move(tokens);
  prompt.keep = KeptOf(space, ContextOverflow::kSinks);
  prompt.divisible = space.indivisible < 0 || std::find(prompt.tokens.begin(), prompt.tokens.end(),
                                                        space.indivisible) == prompt.tokens.end();
  if (space.overflow.policy != Policy::kError && prompt.divisible) Cut(&prompt, space);
  return prompt;
}

Result<FittedPrompt> FitConversation(const Conversation& conversation, const RenderTokens& render,
                                     const PromptSpace& space) {
  FittedPrompt prompt;
  MIRAGE_TRY_ASSIGN(prompt.tokens, render(conversation.ToJson()));
  if (space.overflow.policy == Policy::kError) return prompt;
  int64_t system = ContextOverflow::kSinks;
  if (space.overflow.keep < 0) {
    MIRAGE_TRY_ASSIGN(system, SystemTokens(conversation, render, prompt.tokens));
  }
  prompt.keep = KeptOf(space, system);
  const int64_t whole = Size(prompt.tokens);
  const int64_t wanted = TokensToDrop(space, prompt.keep, whole);
  if (wanted == 0) return prompt;
  MIRAGE_TRY_ASSIGN(std::vector<int32_t> shorter, LeaveOut(conversation, render, whole - wanted));
  if (shorter.empty()) {  // the last messages alone are too long, or no portion ends among them
    MIRAGE_TRY_ASSIGN(shorter, LeaveOut(conversation, render, MostPromptTokens(space)));
  }
  if (!shorter.empty()) {
    prompt.tokens = std::move(shorter);
    prompt.dropped = whole - Size(prompt.tokens);
    return prompt;
  }
  Cut(&prompt, space);
  return prompt;
}

}  // namespace mirage::session
