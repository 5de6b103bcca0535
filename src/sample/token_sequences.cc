// SPDX-License-Identifier: Apache-2.0

#include "sample/token_sequences.h"

#include <algorithm>
#include <utility>

namespace mirage::sample {

TokenSequences::TokenSequences(std::vector<std::vector<int32_t>> sequences)
    : sequences_(std::move(sequences)) {
  std::sort(sequences_.begin(), sequences_.end());
  sequences_.erase(std::unique(sequences_.begin(), sequences_.end()), sequences_.end());
  for (const std::vector<int32_t>& sequence : sequences_)
    longest_ = std::max(longest_, sequence.size());
}

size_t TokenSequences::LongestAtBeginning(std::span<const int32_t> tokens) const {
  if (tokens.empty()) return 0;
  const auto before = [](const std::vector<int32_t>& sequence, int32_t token) {
    return sequence.empty() || sequence.front() < token;
  };
  size_t longest = 0;
  for (auto it = std::lower_bound(sequences_.begin(), sequences_.end(), tokens.front(), before);
       it != sequences_.end() && it->front() == tokens.front(); ++it) {
    if (it->size() > longest && it->size() <= tokens.size() &&
        std::equal(it->begin(), it->end(), tokens.begin()))
      longest = it->size();
  }
  return longest;
}

bool TokenSequences::HasSingle(int32_t token) const { return LongestAtBeginning({&token, 1}) == 1; }

}  // namespace mirage::sample
