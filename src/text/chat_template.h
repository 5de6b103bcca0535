// SPDX-License-Identifier: Apache-2.0
#pragma once

// ChatTemplate: the Jinja template of a model, and rendering a conversation with it.
//
// It renders as transformers' apply_chat_template does: immutable sandbox, trim_blocks,
// lstrip_blocks, break and continue, the generation tag, raise_exception, strftime_now, tojson as
// json.dumps. `tools` and `documents` are None unless given; what is null in a message is not
// there, and its reasoning answers to `reasoning_content` and to `thinking` alike.
//
// What came with the conversation keeps its mark through every filter, so that the tokenizer can
// parse special tokens in the template's own text only.
//
// A template is code from a file: its time, depth and memory are bounded by jinja/limits.h. A
// ChatTemplate is immutable; any number of threads may render from one at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/limits.h"
#include "text/tool_call_form.h"

namespace mirage::text {

namespace jinja {
struct Ast;
}

struct RenderInput {
  // A JSON object: messages (required, objects), tools, documents, add_generation_prompt (a bool,
  // false by default), bos_token, eos_token (strings), and vars, an object whose members become
  // variables too. null is as good as absent. Any other key is an error.
  std::string_view json;

  // What strftime_now formats: Unix time, shown as UTC.
  int64_t now_seconds = 0;

  jinja::Limits limits;

  // What bos_token and eos_token are where the JSON does not name them; without, undefined.
  std::optional<std::string> bos_token, eos_token;

  // In which form messages show their calls of tools; nothing: as they are given.
  std::optional<ToolCallForm> tool_calls;
};

struct ByteSpan {
  size_t begin = 0, end = 0;
  bool operator==(const ByteSpan&) const = default;
};

struct Rendered {
  std::string text;

  // The parts of `text` that came from messages, tools, documents and vars: disjoint, in order. The
  // rest is the template's, bos_token and eos_token included.
  std::vector<ByteSpan> input_spans;
};

class ChatTemplate {
 public:
  // Fails with kInvalidArgument naming the line, or kUnsupported for tags and filters that Jinja
  // has and this engine has not.
  static Result<ChatTemplate> Parse(std::string_view source);

  // Fails with kRefused and the template's own message if it calls raise_exception, and otherwise
  // with kInvalidArgument or kUnsupported, naming the line, the limit, or the input's key.
  Result<Rendered> Render(const RenderInput& input) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Ast> ast) : ast_(std::move(ast)) {}

  std::shared_ptr<const jinja::Ast> ast_;
};

}  // namespace mirage::text
