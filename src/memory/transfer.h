// SPDX-License-Identifier: Apache-2.0
#pragma once

// TransferEngine: the workers that fill regions while others compute.
//
// Jobs start in the order they were submitted. Workers are few, so that they do not steal the compute threads' time.
// Any thread submits.

#include <functional>
#include <memory>

#include "base/result.h"
#include "platform/stream.h"

namespace mirage::memory {

class TransferEngine {
 public:
  virtual ~TransferEngine() = default;

  // Runs `job` on a worker; the event is done, with the job's status, after it.
  [[nodiscard]] virtual platform::Event Submit(std::function<Status()> job, uint64_t bytes) = 0;
};

// Threads of the host. `workers` >= 1.
[[nodiscard]] std::unique_ptr<TransferEngine> MakeHostTransferEngine(int workers);

}  // namespace mirage::memory
