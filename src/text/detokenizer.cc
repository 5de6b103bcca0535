// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.h"

#include <string_view>

#include "text/unicode.h"

namespace mirage::text {

Status Detokenizer::Push(int32_t id, std::string* out) {
  if (!tokenizer_.has_token(id))
    return Fail(Code::kInvalidArgument, "token id " + std::to_string(id) +
                                            " is not in the vocabulary of " +
                                            std::to_string(tokenizer_.token_count()) + " tokens");
  const bool control = tokenizer_.is_control(id);
  if (control && !special_) return {};
  std::string_view text = tokenizer_.TokenText(id);
  if (!control && drop_space_ && !text.empty()) {
    if (text[0] == ' ') text.remove_prefix(1);
    drop_space_ = false;
  }
  pending_.append(text);

  size_t at = 0;
  while (at < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(at);
    const Utf8Prefix prefix = InspectUtf8(rest);
    if (prefix.kind == Utf8Prefix::kIncomplete) break;
    out->append(prefix.kind == Utf8Prefix::kWhole ? rest.substr(0, prefix.bytes)
                                                  : kReplacementUtf8);
    at += prefix.bytes;
  }
  pending_.erase(0, at);
  return {};
}

void Detokenizer::Flush(std::string* out) {
  if (!pending_.empty()) out->append(kReplacementUtf8);
  pending_.clear();
}

}  // namespace mirage::text
