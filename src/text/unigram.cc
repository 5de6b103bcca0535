// SPDX-License-Identifier: Apache-2.0
#include "text/unigram.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/file_error.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

std::vector<int32_t> OrdinaryTokens(const TokenTable& tokens) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < tokens.count(); ++id)
    if (IsOrdinary(tokens.type(static_cast<int32_t>(id)))) ids.push_back(static_cast<int32_t>(id));
  ids.shrink_to_fit();
  return ids;
}

double UnknownScore(const TokenTable& tokens) {
  double least = 0;
  for (size_t i = 0; i < tokens.count(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokens.type(id) == TokenType::kNormal) least = std::min<double>(least, tokens.score(id));
  }
  return least - UnigramModel::kUnknownPenalty;
}

bool HasAllByteTokens(const TokenTable& tokens) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const int32_t id = tokens.byte_token(static_cast<unsigned char>(byte));
    if (id == kNoToken || tokens.type(id) != TokenType::kByte) return false;
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<UnigramModel>> UnigramModel::Create(const TokenTable& tokens,
                                                           Charsmap charsmap, Options options) {
  if (tokens.longest_bytes() > kMaxTokenBytes)
    return KeyError(Code::kCorrupt, "tokenizer.ggml.tokens",
                    "holds a token of " + std::to_string(tokens.longest_bytes()) +
                        " bytes, the limit of unigram vocabularies is " +
                        std::to_string(kMaxTokenBytes));
  return std::unique_ptr<UnigramModel>(new UnigramModel(tokens, std::move(charsmap), options));
}

UnigramModel::UnigramModel(const TokenTable& tokens, Charsmap charsmap, Options options)
    : tokens_(tokens),
      charsmap_(std::move(charsmap)),
      index_(tokens, OrdinaryTokens(tokens)),
      options_(options),
      unknown_score_(UnknownScore(tokens)),
      byte_fallback_(HasAllByteTokens(tokens)) {}

Result<std::string> UnigramModel::Normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size() + 1);
  bool in_word = false, prefixed = false;
  const auto append = [&](std::string_view piece) {
    for (const char c : piece) {
      if (c == ' ') {
        in_word = false;
        if (!options_.remove_extra_spaces) out.push_back(' ');
        continue;
      }
      if (!in_word && ((options_.space_prefix && !prefixed) || options_.remove_extra_spaces)) {
        out.push_back(' ');
        prefixed = true;
      }
      in_word = true;
      out.push_back(c);
    }
  };
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const std::optional<Charsmap::Replacement> replacement = charsmap_.Match(rest);
    const size_t bytes = replacement ? replacement->bytes : Utf8Length(rest[0]);
    append(replacement ? replacement->text : rest.substr(0, bytes));
    at += bytes;
    if (out.size() > kMaxNormalizedBytes)
      return Fail(Code::kInvalidArgument, "text of more than " +
                                              std::to_string(kMaxNormalizedBytes) +
                                              " bytes after normalization");
  }
  return ReadSpaceMarks(out);
}

// The ids of the best cuts of text that comes letter by letter. Where no token reaches further than
// the letters so far, every cut ends there: what is before is decided, and its memory used again.
class UnigramModel::Lattice {
 public:
  Lattice(const UnigramModel& model, std::string_view text, std::vector<int32_t>* ids)
      : model_(model), text_(text), ids_(ids), best_(1) {
    best_[0].score = 0;
  }

  void Run() {
    for (size_t begin = 0; begin < text_.size(); begin += Utf8Length(text_[begin])) {
      if (begin == base_ + best_.size() - 1) Decide();
      ConsiderTokensAt(begin);
    }
    Decide();
  }

 private:
  // best_[i]: the best cut of the text up to base_ + i, by its last token.
  struct Cut {
    double score = -std::numeric_limits<double>::infinity();
    uint32_t begin = 0;
    int32_t id = kNoToken;  // none: an unknown code point
  };

  void ConsiderTokensAt(size_t begin) {
    const size_t letter = Utf8Length(text_[begin]);
    bool letter_is_token = false;
    model_.index_.ForEachPrefix(text_.substr(begin), [&](int32_t id, size_t bytes) {
      letter_is_token |= bytes == letter;
      Consider(begin, id, bytes, model_.tokens_.score(id));
    });
    if (!letter_is_token) Consider(begin, kNoToken, letter, model_.unknown_score_);
  }

  void Consider(size_t begin, int32_t id, size_t bytes, double score) {
    const size_t end = begin - base_ + bytes;
    if (end >= best_.size()) best_.resize(end + 1);
    const double total = best_[begin - base_].score + score;
    if (total > best_[end].score) best_[end] = {total, static_cast<uint32_t>(begin), id};
  }

  // Appends the tokens up to the end of best_, where the next begin.
  void Decide() {
    const size_t end = base_ + best_.size() - 1;
    ends_.clear();
    for (size_t at = end; at > base_; at = best_[at - base_].begin) ends_.push_back(at);
    for (; !ends_.empty(); ends_.pop_back()) Append(best_[ends_.back() - base_], ends_.back());
    const double score = best_.back().score;
    base_ = end;
    best_.assign(1, {});
    best_[0].score = score;
  }

  void Append(const Cut& cut, size_t end) {
    if (cut.id != kNoToken) {
      ids_->push_back(cut.id);
    } else if (model_.byte_fallback_) {
      for (size_t at = cut.begin; at < end; ++at)
        ids_->push_back(model_.tokens_.byte_token(static_cast<unsigned char>(text_[at])));
    } else if (!after_unknown_) {
      ids_->push_back(model_.options_.unknown);
    }
    after_unknown_ = cut.id == kNoToken;
  }

  const UnigramModel& model_;
  std::string_view text_;
  std::vector<int32_t>* ids_;
  size_t base_ = 0;
  std::vector<Cut> best_;
  std::vector<size_t> ends_;
  bool after_unknown_ = false;
};

Status UnigramModel::Encode(std::string_view text, bool, std::vector<int32_t>* ids) const {
  MIRAGE_TRY_ASSIGN(const std::string normalized, Normalize(text));
  Lattice(*this, normalized, ids).Run();
  return {};
}

}  // namespace mirage::text
