// SPDX-License-Identifier: Apache-2.0
#include "memory/sim_transfer.h"

#include <algorithm>
#include <utility>

#include "base/guarded.h"

namespace mirage::memory {

platform::Event SimTransferEngine::Submit(std::function<Status()> job, uint64_t bytes,
                                          std::vector<platform::Event> after) {
  int64_t ready_ns = 0;
  for (const platform::Event& event : after) ready_ns = std::max(ready_ns, event.due_ns());
  Status status = Guarded(job);
  const platform::SimLink::Span span = link_.Move(bytes, ready_ns);
  if (status) totals_.bytes += bytes;
  totals_.busy_ns += span.end_ns - span.begin_ns;
  const platform::Event done = platform::Event::Pending();
  done.SignalAt(link_.clock(), span.end_ns, std::move(status), span.end_ns - span.begin_ns);
  return done;
}

}  // namespace mirage::memory
