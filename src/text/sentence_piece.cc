// SPDX-License-Identifier: Apache-2.0
#include "text/sentence_piece.h"

#include <bit>
#include <optional>
#include <string>

#include "text/byte_fallback.h"
#include "text/symbol_merger.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

// Higher finite scores give lower ranks.
uint32_t RankOf(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes 0
  const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

}  // namespace

Status SentencePieceModel::Encode(std::string_view text, bool after_special,
                                  std::vector<int32_t>* ids) const {
  std::string owned;
  const bool prefix = space_prefix_ && after_special;
  if (prefix || text.find(kSpaceMark) != std::string_view::npos) {
    owned = (prefix ? " " : "") + ReadSpaceMarks(text);
    text = owned;
  }
  SymbolMerger merger;
  ByteFallback fallback(tokens_, unknown_, ids);
  seams_.ForEachPart(text, [&](std::string_view part) {
    merger.Clear(part.size());
    for (size_t at = 0; at < part.size();) {
      const size_t bytes = Utf8Length(part[at]);
      merger.Add(at, bytes, tokens_.Find(part.substr(at, bytes)));
      at += bytes;
    }
    merger.Run([&](const SymbolMerger::Symbol& left,
                   const SymbolMerger::Symbol& right) -> std::optional<SymbolMerger::Merge> {
      const int32_t id = tokens_.Find(part.substr(left.begin, left.bytes + right.bytes));
      if (id == kNoToken) return std::nullopt;
      return SymbolMerger::Merge{RankOf(tokens_.score(id)), id};
    });
    merger.ForEach([&](const SymbolMerger::Symbol& symbol) {
      fallback.Append(symbol.id, part.substr(symbol.begin, symbol.bytes));
    });
  });
  return {};
}

}  // namespace mirage::text
