// SPDX-License-Identifier: Apache-2.0

#include "session/grammar_constraint.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace mirage::session {
namespace {

constexpr size_t kMostForcedBytes = 64;

bool Contains(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

// The bytes that may come next, two of them at most.
std::string NextBytes(const grammar::Matcher& matcher) {
  std::string bytes;
  for (int byte = 0; byte < 256 && bytes.size() < 2; ++byte)
    if (matcher.Accepts(static_cast<uint8_t>(byte))) bytes.push_back(static_cast<char>(byte));
  return bytes;
}

}  // namespace

Result<std::unique_ptr<GrammarConstraint>> GrammarConstraint::Create(
    std::shared_ptr<grammar::TokenMasks> masks, ConstraintOptions options) {
  MIRAGE_TRY_ASSIGN(grammar::Matcher begin, masks->grammar().Begin());
  MIRAGE_TRY_ASSIGN(grammar::Matcher triggered, masks->grammar().BeginTriggered());
  if (!triggered.CanEnd() && NextBytes(triggered).empty())
    return Fail(Code::kInvalidArgument, "the grammar allows no text");
  return std::unique_ptr<GrammarConstraint>(new GrammarConstraint(
      std::move(masks), std::move(options), std::move(begin), std::move(triggered)));
}

GrammarConstraint::GrammarConstraint(std::shared_ptr<grammar::TokenMasks> masks,
                                     ConstraintOptions options, grammar::Matcher begin,
                                     grammar::Matcher triggered)
    : masks_(std::move(masks)),
      options_(std::move(options)),
      triggered_(std::move(triggered)),
      place_{std::move(begin), options_.drop_space},
      allowed_(std::max(options_.vocabulary, masks_->trie().token_count())) {}

Result<const BitSet*> GrammarConstraint::Allowed() {
  const grammar::TokenTrie& trie = masks_->trie();
  MIRAGE_TRY_ASSIGN(const std::shared_ptr<const BitSet> mask,
                    masks_->After(place_.matcher, place_.drop_space));
  allowed_.Clear();
  allowed_.Add(*mask);
  if (place_.matcher.InFreeText()) {
    allowed_.Add(trie.without_text());
    for (size_t row = trie.token_count(); row < allowed_.size(); ++row) allowed_.Add(row);
    for (const int32_t token : options_.trigger_tokens) allowed_.Add(static_cast<size_t>(token));
  }
  for (const int32_t token : options_.stop_tokens) {
    if (place_.matcher.CanEnd())
      allowed_.Add(static_cast<size_t>(token));
    else
      allowed_.Remove(static_cast<size_t>(token));
  }
  return &allowed_;
}

Result<bool> GrammarConstraint::Push(int32_t token) {
  MIRAGE_TRY_ASSIGN(const bool taken, Take(token, &place_));
  if (!taken)
    return Fail(Code::kInternal, "token " + std::to_string(token) + " is none of the grammar's");
  if (!place_.matcher.CanEnd() || place_.matcher.InFreeText()) return false;
  MIRAGE_TRY_ASSIGN(const std::shared_ptr<const BitSet> mask,
                    masks_->After(place_.matcher, place_.drop_space));
  return !mask->Any();
}

Result<bool> GrammarConstraint::Take(int32_t token, Place* place) const {
  if (Contains(options_.stop_tokens, token)) return place->matcher.CanEnd();
  std::string_view text = masks_->trie().Text(token);
  const bool in_free_text = place->matcher.InFreeText();
  const bool drop_space = place->drop_space && !text.empty();
  if (drop_space) {
    if (text[0] == ' ') text.remove_prefix(1);
    place->drop_space = false;
  }
  if (in_free_text && Contains(options_.trigger_tokens, token)) {
    place->matcher = triggered_;
    return true;
  }
  if (text.empty()) return in_free_text || drop_space;
  MIRAGE_TRY_ASSIGN(const size_t taken, place->matcher.Push(text));
  return taken == text.size();
}

int64_t GrammarConstraint::CountAllowed(std::span<const int32_t> tokens) const {
  Place place = place_;
  int64_t count = 0;
  for (const int32_t token : tokens) {
    const Result<bool> taken = Take(token, &place);
    if (!taken || !*taken) break;
    ++count;
  }
  return count;
}

std::vector<int32_t> GrammarConstraint::Forced(int64_t count) const {
  std::vector<int32_t> tokens;
  if (place_.matcher.CanEnd() || place_.drop_space) return tokens;
  grammar::Matcher matcher = place_.matcher;
  std::string text;
  while (text.size() < kMostForcedBytes && !matcher.CanEnd()) {
    const std::string next = NextBytes(matcher);
    const Result<size_t> taken = next.size() == 1 ? matcher.Push(next) : Result<size_t>(0);
    if (!taken || *taken == 0) break;
    text += next;
  }
  for (std::string_view rest = text; static_cast<int64_t>(tokens.size()) < count;) {
    const int32_t token = masks_->trie().LongestPrefix(rest);
    if (token < 0 || Contains(options_.stop_tokens, token)) break;
    rest.remove_prefix(masks_->trie().Text(token).size());
    if (rest.empty()) break;  // the model may have a longer one for what follows
    tokens.push_back(token);
  }
  return tokens;
}

}  // namespace mirage::session
