// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/json.h"
#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"

namespace mirage::text {
namespace {

using jinja::Kind;
using jinja::Runtime;
using jinja::Value;
using jinja::Wrong;

using Variables = std::vector<std::pair<std::string, Value>>;

constexpr std::array<std::string_view, 4> kPlainKeys = {"tools", "documents", "bos_token",
                                                        "eos_token"};

jinja::Origin OriginOf(std::string_view key) {
  const bool is_token = key == "bos_token" || key == "eos_token";
  return is_token ? jinja::Origin::kTemplate : jinja::Origin::kInput;
}

const Value* FindGiven(const jinja::Dict& dict, std::string_view key) {
  const Value* value = dict.Find(key);
  return value == nullptr || value->is_none() ? nullptr : value;
}

// A message as templates see it: without its nulls, and with its reasoning under both of its names:
// `thinking` first, `reasoning_content` last, each only moved in where the message has not got it.
Result<Value> NormalMessage(Runtime& runtime, const Value& message) {
  const jinja::Dict& fields = message.dict();
  const Value* reasoning = nullptr;
  for (const std::string_view name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning == nullptr) reasoning = FindGiven(fields, name);
  }
  jinja::DictBuilder normal;
  if (reasoning != nullptr) {
    MIRAGE_TRY_ASSIGN(Value thinking, runtime.String("thinking"));
    normal.Add(std::move(thinking), *reasoning);
  }
  for (const auto& [key, value] : fields.entries) {
    if (!value.is_none()) normal.Add(key, value);
  }
  if (reasoning != nullptr) {
    MIRAGE_TRY_ASSIGN(Value content, runtime.String("reasoning_content"));
    normal.Add(std::move(content), *reasoning);
  }
  return runtime.MakeDict(std::move(normal));
}

Result<Value> ReadMessages(Runtime& runtime, const jinja::Dict& input,
                           const std::optional<ToolCallForm>& tool_calls) {
  const Value* messages = FindGiven(input, "messages");
  if (messages == nullptr) return Wrong("render input: 'messages' is missing");
  if (!messages->is(Kind::kList)) return Wrong("render input: 'messages' must be a list");
  std::vector<Value> read;
  for (const Value& message : messages->items()) {
    if (!message.is(Kind::kDict)) {
      return Wrong("render input: messages[" + std::to_string(read.size()) + "] must be an object");
    }
    MIRAGE_TRY_ASSIGN(Value normal, NormalMessage(runtime, message));
    if (tool_calls.has_value()) {
      MIRAGE_TRY_ASSIGN(normal, InToolCallForm(runtime, normal, *tool_calls));
    }
    read.push_back(std::move(normal));
  }
  return runtime.List(std::move(read));
}

Status CheckKeys(const jinja::Dict& input) {
  for (const auto& [key, value] : input.entries) {
    const std::string_view name = key.bytes();
    const bool known = name == "messages" || name == "add_generation_prompt" || name == "vars" ||
                       std::find(kPlainKeys.begin(), kPlainKeys.end(), name) != kPlainKeys.end();
    if (!known) return Wrong("render input: unknown key '" + std::string(name) + "'");
    const bool is_token = name == "bos_token" || name == "eos_token";
    if (is_token && !value.is_none() && !value.is_string()) {
      return Wrong("render input: '" + std::string(name) + "' must be a string");
    }
  }
  return {};
}

Result<Variables> ReadVariables(Runtime& runtime, const RenderInput& given) {
  MIRAGE_TRY_ASSIGN(const Value root, jinja::ReadJson(runtime, given.json, OriginOf));
  if (!root.is(Kind::kDict)) return Wrong("render input: must be a JSON object");
  const jinja::Dict& input = root.dict();
  MIRAGE_TRY(CheckKeys(input));

  Variables variables;
  MIRAGE_TRY_ASSIGN(Value messages, ReadMessages(runtime, input, given.tool_calls));
  variables.emplace_back("messages", std::move(messages));
  // Always there, as None; a token that the model has not got is undefined.
  variables.emplace_back("tools", Value());
  variables.emplace_back("documents", Value());
  variables.emplace_back("add_generation_prompt", Value::Bool(false));
  if (const Value* prompt = FindGiven(input, "add_generation_prompt")) {
    if (!prompt->is(Kind::kBool)) {
      return Wrong("render input: 'add_generation_prompt' must be true or false");
    }
    variables.back().second = *prompt;
  }
  for (const std::string_view key : kPlainKeys) {
    const Value* value = FindGiven(input, key);
    if (value == nullptr) continue;
    const auto at = std::find_if(variables.begin(), variables.end(),
                                 [&](const auto& variable) { return variable.first == key; });
    if (at != variables.end()) {
      at->second = *value;
    } else {
      variables.emplace_back(key, *value);
    }
  }
  const std::pair<std::string_view, const std::optional<std::string>&> tokens[] = {
      {"bos_token", given.bos_token}, {"eos_token", given.eos_token}};
  for (const auto& [name, token] : tokens) {
    if (!token.has_value() || input.Find(name) != nullptr) continue;
    MIRAGE_TRY_ASSIGN(Value text, runtime.String(*token, jinja::Origin::kTemplate));
    variables.emplace_back(name, std::move(text));
  }

  const Value* vars = FindGiven(input, "vars");
  if (vars == nullptr) return variables;
  if (!vars->is(Kind::kDict)) return Wrong("render input: 'vars' must be an object");
  for (const auto& [key, value] : vars->dict().entries) {
    const std::string_view name = key.bytes();
    const bool taken = input.Find(name) != nullptr ||
                       std::any_of(variables.begin(), variables.end(),
                                   [&](const auto& variable) { return variable.first == name; });
    if (taken) {
      return Wrong("render input: 'vars' may not hold '" + std::string(name) + "'");
    }
    variables.emplace_back(name, value);
  }
  return variables;
}

Status CheckLimits(const jinja::Limits& limits) {
  // Marks count bytes in 32 bits.
  for (const uint64_t bytes : {limits.string_bytes, limits.output_bytes, limits.input_bytes}) {
    if (bytes > UINT32_MAX) {
      return Wrong("a limit of " + std::to_string(bytes) + " bytes for a text is above 4 GiB");
    }
  }
  return {};
}

Rendered ToRendered(const jinja::Text& text) {
  Rendered rendered{std::string(text.bytes()), {}};
  text.ForEachRun(0, text.size(), [&](size_t begin, size_t end, jinja::Origin origin) {
    if (origin == jinja::Origin::kInput) rendered.input_spans.push_back({begin, end});
  });
  return rendered;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  if (source.size() > jinja::kMaxSourceBytes) {
    return Wrong("the template has " + std::to_string(source.size()) + " bytes, more than " +
                 std::to_string(jinja::kMaxSourceBytes));
  }
  if (const size_t bad = jinja::FindInvalidUtf8(source); bad != std::string_view::npos) {
    return Wrong("the template is not UTF-8 at byte " + std::to_string(bad));
  }
  const std::string normal = jinja::NormalizeSource(source);
  MIRAGE_TRY_ASSIGN(std::shared_ptr<const jinja::Ast> ast, jinja::ParseTemplate(normal));
  return ChatTemplate(std::move(ast));
}

Result<Rendered> ChatTemplate::Render(const RenderInput& input) const {
  MIRAGE_TRY(CheckLimits(input.limits));
  Runtime runtime(input.limits, input.now_seconds);
  MIRAGE_TRY_ASSIGN(Variables variables, ReadVariables(runtime, input));
  jinja::Interpreter interpreter(*ast_, runtime, std::move(variables));
  MIRAGE_TRY_ASSIGN(const jinja::TextPtr text, interpreter.Run());
  return ToRendered(*text);
}

}  // namespace mirage::text
