// SPDX-License-Identifier: Apache-2.0
#pragma once

// PrefixTrees: the prefix caches of all models an engine has run, as one store of pages that can be
// had back when memory is wanted.
//
// Any thread.

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/model_runner.h"

namespace mirage::engine {

class PrefixTrees {
 public:
  void Remember(const std::shared_ptr<ModelRunner>& runner);

  // Frees about `bytes` of pages that no sequence holds and whose bytes `taker` could use
  // (nullptr: who has no promise), those first that are the cheapest to compute again. Returns the
  // bytes of pages freed, 0 when there were none.
  uint64_t Evict(const kv::PagePool* taker, uint64_t bytes, int64_t now_ns);
  [[nodiscard]] uint64_t EvictableBytes(const kv::PagePool* taker) const;
  // Of pages that no sequence holds, whoever could use them.
  [[nodiscard]] uint64_t HeldBytes() const;
  // Of all models that are remembered and still there.
  [[nodiscard]] std::vector<std::shared_ptr<ModelRunner>> Runners() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<ModelRunner>> runners_;
};

}  // namespace mirage::engine
