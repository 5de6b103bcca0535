// SPDX-License-Identifier: Apache-2.0
#pragma once

// Place: memory that holds a region's bytes, or will: a home or a slot. It knows when the bytes are
// there and when nobody reads them any more.
//
// What ends a use allocates nothing, so that a lease can end when there is no memory. The engine
// thread.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "platform/stream.h"

namespace mirage::memory {

struct Place {
  // The last end of a lease on each stream: when all are done nobody reads the bytes.
  struct Use {
    const platform::Stream* stream;
    platform::Event ended;
  };

  std::byte* base = nullptr;
  platform::Event fill;   // done when the bytes are there
  bool reported = false;  // the fill's outcome went to a stream, or its failure to a caller
  int leases = 0;
  std::vector<Use> uses;

  // Every event that must be done before the bytes may be overwritten.
  [[nodiscard]] std::vector<platform::Event> Pending() const {
    std::vector<platform::Event> pending;
    if (!fill.done()) pending.push_back(fill);
    for (const Use& use : uses)
      if (!use.ended.done()) pending.push_back(use.ended);
    return pending;
  }
  // How it went does not matter to who takes the bytes.
  void AwaitIdle() const {
    fill.Await();
    for (const Use& use : uses) use.ended.Await();
  }

  // A lease on the stream begins; it will end with EndUse.
  void BeginUse(const platform::Stream& stream) {
    if (FindUse(stream) == uses.end()) uses.push_back({&stream, platform::Event()});
    ++leases;
  }
  void EndUse(platform::Stream& stream, const platform::Event& ended) {
    stream.Record(ended);
    FindUse(stream)->ended = ended;
    --leases;
  }

 private:
  [[nodiscard]] std::vector<Use>::iterator FindUse(const platform::Stream& stream) {
    return std::find_if(uses.begin(), uses.end(),
                        [&](const Use& use) { return use.stream == &stream; });
  }
};

}  // namespace mirage::memory
