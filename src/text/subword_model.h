// SPDX-License-Identifier: Apache-2.0
#pragma once

// SubwordModel: plain text to token ids, by the algorithm a vocabulary was trained with.
//
// It sees one run of text between special tokens, well-formed and not empty, and never produces a
// special token but the unknown one. Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::text {

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  // `after_special`: the run begins the text or follows a special token, where some vocabularies
  // add a space.
  [[nodiscard]] virtual Status Encode(std::string_view text, bool after_special,
                                      std::vector<int32_t>* ids) const = 0;

  [[nodiscard]] virtual size_t heap_bytes() const = 0;
};

}  // namespace mirage::text
