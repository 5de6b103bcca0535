// SPDX-License-Identifier: Apache-2.0
#pragma once

// Deep: work that recurses as deep as its input nests, which readers of templates and grammars
// bound, on a stack that is large enough for that in every build. Callers promise 64 KiB.

#include <cstddef>
#include <utility>

#include "platform/thread.h"

namespace mirage::session {

inline constexpr size_t kDeepStackBytes = size_t{16} << 20;

template <typename Work>
auto Deep(Work&& work) {
  return platform::OnOwnStack(kDeepStackBytes, std::forward<Work>(work));
}

}  // namespace mirage::session
