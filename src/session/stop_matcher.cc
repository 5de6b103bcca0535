// SPDX-License-Identifier: Apache-2.0

#include "session/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace mirage::session {
namespace {

std::vector<uint16_t> Borders(std::string_view text) {
  std::vector<uint16_t> failure(text.size(), 0);
  size_t border = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    while (border > 0 && text[i] != text[border]) border = failure[border - 1];
    if (text[i] == text[border]) ++border;
    failure[i] = static_cast<uint16_t>(border);
  }
  return failure;
}

}  // namespace

Result<StopMatcher> StopMatcher::Create(const std::vector<std::string>& strings) {
  if (strings.size() > kMaxStrings)
    return Fail(Code::kInvalidArgument, std::to_string(strings.size()) + " stop strings; at most " +
                                            std::to_string(kMaxStrings) + " are allowed");
  StopMatcher matcher;
  for (size_t i = 0; i < strings.size(); ++i) {
    const std::string& text = strings[i];
    if (text.empty() || text.size() > kMaxBytes)
      return Fail(Code::kInvalidArgument, "stop string " + std::to_string(i) + " has " +
                                              std::to_string(text.size()) + " bytes; 1 to " +
                                              std::to_string(kMaxBytes) + " are allowed");
    if (mirage::text::RepairUtf8(text).has_value())
      return Fail(Code::kInvalidArgument, "stop string " + std::to_string(i) + " is not UTF-8");
    matcher.patterns_.push_back({text, Borders(text), 0});
  }
  return matcher;
}

void StopMatcher::Advance(Pattern& pattern, char c) {
  while (pattern.state > 0 && pattern.text[pattern.state] != c)
    pattern.state = pattern.failure[pattern.state - 1];
  if (pattern.text[pattern.state] == c) ++pattern.state;
}

std::string StopMatcher::Push(std::string_view piece) {
  if (matched_) return {};
  if (patterns_.empty()) return std::string(piece);
  for (size_t i = 0; i < piece.size(); ++i) {
    size_t longest_match = 0;
    for (Pattern& pattern : patterns_) {
      Advance(pattern, piece[i]);
      if (pattern.state == pattern.text.size())
        longest_match = std::max(longest_match, pattern.state);
    }
    if (longest_match == 0) continue;
    matched_ = true;
    held_.append(piece.substr(0, i + 1));
    held_.resize(held_.size() - longest_match);
    return std::exchange(held_, {});
  }
  held_.append(piece);
  size_t undecided = 0;
  for (const Pattern& pattern : patterns_) undecided = std::max(undecided, pattern.state);
  std::string certain = held_.substr(0, held_.size() - undecided);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopMatcher::Flush() { return std::exchange(held_, {}); }

}  // namespace mirage::session
