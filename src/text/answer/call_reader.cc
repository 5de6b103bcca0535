// SPDX-License-Identifier: Apache-2.0
#include "text/answer/call_reader.h"

#include <algorithm>
#include <optional>

#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

// A call's arguments: an object, or a string that spells one.
std::optional<std::string> ReadArguments(std::string_view value) {
  if (value == "null") return "{}";
  if (!value.empty() && value.front() == '"') {
    const std::optional<std::string> spelled = ReadJsonString(value);
    if (!spelled.has_value()) return std::nullopt;
    const std::string_view text = Trim(*spelled);
    std::string object = text.empty() ? "{}" : EscapeControls(text);
    if (!IsSafeObject(object)) return std::nullopt;
    return object;
  }
  std::string object = EscapeControls(value);
  if (!IsSafeObject(object)) return std::nullopt;
  return object;
}

bool ReadCall(std::string_view object, bool outermost, ToolCall* call) {
  const auto members = MembersOf(object);
  if (!members.has_value()) return false;
  std::string_view name, arguments, id, function;
  for (const JsonScanner::Member& member : *members) {
    const std::string_view key = member.key.Of(object);
    std::string_view* const place = key == R"("name")" || key == R"("tool_name")" ? &name
                                    : key == R"("arguments")" || key == R"("parameters")"
                                        ? &arguments
                                    : key == R"("id")" || key == R"("tool_call_id")" ? &id
                                    : key == R"("function")"                         ? &function
                                                                                     : nullptr;
    if (place == nullptr) continue;
    if (!place->empty()) return false;  // which of them is meant?
    *place = member.value.Of(object);
  }
  if (name.empty() && outermost && function.starts_with('{')) {
    if (!ReadCall(function, false, call)) return false;
  } else {
    const std::optional<std::string> spelled = ReadJsonString(name.empty() ? function : name);
    if (!spelled.has_value() || !IsToolName(*spelled)) return false;
    std::optional<std::string> read = ReadArguments(arguments.empty() ? "null" : arguments);
    if (!read.has_value()) return false;
    call->name = *spelled;
    call->arguments = *std::move(read);
  }
  if (const std::optional<std::string> given = ReadJsonString(id)) call->id = *given;
  return true;
}

}  // namespace

bool IsToolNameByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '-' || c == '.' || c == '/' || c == ':';
}

bool IsToolName(std::string_view text) {
  constexpr size_t kMostBytes = 256;
  return !text.empty() && text.size() <= kMostBytes &&
         std::all_of(text.begin(), text.end(), IsToolNameByte);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsJsonSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsJsonSpace(text.back())) text.remove_suffix(1);
  return text;
}

// What else the object holds is passed over, but has to be JSON.
bool ReadCallObject(std::string_view object, ToolCall* call) {
  return ReadCall(object, true, call) && IsSafeJson(EscapeControls(object));
}

JsonScanner::State HeldObject::Follow() {
  JsonScanner::State state = JsonScanner::State::kMore;
  while (end_ < held_.size() && state == JsonScanner::State::kMore)
    state = scanner_.Push(held_[end_++]);
  // What follows the object within one marker is not part of it: no format writes that.
  if (state == JsonScanner::State::kDone && end_ < held_.size()) return JsonScanner::State::kWrong;
  return state;
}

Verdict CallReader::AddCall(std::string_view name, std::string_view arguments,
                            std::string_view id) {
  if (!IsToolName(name)) return Verdict::kNot;
  std::string object = EscapeControls(arguments);
  if (!IsSafeObject(object)) return Verdict::kNot;
  return AddCall({std::string(id), std::string(name), std::move(object)});
}

Verdict CallReader::AddCodeCall(std::string_view code) {
  std::string arguments = R"({"code": )";
  AppendQuoted(code, &arguments);
  arguments += '}';
  return AddCall({{}, "python", std::move(arguments)});
}

}  // namespace mirage::text
