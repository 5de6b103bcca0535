// SPDX-License-Identifier: Apache-2.0
#pragma once

// Charsmap: SentencePiece's precompiled normalization: byte sequences and what stands in their
// place.
//
//   bytes 0-3    u32 n, little-endian: bytes of the trie
//   bytes 4-n+3  the trie, an array of u32 (XOR-compressed double array: base in bits 10-30,
//   shifted left 8 where
//                bit 9 is set; label in bits 0-7; bit 8 says the node has a value; a value has bit
//                31 set)
//   the rest     the replacements, each ended by NUL; a value is an offset into them
//
// All offsets are checked: at Create what can be, in Match what depends on the walk. Immutable: any
// thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::text {

class Charsmap {
 public:
  static constexpr size_t kMaxKeyBytes = 128;
  static constexpr size_t kMaxReplacementBytes = 256;

  struct Replacement {
    size_t bytes;  // of the text it stands for
    std::string_view text;
  };

  // Empty bytes give a map that replaces nothing.
  [[nodiscard]] static Result<Charsmap> Create(std::span<const std::byte> bytes);

  // The longest sequence at the front of `text` that has a replacement.
  [[nodiscard]] std::optional<Replacement> Match(std::string_view text) const;
  [[nodiscard]] size_t heap_bytes() const {
    return trie_.capacity() * sizeof(uint32_t) + replacements_.capacity();
  }

 private:
  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace mirage::text
