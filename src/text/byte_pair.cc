// SPDX-License-Identifier: Apache-2.0
#include "text/byte_pair.h"

#include <utility>

#include "base/file_error.h"
#include "text/unicode.h"

namespace mirage::text {

Result<MergeTable> MergeTable::Create(const StringTable& merges, Alphabet alphabet,
                                      const TokenTable& tokens) {
  constexpr std::string_view kKey = "tokenizer.ggml.merges";
  if (merges.count() > kMaxMerges)
    return KeyError(Code::kCorrupt, kKey,
                    "holds " + std::to_string(merges.count()) + " merges, the limit is " +
                        std::to_string(kMaxMerges));
  MergeTable table;
  table.merges_.reserve(merges.count());
  table.slots_.Reserve(merges.count());
  for (size_t i = 0; i < merges.count(); ++i) {
    const std::string_view merge = merges[i];
    // A part may itself be a space, but only the left one can begin with it.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size() || RepairUtf8(merge))
      return ElementError(Code::kCorrupt, kKey, i, "is not two tokens");
    const std::optional<std::string> left = ReadAlphabet(merge.substr(0, space), alphabet);
    const std::optional<std::string> right = ReadAlphabet(merge.substr(space + 1), alphabet);
    Pair pair{kNoToken, kNoToken, kNoToken};
    if (left && right)
      pair = {tokens.Find(*left), tokens.Find(*right), tokens.Find(*left + *right)};
    if (pair.left == kNoToken || pair.right == kNoToken || pair.joined == kNoToken) {
      ++table.skipped_;
      continue;
    }
    uint32_t& slot = table.slots_.Find(
        HashPair(table.seed_, static_cast<uint32_t>(pair.left), static_cast<uint32_t>(pair.right)),
        [&](uint32_t rank) {
          return table.merges_[rank].left == pair.left && table.merges_[rank].right == pair.right;
        });
    if (slot != HashSlots::kEmpty) continue;  // the first of equals has the better rank
    slot = static_cast<uint32_t>(table.merges_.size());
    table.merges_.push_back(pair);
  }
  return table;
}

std::optional<SymbolMerger::Merge> MergeTable::Find(int32_t left, int32_t right) const {
  if (left == kNoToken || right == kNoToken) return std::nullopt;
  const uint32_t rank =
      slots_.Find(HashPair(seed_, static_cast<uint32_t>(left), static_cast<uint32_t>(right)),
                  [&](uint32_t r) { return merges_[r].left == left && merges_[r].right == right; });
  if (rank == HashSlots::kEmpty) return std::nullopt;
  return SymbolMerger::Merge{rank, merges_[rank].joined};
}

Status BytePairModel::Encode(std::string_view text, bool, std::vector<int32_t>* ids) const {
  std::optional<std::string> composed;
  if (pre_tokenizer_.traits().composes) composed = ComposeUtf8(text);
  if (composed) text = *composed;
  std::string unmarked;
  if (pre_tokenizer_.traits().space_mark && text.find(kSpaceMark) != std::string_view::npos) {
    unmarked = ReadSpaceMarks(text);
    text = unmarked;
  }
  PreTokenizer::Scratch scratch;
  SymbolMerger merger;
  pre_tokenizer_.Split(text, &scratch,
                       [&](std::string_view piece) { EncodePiece(piece, &merger, ids); });
  return {};
}

bool BytePairModel::IsLeftOut(char byte) const {
  return tokens_.byte_token(static_cast<unsigned char>(byte)) == kNoToken;
}

void BytePairModel::EncodePiece(std::string_view piece, SymbolMerger* merger,
                                std::vector<int32_t>* ids) const {
  const PreTokenizer::Traits& traits = pre_tokenizer_.traits();
  if (traits.ignore_merges || (traits.newline_runs && piece[0] == '\n')) {
    const int32_t whole = tokens_.Find(piece);
    if (whole != kNoToken) {
      ids->push_back(whole);
      return;
    }
  }
  ByteFallback fallback(tokens_, unknown_, ids);
  // Lines are long; the pieces of other families are words.
  if (seams_)
    seams_->ForEachPart(piece, [&](std::string_view part) { Merge(part, merger, &fallback); });
  else
    Merge(piece, merger, &fallback);
}

void BytePairModel::Merge(std::string_view piece, SymbolMerger* merger,
                          ByteFallback* fallback) const {
  const PreTokenizer::Traits& traits = pre_tokenizer_.traits();
  merger->Clear(piece.size());
  for (size_t at = 0; at < piece.size();) {
    const size_t bytes = traits.space_mark ? Utf8Length(piece[at]) : 1;
    const int32_t id = bytes == 1 ? of_byte_[static_cast<unsigned char>(piece[at])]
                                  : tokens_.Find(piece.substr(at, bytes));
    // A byte that will be left out is left out now: its neighbours may join.
    if (id != kNoToken || bytes > 1 || unknown_ != kNoToken || !IsLeftOut(piece[at]))
      merger->Add(at, bytes, id);
    at += bytes;
  }
  merger->Run([&](const SymbolMerger::Symbol& left, const SymbolMerger::Symbol& right) {
    return merges_.Find(left.id, right.id);
  });
  merger->ForEach([&](const SymbolMerger::Symbol& symbol) {
    fallback->Append(symbol.id, piece.substr(symbol.begin, symbol.bytes));
  });
}

}  // namespace mirage::text
