// SPDX-License-Identifier: Apache-2.0
#pragma once

// ToolCallForm: how a chat template wants the calls in an assistant's message.
//
// Conversations hold calls in either of two forms, with arguments as an object or as the same in a
// string, and beside them content that is "" or not there. Most templates take only one of each and
// render nonsense from the other, or fail; some fail when there is reasoning besides. What one
// takes is found out by rendering.
//
// Plain data and functions; any thread.

#include "base/result.h"

namespace mirage::text {

class ChatTemplate;
namespace jinja {
class Runtime;
class Value;
}  // namespace jinja

struct ToolCallForm {
  bool arguments_as_text = false;
  bool content_is_none = false;  // where there is none; else it is ""
  bool one_text = false;         // reasoning or content beside calls, not both
  bool operator==(const ToolCallForm&) const = default;
};

// The first that the template renders: arguments as an object before text, "" before None.
[[nodiscard]] ToolCallForm FindToolCallForm(const ChatTemplate& chat_template);

// A message, a dict, in that form; others than those with calls are left alone, as are arguments
// that are neither an object nor a string that spells one. Where one text is wanted, content joins
// the reasoning.
[[nodiscard]] Result<jinja::Value> InToolCallForm(jinja::Runtime& runtime,
                                                  const jinja::Value& message,
                                                  const ToolCallForm& form);

}  // namespace mirage::text
