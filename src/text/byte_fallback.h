// SPDX-License-Identifier: Apache-2.0
#pragma once

// ByteFallback: writes symbols as ids; a symbol without a token becomes its bytes' tokens, else the
// unknown token.

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace mirage::text {

class ByteFallback {
 public:
  // With `unknown` == kNoToken a byte without a token is left out; Create has warned of it.
  ByteFallback(const TokenTable& tokens, int32_t unknown, std::vector<int32_t>* ids)
      : tokens_(tokens), unknown_(unknown), ids_(ids) {}

  void Append(int32_t id, std::string_view text) {
    if (id != kNoToken) {
      ids_->push_back(id);
      after_unknown_ = false;
      return;
    }
    for (const char c : text) AppendByte(tokens_.byte_token(static_cast<unsigned char>(c)));
  }

 private:
  // A run of unknown bytes is one unknown token.
  void AppendByte(int32_t byte_token) {
    const bool known = byte_token != kNoToken;
    const int32_t id = known ? byte_token : after_unknown_ ? kNoToken : unknown_;
    if (id != kNoToken) ids_->push_back(id);
    after_unknown_ = !known;
  }

  const TokenTable& tokens_;
  int32_t unknown_;
  std::vector<int32_t>* ids_;
  bool after_unknown_ = false;
};

}  // namespace mirage::text
