// SPDX-License-Identifier: Apache-2.0
#include "grammar/token_masks.h"

#include <algorithm>
#include <bitset>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "grammar/plain_text.h"

namespace mirage::grammar {
namespace {

// Walks of fewer bytes are as quick as finding their mask among others.
constexpr size_t kLongWalk = 4096;

bool HasDistinctNames(const Automaton& automaton) {
  return std::any_of(automaton.objects.begin(), automaton.objects.end(),
                     [](const ObjectShape& object) { return object.distinct; });
}

// Whether all of `text` is taken.
bool Takes(Matcher* matcher, std::string_view text) {
  const Result<size_t> taken = matcher->Push(text);
  return taken && *taken == text.size();
}

}  // namespace

TokenMasks::TokenMasks(Grammar grammar, std::shared_ptr<const TokenTrie> trie, size_t kept_bytes)
    : grammar_(std::move(grammar)),
      trie_(std::move(trie)),
      most_kept_bytes_(std::max(kept_bytes, kLeastKeptBytes)) {
  const Automaton& automaton = grammar_.automaton();
  if (HasDistinctNames(automaton)) {
    auto relaxed = std::make_shared<Automaton>(automaton);
    for (ObjectShape& object : relaxed->objects) object.distinct = false;
    relaxed_ = std::move(relaxed);
  }
  FindClasses(automaton);
}

void TokenMasks::FindClasses(const Automaton& automaton) {
  std::bitset<257> borders;  // where a class may begin
  borders.set(0);
  for (const Automaton::Edge& edge : automaton.edges) {
    borders.set(edge.low);
    borders.set(edge.high + size_t{1});
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (borders.test(byte)) class_member_.push_back(static_cast<uint8_t>(byte));
    class_of_[byte] = static_cast<uint8_t>(class_member_.size() - 1);
  }
}

Result<std::shared_ptr<const BitSet>> TokenMasks::After(const Matcher& matcher, bool drop_space) {
  const std::lock_guard lock(mutex_);
  if (!drop_space)
    if (const auto kept = masks_.find(matcher); kept != masks_.end()) return kept->second;
  if (kept_bytes_ > most_kept_bytes_) Forget();
  size_t steps = 0;
  work_ = 0;
  std::shared_ptr<const BitSet> mask = Walk(matcher, drop_space, &steps);
  if (Exhausted()) {
    Forget();
    return Fail(Code::kUnsupported,
                "the grammar can be read in so many ways that looking up the tokens it allows "
                "takes too much work");
  }
  if (!drop_space && steps >= kLongWalk) {
    masks_.emplace(matcher, mask);
    kept_bytes_ += mask->heap_bytes() + matcher.heap_bytes();
  }
  return mask;
}

std::shared_ptr<const BitSet> TokenMasks::Walk(const Matcher& matcher, bool drop_space,
                                               size_t* steps) {
  const Matcher begin = relaxed_ == nullptr ? matcher : matcher.In(relaxed_);
  std::shared_ptr<BitSet> mask = WalkNumbers(begin, drop_space, steps);
  if (mask == nullptr) {  // again, with all the room there is
    Forget();
    mask = WalkNumbers(begin, drop_space, steps);
  }
  if (mask == nullptr) {  // each beginning of a token leads to a matcher of its own
    Forget();
    mask = WalkMatchers(begin, drop_space);
  }
  if (relaxed_ == nullptr) return mask;
  // A name ends with a quotation mark; without one it is not compared.
  for (size_t token = 0; token < mask->size(); ++token) {
    if (!mask->Has(token)) continue;
    std::string_view text = trie_->Text(static_cast<int32_t>(token));
    if (text.find('"') == std::string_view::npos) continue;
    if (drop_space && text[0] == ' ') text.remove_prefix(1);
    Matcher exact = matcher;
    if (!Takes(&exact, text)) mask->Remove(token);
  }
  return mask;
}

std::shared_ptr<BitSet> TokenMasks::WalkNumbers(const Matcher& begin, bool drop_space,
                                                size_t* steps) {
  auto mask = std::make_shared<BitSet>(trie_->token_count());
  const auto next = [&](uint32_t from, uint8_t byte, uint32_t* to) {
    ++*steps;
    *to = Next(from, byte);
    return *to < kNowhere;
  };
  const auto visit = [&](int32_t token) { mask->Add(static_cast<size_t>(token)); };
  const uint32_t start = NumberOf(begin);
  if (TakesPlainText(start, steps))
    mask->Add(trie_->plain_tokens());
  else
    trie_->WalkPlain(start, drop_space, next, visit);
  trie_->WalkOthers(start, drop_space, next, visit);
  return Overflows() ? nullptr : mask;
}

bool TokenMasks::TakesPlainText(uint32_t number, size_t* steps) {
  // What is reached by as many bytes as rounds have passed, and not by fewer: matcher and, within a
  // code point, what is missing of it.
  std::vector<uint64_t> reached{uint64_t{number} * kPlainStates}, then;
  std::unordered_set<uint64_t> known(reached.begin(), reached.end());
  for (size_t bytes = 0; bytes < kMostPlainBytes && !reached.empty(); ++bytes) {
    then.clear();
    for (const uint64_t at : reached)
      for (const PlainStep& step : kPlainSteps) {
        if (step.from != at % kPlainStates) continue;
        for (uint32_t byte = step.low; byte <= step.high; ++byte) {
          ++*steps;
          const uint32_t to =
              Next(static_cast<uint32_t>(at / kPlainStates), static_cast<uint8_t>(byte));
          if (to >= kNowhere) return false;
          const uint64_t next = uint64_t{to} * kPlainStates + step.to;
          if (known.insert(next).second) then.push_back(next);
        }
      }
    std::swap(reached, then);
  }
  return true;
}

std::shared_ptr<BitSet> TokenMasks::WalkMatchers(const Matcher& begin, bool drop_space) {
  auto mask = std::make_shared<BitSet>(trie_->token_count());
  const auto next = [this](const Matcher& from, uint8_t byte, Matcher* to) {
    if (Exhausted() || !from.Accepts(byte)) return false;
    *to = from;
    return to->Push(byte, &work_).value_or(false);
  };
  const auto visit = [&](int32_t token) { mask->Add(static_cast<size_t>(token)); };
  trie_->WalkPlain(begin, drop_space, next, visit);
  trie_->WalkOthers(begin, drop_space, next, visit);
  return mask;
}

// Whatever fails for want of memory, no number is given twice.
uint32_t TokenMasks::NumberOf(const Matcher& matcher) {
  if (const auto known = numbers_.find(matcher); known != numbers_.end()) return known->second;
  const size_t number = matchers_.size();
  next_.resize((number + 1) * class_member_.size(), kUnknown);
  if (number == matchers_.capacity()) matchers_.reserve(2 * number + 16);
  const auto entry = numbers_.emplace(matcher, static_cast<uint32_t>(number)).first;
  matchers_.push_back(&entry->first);
  kept_bytes_ += matcher.heap_bytes() + class_member_.size() * sizeof(uint32_t) + sizeof(Matcher) +
                 4 * sizeof(void*);
  return static_cast<uint32_t>(number);
}

uint32_t TokenMasks::Follow(uint32_t number, uint8_t byte) {
  if (Overflows() || Exhausted()) return kUnknown;
  const size_t place = number * class_member_.size() + class_of_[byte];
  Matcher after = *matchers_[number];
  const Result<bool> taken = after.Push(class_member_[class_of_[byte]], &work_);
  const uint32_t to = taken.value_or(false) ? NumberOf(after) : kNowhere;
  next_[place] = to;
  return to;
}

void TokenMasks::Forget() {
  masks_.clear();
  numbers_.clear();
  matchers_.clear();
  next_.clear();
  next_.shrink_to_fit();
  kept_bytes_ = 0;
}

}  // namespace mirage::grammar
