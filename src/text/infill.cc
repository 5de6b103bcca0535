// SPDX-License-Identifier: Apache-2.0
#include "text/infill.h"

#include <string>

namespace mirage::text {
namespace {

Status Require(int32_t token, std::string_view part, std::string_view key) {
  if (token != kNoToken) return {};
  return Fail(Code::kUnsupported, "the model has no token for the " + std::string(part) +
                                      " of a text whose middle is to be filled in: no key "
                                      "'tokenizer.ggml." +
                                      std::string(key) + "', no token with a name known for it");
}

}  // namespace

Result<std::vector<int32_t>> EncodeInfill(const Tokenizer& tokenizer, const InfillText& text,
                                          bool add_special) {
  const SpecialTokens& special = tokenizer.special();
  MIRAGE_TRY(Require(special.fim_pre, "prefix", "fim_pre_token_id"));
  MIRAGE_TRY(Require(special.fim_suf, "suffix", "fim_suf_token_id"));
  MIRAGE_TRY(Require(special.fim_mid, "middle", "fim_mid_token_id"));
  std::vector<int32_t> tokens;
  bool text_start = add_special;  // nothing but the begin token has come
  const auto put = [&](std::string_view part) -> Status {
    if (part.empty()) return {};
    MIRAGE_TRY_ASSIGN(
        const std::vector<int32_t> ids,
        tokenizer.Encode(part,
                         {.add_special = false, .parse_special = false, .text_start = text_start}));
    text_start = false;
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    return {};
  };
  if (add_special && tokenizer.adds_bos()) tokens.push_back(tokenizer.bos());
  MIRAGE_TRY(put(text.context));
  tokens.push_back(special.fim_pre);
  MIRAGE_TRY(put(text.prefix));
  text_start = false;  // an empty prefix begins it, too
  tokens.push_back(special.fim_suf);
  MIRAGE_TRY(put(text.suffix));
  tokens.push_back(special.fim_mid);
  return tokens;
}

}  // namespace mirage::text
