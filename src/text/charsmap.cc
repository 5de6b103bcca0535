// SPDX-License-Identifier: Apache-2.0
#include "text/charsmap.h"

#include <cstring>

#include "base/file_error.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

constexpr std::string_view kKey = "tokenizer.ggml.precompiled_charsmap";

uint32_t ReadLittle(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(bytes[i]);
  return value;
}

constexpr uint32_t Base(uint32_t node) { return (node >> 10) << ((node & (1u << 9)) >> 6); }
constexpr uint32_t Label(uint32_t node) { return node & ((1u << 31) | 0xFF); }
constexpr bool HasValue(uint32_t node) { return (node >> 8) & 1; }
constexpr uint32_t Value(uint32_t node) { return node & ((1u << 31) - 1); }

}  // namespace

Result<Charsmap> Charsmap::Create(std::span<const std::byte> bytes) {
  Charsmap map;
  if (bytes.empty()) return map;
  if (bytes.size() < 4) return KeyError(Code::kCorrupt, kKey, "is shorter than its header");
  const uint32_t trie_bytes = ReadLittle(bytes);
  if (trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4)
    return KeyError(Code::kCorrupt, kKey,
                    "claims a trie of " + std::to_string(trie_bytes) + " bytes and has " +
                        std::to_string(bytes.size()));
  map.trie_.reserve(trie_bytes / 4);
  for (size_t at = 4; at < 4 + size_t{trie_bytes}; at += 4)
    map.trie_.push_back(ReadLittle(bytes.subspan(at)));
  const auto rest = bytes.subspan(4 + size_t{trie_bytes});
  map.replacements_.assign(reinterpret_cast<const char*>(rest.data()), rest.size());

  const auto element = [&](size_t at) { return 4 + size_t{trie_bytes} + at; };
  for (size_t at = 0; at < map.replacements_.size();) {
    const size_t end = map.replacements_.find('\0', at);
    if (end == std::string::npos || end - at > kMaxReplacementBytes)
      return ElementError(
          Code::kCorrupt, kKey, element(at),
          "begins a replacement of more than " + std::to_string(kMaxReplacementBytes) + " bytes");
    if (RepairUtf8(std::string_view(map.replacements_).substr(at, end - at)))
      return ElementError(Code::kCorrupt, kKey, element(at),
                          "begins a replacement that is not UTF-8");
    at = end + 1;
  }
  return map;
}

std::optional<Charsmap::Replacement> Charsmap::Match(std::string_view text) const {
  if (trie_.empty()) return std::nullopt;
  size_t longest = 0, offset = 0;
  size_t node = Base(trie_[0]);
  for (size_t at = 0; at < text.size() && at < kMaxKeyBytes; ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    node ^= byte;
    if (byte == 0 || node >= trie_.size() || Label(trie_[node]) != byte) break;
    const bool has_value = HasValue(trie_[node]);
    node ^= Base(trie_[node]);
    if (node >= trie_.size()) break;
    if (has_value) {
      longest = at + 1;
      offset = Value(trie_[node]);
    }
  }
  // A value that points between two replacements, or a key that ends inside a code point, is no
  // match.
  const bool at_start =
      offset < replacements_.size() && (offset == 0 || replacements_[offset - 1] == '\0');
  const bool whole =
      longest == text.size() || (static_cast<unsigned char>(text[longest]) & 0xC0) != 0x80;
  if (longest == 0 || !at_start || !whole) return std::nullopt;
  return Replacement{longest, std::string_view(replacements_.c_str() + offset)};
}

}  // namespace mirage::text
