// SPDX-License-Identifier: Apache-2.0
#pragma once

// What becomes of a prompt that is too long for its session's context.
//
// Pure functions of the conversation or tokens, so that a session that was saved, forked or
// rendered anew leaves out the same. Any thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "session/conversation.h"

namespace mirage::session {

struct ContextOverflow {
  enum class Policy : int32_t { kError = 0, kShift = 1, kTruncateMiddle = 2 };
  Policy policy = Policy::kError;
  int64_t keep = -1;  // first tokens that stay; -1: the system messages', or else kSinks

  static constexpr int64_t kSinks = 4;
};

// kInvalidArgument for what to keep of a context of `context` tokens.
[[nodiscard]] Status CheckOverflow(const ContextOverflow& overflow, int64_t context);

// Where a prompt goes.
struct PromptSpace {
  ContextOverflow overflow;
  int64_t context = 0;
  int64_t max_tokens = -1;  // of the answer
  // A prompt of tokens that holds it means nothing without its other parts. -1: there is none.
  int32_t indivisible = -1;
};

struct FittedPrompt {
  std::vector<int32_t> tokens;
  int64_t keep = 0;       // of these, the first that stay when the context shifts
  int64_t dropped = 0;    // tokens that the whole prompt has more
  bool divisible = true;  // else nothing was dropped of it, and nothing may be
};

// Tokens after the first ones are dropped where there are too many. With kError nothing ever is,
// nor of a prompt that is indivisible.
[[nodiscard]] FittedPrompt FitTokens(std::vector<int32_t> tokens, const PromptSpace& space);

// A conversation's JSON to tokens; kRefused by a template that does not render it.
using RenderTokens = std::function<Result<std::vector<int32_t>>(const std::string& json)>;

// Messages are left out, where the template renders what is left, or else tokens. Fails as `render`
// of the whole does.
[[nodiscard]] Result<FittedPrompt> FitConversation(const Conversation& conversation,
                                                   const RenderTokens& render,
                                                   const PromptSpace& space);

}  // namespace mirage::session
