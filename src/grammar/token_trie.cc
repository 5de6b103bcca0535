// SPDX-License-Identifier: Apache-2.0
#include "grammar/token_trie.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "grammar/plain_text.h"

namespace mirage::grammar {
namespace {

// Longer ones are no tokens of any text. Vocabularies have none.
constexpr size_t kMostTokenBytes = std::numeric_limits<uint16_t>::max();

}  // namespace

TokenTrie::TokenTrie(size_t count, TextOf text)
    : text_(std::move(text)), without_text_(count), plain_tokens_(count) {
  std::vector<int32_t> plain, others;
  for (size_t id = 0; id < count; ++id) {
    const auto token = static_cast<int32_t>(id);
    const std::string_view bytes = text_(token);
    if (bytes.empty() || bytes.size() > kMostTokenBytes) {
      without_text_.Add(id);
    } else if (IsPlain(bytes)) {
      plain_tokens_.Add(id);
      plain.push_back(token);
    } else {
      others.push_back(token);
    }
  }
  plain_ = Part(std::move(plain), text_);
  others_ = Part(std::move(others), text_);
}

int32_t TokenTrie::LongestPrefix(std::string_view text) const {
  const int32_t plain = plain_.LongestPrefix(text, text_);
  const int32_t other = others_.LongestPrefix(text, text_);
  return Text(other).size() > Text(plain).size() ? other : plain;
}

size_t TokenTrie::heap_bytes() const {
  return without_text_.heap_bytes() + plain_tokens_.heap_bytes() + plain_.heap_bytes() +
         others_.heap_bytes();
}

TokenTrie::Part::Part(std::vector<int32_t> ids, const TextOf& text) : ids_(std::move(ids)) {
  ids_.shrink_to_fit();
  std::sort(ids_.begin(), ids_.end(), [&](int32_t a, int32_t b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  shared_.reserve(ids_.size());
  offsets_.reserve(ids_.size() + 1);
  std::string_view before;
  for (const int32_t id : ids_) {
    const std::string_view now = text(id);
    const auto same = std::mismatch(now.begin(), now.end(), before.begin(), before.end()).first;
    const size_t shared = std::max<size_t>(1, static_cast<size_t>(same - now.begin()));
    shared_.push_back(static_cast<uint16_t>(shared));
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
    bytes_.insert(bytes_.end(), now.begin() + static_cast<ptrdiff_t>(shared), now.end());
    ++begins_[static_cast<uint8_t>(now[0]) + size_t{1}];
    longest_ = std::max(longest_, now.size());
    before = now;
  }
  offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  bytes_.shrink_to_fit();
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
}

int32_t TokenTrie::Part::LongestPrefix(std::string_view text, const TextOf& text_of) const {
  if (text.empty()) return -1;
  int32_t longest = -1;
  auto low = ids_.begin() + begins_[static_cast<uint8_t>(text[0])];
  auto high = ids_.begin() + begins_[static_cast<uint8_t>(text[0]) + size_t{1}];
  for (size_t depth = 1; low != high; ++depth) {
    if (text_of(*low).size() == depth) longest = *low;
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at_depth = [&](int32_t id) {
      const std::string_view token = text_of(id);
      return token.size() > depth ? static_cast<uint8_t>(token[depth]) : -1;
    };
    low = std::partition_point(low, high, [&](int32_t id) { return at_depth(id) < byte; });
    high = std::partition_point(low, high, [&](int32_t id) { return at_depth(id) == byte; });
  }
  return longest;
}

size_t TokenTrie::Part::heap_bytes() const {
  return ids_.capacity() * sizeof(int32_t) + shared_.capacity() * sizeof(uint16_t) +
         offsets_.capacity() * sizeof(uint32_t) + bytes_.capacity();
}

}  // namespace mirage::grammar
