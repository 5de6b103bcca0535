// SPDX-License-Identifier: Apache-2.0

// Any bytes as a chat template: an Error with a message, or text that is UTF-8 and in which all
// that came with the conversation is marked.
//
// An input is a template, and after a byte 0xFF, if there is one, the JSON of the render's input.

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/require.h"
#include "text/chat_template.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

// A character that only the conversation has.
constexpr std::string_view kCanary = "\xEE\x80\x80";  // U+E000

constexpr std::string_view kConversation = R"({
  "messages": [
    {"role": "system", "content": "<s>\ue000 \"q\" 'r' & \u00e9\u00df"},
    {"role": "user", "content": [{"type": "text", "text": "a,b \ue000\n c"}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"function": {"name": "f\ue000", "arguments": {"x": [1, 2.5, true, null]}}}]}],
  "tools": [{"function": {"name": "f\ue000", "parameters": {"type": "object"}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
  "vars": {"n": -3, "s": "X\ue000y", "l": [3, 1, 2], "d": {"b": 1, "a\ue000": "v\ue000"}}})";

void CheckError(const Error& error) {
  Require(error.code == Code::kInvalidArgument || error.code == Code::kUnsupported ||
              error.code == Code::kRefused,
          "an error is the template's, the input's, or a refusal");
  Require(!error.message.empty() || error.code == Code::kRefused, "an error has a message");
}

bool IsMarked(const Rendered& rendered, size_t at) {
  for (const ByteSpan& span : rendered.input_spans) {
    if (span.begin <= at && at < span.end) return true;
  }
  return false;
}

void CheckSpans(const Rendered& rendered) {
  size_t end = 0;
  bool first = true;
  for (const ByteSpan& span : rendered.input_spans) {
    Require(span.begin < span.end && span.end <= rendered.text.size(), "a span is in the text");
    Require(first || span.begin > end, "spans are disjoint and in order");
    end = span.end;
    first = false;
  }
}

void CheckCanaries(const Rendered& rendered) {
  for (size_t at = rendered.text.find(kCanary); at != std::string::npos;
       at = rendered.text.find(kCanary, at + 1)) {
    Require(IsMarked(rendered, at), "what came with the conversation is marked");
  }
}

void Run(std::string_view source, std::string_view json) {
  const Result<ChatTemplate> chat_template = ChatTemplate::Parse(source);
  if (!chat_template) return CheckError(chat_template.error());
  RenderInput input;
  input.json = json;
  input.now_seconds = 1785067445;
  input.limits.steps = 50'000;
  input.limits.live_bytes = 16 << 20;
  input.limits.string_bytes = 1 << 20;
  input.limits.output_bytes = 1 << 20;
  const Result<Rendered> rendered = chat_template->Render(input);
  if (!rendered) return CheckError(rendered.error());
  Require(!RepairUtf8(rendered->text).has_value(), "the text is UTF-8");
  CheckSpans(*rendered);
  // A template can spell the canary too, with its bytes or an escape.
  const bool may_spell = source.find('\\') != std::string_view::npos ||
                         source.find(kCanary) != std::string_view::npos ||
                         json.data() != kConversation.data();
  if (!may_spell) CheckCanaries(*rendered);
}

}  // namespace
}  // namespace mirage::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), bytes);
  const size_t separator = input.find('\xFF');
  if (separator == std::string_view::npos) {
    mirage::text::Run(input, mirage::text::kConversation);
  } else {
    mirage::text::Run(input.substr(0, separator), input.substr(separator + 1));
  }
  return 0;
}
