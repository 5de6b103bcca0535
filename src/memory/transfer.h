// SPDX-License-Identifier: Apache-2.0
#pragma once

// TransferEngine: the workers that fill regions while others compute.
//
// Jobs start in the order they were submitted, each after the events it names are done, whatever
// their status: the reads of the bytes it will overwrite. Those events must not depend on jobs
// submitted later. Workers are few, so that they do not steal the compute threads' time. Any thread
// submits.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/result.h"
#include "platform/stream.h"

namespace mirage::memory {

class TransferEngine {
 public:
  virtual ~TransferEngine() = default;

  // Runs `job`, which moves `bytes`, on a worker; the event is done, with the job's status and the
  // time it took, after it.
  [[nodiscard]] virtual platform::Event Submit(std::function<Status()> job, uint64_t bytes,
                                               std::vector<platform::Event> after) = 0;
  [[nodiscard]] platform::Event Submit(std::function<Status()> job, uint64_t bytes) {
    return Submit(std::move(job), bytes, {});
  }
  // Whether jobs run beside what computes, at the price of none of it: a copy engine's do, those of
  // a host's threads take processors.
  [[nodiscard]] virtual bool overlaps_compute() const { return false; }
  // What its jobs moved so far, those that failed left out, and for how long at least one ran: two
  // at once share what they read from, so their times are not added up.
  struct Totals {
    uint64_t bytes = 0;
    int64_t busy_ns = 0;
  };
  [[nodiscard]] virtual Totals totals() const = 0;
  // Ends its workers once the jobs they run are done. Jobs that have not started, and those
  // submitted from now on, end with kCancelled. Destroying it does the same.
  virtual void Stop() {}
};

// Threads of the host. `workers` >= 1.
[[nodiscard]] std::unique_ptr<TransferEngine> MakeHostTransferEngine(int workers);

}  // namespace mirage::memory
