// SPDX-License-Identifier: Apache-2.0

#include "sample/xtc.h"

#include <optional>

namespace mirage::sample {

void ExcludeTopChoices(double threshold, Remaining& remaining) {
  const double needed = threshold * ComputeWeights(remaining);
  std::optional<Candidate> last;
  for (size_t i = 0; i < remaining.candidates.size(); ++i) {
    const Candidate& candidate = remaining.candidates[i];
    if (remaining.weights[i] >= needed && (!last.has_value() || Before(*last, candidate)))
      last = candidate;
  }
  if (!last.has_value()) return;
  // Likelier ones than the last are above the threshold, too.
  std::erase_if(remaining.candidates,
                [&](const Candidate& candidate) { return Before(candidate, *last); });
}

}  // namespace mirage::sample
