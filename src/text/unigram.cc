// SPDX-License-Identifier: Apache-2.0
#include "text/unigram.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

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
    return Fail(Code::kCorrupt, "tokenizer.ggml.tokens holds a token of " +
                                    std::to_string(tokens.longest_bytes()) +
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

Status UnigramModel::Encode(std::string_view text, bool, std::vector<int32_t>* ids) const {
  MIRAGE_TRY_ASSIGN(const std::string normalized, Normalize(text));
  const std::string_view view = normalized;

  // best[end]: the best cut of view[0, end), by its last token.
  struct Cut {
    double score = -std::numeric_limits<double>::infinity();
    uint32_t begin = 0;
    int32_t id = kNoToken;  // none: an unknown code point
  };
  std::vector<Cut> best(view.size() + 1);
  best[0].score = 0;
  for (size_t begin = 0; begin < view.size();) {
    const size_t letter = Utf8Length(view[begin]);
    bool letter_is_token = false;
    const auto consider = [&](int32_t id, size_t bytes, double score) {
      Cut& cut = best[begin + bytes];
      if (best[begin].score + score > cut.score)
        cut = {best[begin].score + score, static_cast<uint32_t>(begin), id};
    };
    index_.ForEachPrefix(view.substr(begin), [&](int32_t id, size_t bytes) {
      letter_is_token |= bytes == letter;
      consider(id, bytes, tokens_.score(id));
    });
    if (!letter_is_token) consider(kNoToken, letter, unknown_score_);
    begin += letter;
  }

  const size_t first_id = ids->size();
  bool after_unknown = false;
  for (size_t end = view.size(); end > 0; end = best[end].begin) {
    const Cut& cut = best[end];
    if (cut.id != kNoToken) {
      ids->push_back(cut.id);
    } else if (byte_fallback_) {
      for (size_t at = end; at > cut.begin; --at)
        ids->push_back(tokens_.byte_token(static_cast<unsigned char>(view[at - 1])));
    } else if (!after_unknown) {
      ids->push_back(options_.unknown);
    }
    after_unknown = cut.id == kNoToken;
  }
  std::reverse(ids->begin() + static_cast<ptrdiff_t>(first_id), ids->end());
  return {};
}

}  // namespace mirage::text
