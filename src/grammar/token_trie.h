// SPDX-License-Identifier: Apache-2.0
#pragma once

// TokenTrie: the texts of a vocabulary's tokens in order of their bytes, each as what it adds to
// the one before: a trie without nodes.
//
// A walk follows each common beginning once, and passes over all that begins with what leads
// nowhere. Plain tokens (grammar/plain_text.h) are a trie of their own, which a walk may leave out.
//
// Ten bytes a token, and the bytes that it does not share. Refers to the texts, which outlive it.
// Immutable: any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/bit_set.h"

namespace mirage::grammar {

class TokenTrie {
 public:
  using TextOf = std::function<std::string_view(int32_t)>;

  // The text of each token below `count`; "" for a token that no text is made of, such as a control
  // token.
  TokenTrie(size_t count, TextOf text);

  [[nodiscard]] size_t token_count() const { return plain_tokens_.size(); }
  // "" also for what is no token.
  [[nodiscard]] std::string_view Text(int32_t token) const {
    const auto id = static_cast<size_t>(token);
    return token < 0 || id >= token_count() || without_text_.Has(id) ? std::string_view()
                                                                     : text_(token);
  }
  [[nodiscard]] const BitSet& without_text() const { return without_text_; }
  [[nodiscard]] const BitSet& plain_tokens() const { return plain_tokens_; }
  // The lowest of the longest tokens that `text` begins with; -1 for none.
  [[nodiscard]] int32_t LongestPrefix(std::string_view text) const;

  // Calls visit(token) for each token whose bytes lead on from `start`: next(from, byte, &to) says
  // whether `byte` does, and whereto. With `drop_space` a token's first byte, if it is a space, is
  // left out.
  template <typename State, typename Next, typename Visit>
  void WalkPlain(const State& start, bool drop_space, Next&& next, Visit&& visit) const {
    plain_.Walk(start, drop_space, next, visit);
  }
  template <typename State, typename Next, typename Visit>
  void WalkOthers(const State& start, bool drop_space, Next&& next, Visit&& visit) const {
    others_.Walk(start, drop_space, next, visit);
  }

  [[nodiscard]] size_t heap_bytes() const;
  // At least what a trie of so many tokens takes.
  [[nodiscard]] static size_t BytesFor(size_t tokens, size_t text_bytes) {
    return tokens * (2 * sizeof(uint32_t) + sizeof(uint16_t)) + text_bytes + tokens / 4 + 64;
  }

 private:
  class Part {
   public:
    Part() = default;
    Part(std::vector<int32_t> ids, const TextOf& text);
    template <typename State, typename Next, typename Visit>
    void Walk(const State& start, bool drop_space, Next&& next, Visit&& visit) const;
    [[nodiscard]] int32_t LongestPrefix(std::string_view text, const TextOf& text_of) const;
    [[nodiscard]] size_t heap_bytes() const;

   private:
    size_t longest_ = 0;                  // text
    std::array<uint32_t, 257> begins_{};  // of the tokens with each first byte
    // By place in the order. Of the bytes, those after the ones shared with the token before; the
    // first byte always is.
    std::vector<int32_t> ids_;
    std::vector<uint16_t> shared_;
    std::vector<uint32_t> offsets_;  // into bytes_, and its end
    std::vector<uint8_t> bytes_;
  };

  TextOf text_;
  BitSet without_text_, plain_tokens_;
  Part plain_, others_;
};

template <typename State, typename Next, typename Visit>
void TokenTrie::Part::Walk(const State& start, bool drop_space, Next&& next, Visit&& visit) const {
  std::vector<State> states(longest_ + 1, start);  // after as many bytes
  for (size_t first = 0; first < 256; ++first) {
    if (begins_[first] == begins_[first + 1]) continue;
    if (drop_space && first == ' ')
      states[1] = start;
    else if (!next(start, static_cast<uint8_t>(first), &states[1]))
      continue;
    size_t live = 1;  // bytes of the token before that lead on
    for (size_t i = begins_[first]; i < begins_[first + 1]; ++i) {
      size_t depth = shared_[i];
      if (depth > live) continue;
      const uint8_t* byte = bytes_.data() + offsets_[i];
      const uint8_t* const end = bytes_.data() + offsets_[i + 1];
      while (byte != end && next(states[depth], *byte, &states[depth + 1])) {
        ++byte;
        ++depth;
      }
      live = depth;
      if (byte == end) visit(ids_[i]);
    }
  }
}

}  // namespace mirage::grammar
