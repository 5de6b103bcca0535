// SPDX-License-Identifier: Apache-2.0
#pragma once

// A conversation's JSON through a chat template, to text or to tokens.
//
// Templates and JSON nest deeper than a caller's stack may allow: they are read and rendered on a
// stack of the library's own.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace mirage::session {

// Renders as text::ChatTemplate does; the begin and end tokens, where the JSON names none, are the
// tokenizer's (null: absent), and the time, where none is given, is now.
[[nodiscard]] Result<text::Rendered> RenderConversation(const text::ChatTemplate& chat_template,
                                                        std::string_view json,
                                                        const text::Tokenizer* tokenizer,
                                                        std::optional<int64_t> now);
// As a session does: now, and calls of tools in the form that the template wants.
[[nodiscard]] Result<text::Rendered> RenderConversation(const text::ChatTemplate& chat_template,
                                                        std::string_view json,
                                                        const text::Tokenizer& tokenizer,
                                                        const text::ToolCallForm& tool_calls);

// The same with a template given as source.
[[nodiscard]] Result<text::Rendered> RenderWithTemplate(std::string_view source,
                                                        std::string_view json,
                                                        const text::Tokenizer* tokenizer,
                                                        std::optional<int64_t> now);

// Fails as text::ChatTemplate::Parse does.
[[nodiscard]] Result<text::ChatTemplate> ParseTemplate(std::string_view source);

// Control tokens come from the template's own words only. Begins with the begin token if the
// model's texts do.
[[nodiscard]] Result<std::vector<int32_t>> TokenizeRendered(const text::Rendered& rendered,
                                                            const text::Tokenizer& tokenizer);

}  // namespace mirage::session
