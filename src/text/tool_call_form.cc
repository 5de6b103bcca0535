// SPDX-License-Identifier: Apache-2.0
#include "text/tool_call_form.h"

#include <string>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja/json.h"
#include "text/jinja/runtime.h"

namespace mirage::text {
namespace {

using jinja::Dict;
using jinja::DictBuilder;
using jinja::Kind;
using jinja::Origin;
using jinja::Runtime;
using jinja::Value;

// A conversation with a call of a name and an argument that stand nowhere else.
std::string Probe(const ToolCallForm& form, bool two_texts) {
  std::string json = R"({"messages":[{"role":"user","content":"u"},{"role":"assistant",)";
  if (two_texts) json += R"("content":"c","reasoning_content":"r",)";
  json +=
      R"("tool_calls":[{"id":"a1B2c3D4e","type":"function","function":{"name":"probe_call","arguments":)";
  json += form.arguments_as_text ? R"("{\"probe_key\": \"probe_value\"}")"
                                 : R"({"probe_key": "probe_value"})";
  json += R"(}}]}],"tools":[{"type":"function","function":{"name":"t","description":"d",)"
          R"("parameters":{"type":"object","properties":{"p":{"type":"string",)"
          R"("description":"d"}},"required":["p"]}}}],"bos_token":"<s>","eos_token":"</s>"})";
  return json;
}

bool Renders(const ChatTemplate& chat_template, const ToolCallForm& form, bool two_texts) {
  const std::string json = Probe(form, two_texts);
  RenderInput input;
  input.json = json;
  input.tool_calls = form;
  const Result<Rendered> rendered = chat_template.Render(input);
  if (!rendered) return false;
  const auto has = [&](const char* text) { return rendered->text.find(text) != std::string::npos; };
  // A string that was written as JSON once more has its quotation marks escaped.
  return has("probe_call") && has("probe_value") && !has("\\\"probe_key");
}

Result<Value> FormArguments(Runtime& runtime, const Value& arguments, bool as_text) {
  if (as_text && arguments.is(Kind::kDict)) {
    MIRAGE_TRY_ASSIGN(jinja::TextPtr text, jinja::WriteJson(runtime, arguments, {}));
    return Value::String(std::move(text));
  }
  if (!as_text && arguments.is_string()) {
    const auto of_input = [](std::string_view) { return Origin::kInput; };
    Result<Value> read = jinja::ReadJson(runtime, arguments.bytes(), of_input);
    if (read && read->is(Kind::kDict)) return read;
  }
  return arguments;
}

// `dict` with another value for a key that it has.
Result<Value> Replace(Runtime& runtime, const Dict& dict, std::string_view key, Value value) {
  DictBuilder changed;
  changed.Reserve(dict.entries.size());
  for (const auto& [name, old] : dict.entries)
    changed.Add(name, name.is_string() && name.bytes() == key ? value : old);
  return runtime.MakeDict(std::move(changed));
}

// {"function": {"arguments"}}, or the inner part alone.
Result<Value> FormCall(Runtime& runtime, const Value& call, bool as_text) {
  if (!call.is(Kind::kDict)) return call;
  const Dict& dict = call.dict();
  if (const Value* function = dict.Find("function")) {
    MIRAGE_TRY_ASSIGN(Value formed, FormCall(runtime, *function, as_text));
    return Replace(runtime, dict, "function", std::move(formed));
  }
  const Value* arguments = dict.Find("arguments");
  if (arguments == nullptr) return call;
  MIRAGE_TRY_ASSIGN(Value formed, FormArguments(runtime, *arguments, as_text));
  return Replace(runtime, dict, "arguments", std::move(formed));
}

// None for what is not there, and for "".
Value Given(const Dict& dict, std::string_view key) {
  const Value* const value = dict.Find(key);
  const bool empty = value == nullptr || (value->is_string() && value->bytes().empty());
  return empty ? Value() : *value;
}

// In the place of a key that is there already.
Status Put(Runtime& runtime, std::string_view key, Value value, DictBuilder* dict) {
  MIRAGE_TRY_ASSIGN(Value name, runtime.String(key));
  dict->Add(std::move(name), std::move(value));
  return {};
}

// Both texts came with the conversation.
Result<Value> Lines(Runtime& runtime, const Value& first, const Value& second) {
  std::string lines(first.bytes());
  lines += '\n';
  lines += second.bytes();
  return runtime.String(lines, Origin::kInput);
}

}  // namespace

ToolCallForm FindToolCallForm(const ChatTemplate& chat_template) {
  for (const bool as_text : {false, true})
    for (const bool none : {false, true}) {
      ToolCallForm form{as_text, none};
      if (!Renders(chat_template, form, false)) continue;
      form.one_text = !Renders(chat_template, form, true);
      return form;
    }
  return {};
}

Result<Value> InToolCallForm(Runtime& runtime, const Value& message, const ToolCallForm& form) {
  const Dict& dict = message.dict();
  const Value* const calls = dict.Find("tool_calls");
  if (calls == nullptr || !calls->is(Kind::kList) || calls->items().empty()) return message;
  std::vector<Value> formed;
  for (const Value& call : calls->items()) {
    MIRAGE_TRY_ASSIGN(Value made, FormCall(runtime, call, form.arguments_as_text));
    formed.push_back(std::move(made));
  }
  MIRAGE_TRY_ASSIGN(Value list, runtime.List(std::move(formed)));
  Value content = Given(dict, "content");
  const Value reasoning = Given(dict, "reasoning_content");
  DictBuilder changed;
  for (const auto& [key, value] : dict.entries) changed.Add(key, value);
  MIRAGE_TRY(Put(runtime, "tool_calls", std::move(list), &changed));
  if (form.one_text && content.is_string() && reasoning.is_string()) {
    MIRAGE_TRY_ASSIGN(const Value both, Lines(runtime, reasoning, content));
    MIRAGE_TRY(Put(runtime, "reasoning_content", both, &changed));
    MIRAGE_TRY(Put(runtime, "thinking", both, &changed));
    content = Value();
  }
  if (content.is_none() && !form.content_is_none) {
    MIRAGE_TRY_ASSIGN(content, runtime.String("", Origin::kInput));
  }
  MIRAGE_TRY(Put(runtime, "content", std::move(content), &changed));
  return runtime.MakeDict(std::move(changed));
}

}  // namespace mirage::text
