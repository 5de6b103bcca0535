// SPDX-License-Identifier: Apache-2.0
#include "memory/fill_log.h"

#include <algorithm>
#include <new>

namespace mirage::memory {
namespace {

// More than any step has in flight, so that waits for a fill are over when it leaves `recent_`.
constexpr size_t kMostRecent = 1024;

}  // namespace

void FillLog::Add(const platform::Event& fill, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  try {
    recent_.push_back({fill, bytes});
  } catch (const std::bad_alloc&) {
    return;  // the fill is under way: better a number short than a failure
  }
  while (recent_.size() > kMostRecent && recent_.front().event.done()) {
    AddTo(older_, recent_.front());
    recent_.pop_front();
  }
}

FillLog::Totals FillLog::Sum() const {
  const std::lock_guard lock(mutex_);
  Totals totals = older_;
  for (const Fill& fill : recent_)
    if (fill.event.done()) AddTo(totals, fill);
  return totals;
}

void FillLog::AddTo(Totals& totals, const Fill& fill) {
  if (fill.event.failed()) return;  // or abandoned before it began
  const int64_t waited = fill.event.waited_ns();
  totals.bytes += fill.bytes;
  totals.unhidden_ns += waited;
  totals.hidden_ns += std::max<int64_t>(0, fill.event.took_ns() - waited);
}

}  // namespace mirage::memory
