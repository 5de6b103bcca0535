// SPDX-License-Identifier: Apache-2.0
#include "engine/prefix_trees.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace mirage::engine {

void PrefixTrees::Remember(const std::shared_ptr<ModelRunner>& runner) {
  const std::lock_guard lock(mutex_);
  std::erase_if(runners_, [](const auto& known) { return known.expired(); });
  for (const auto& known : runners_)
    if (!known.owner_before(runner) && !runner.owner_before(known)) return;
  runners_.push_back(runner);
}

// The last reference may be the caller's: it is dropped without the lock.
std::vector<std::shared_ptr<ModelRunner>> PrefixTrees::Runners() const {
  std::vector<std::shared_ptr<ModelRunner>> runners;
  const std::lock_guard lock(mutex_);
  for (const auto& known : runners_)
    if (std::shared_ptr<ModelRunner> runner = known.lock()) runners.push_back(std::move(runner));
  return runners;
}

uint64_t PrefixTrees::Evict(const kv::PagePool* taker, uint64_t bytes, int64_t now_ns) {
  const std::vector<std::shared_ptr<ModelRunner>> runners = Runners();
  if (runners.size() == 1 && &runners.front()->pages() == taker)
    return runners.front()->prefixes().Evict(bytes, now_ns);
  std::vector<std::pair<double, ModelRunner*>> order;  // by what their cheapest page costs
  for (const auto& runner : runners)
    if (const std::optional<double> score = runner->prefixes().LowestScore(now_ns))
      order.emplace_back(*score * runner->step_cost.token_ns(), runner.get());
  std::sort(order.begin(), order.end());
  uint64_t freed = 0;
  for (const auto& [score, runner] : order)
    if (const uint64_t most =
            std::min(bytes - std::min(bytes, freed), runner->pages().FreeableFor(taker));
        most > 0)
      freed += runner->prefixes().Evict(most, now_ns);
  return freed;
}

uint64_t PrefixTrees::EvictableBytes(const kv::PagePool* taker) const {
  uint64_t bytes = 0;
  for (const auto& runner : Runners())
    bytes += std::min(runner->prefixes().EvictableBytes(), runner->pages().FreeableFor(taker));
  return bytes;
}

uint64_t PrefixTrees::HeldBytes() const {
  uint64_t bytes = 0;
  for (const auto& runner : Runners()) bytes += runner->prefixes().EvictableBytes();
  return bytes;
}

}  // namespace mirage::engine
