// SPDX-License-Identifier: Apache-2.0

// Room: pages for a step's tokens, and who gives theirs up, or which weights are lent, where there
// are too few. Engine thread.

#include <algorithm>
#include <atomic>

#include "base/checked.h"
#include "base/guarded.h"
#include "engine/engine_impl.h"
#include "engine/request_trace.h"

namespace mirage::engine {
namespace {

constexpr int64_t kLeastPartOfGrant = 32;

// Of keys and values, over all layers.
uint64_t BytesPerToken(const kv::PagePool& pages) {
  uint64_t bytes = 0;
  for (const kv::LayerGroup& group : pages.geometry())
    if (group.kind != kv::CacheKind::kState) bytes += group.bytes_per_page();
  return std::max<uint64_t>(1, bytes / kernels::kPageTokens);
}

// What move() returns; `moves` is odd until it does, or throws.
template <typename Move>
auto Moving(std::atomic<uint64_t>& moves, Move move) {
  struct Count {
    std::atomic<uint64_t>& moves;
    explicit Count(std::atomic<uint64_t>& count) : moves(count) { ++moves; }
    ~Count() { ++moves; }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
  } const count(moves);
  return move();
}

}  // namespace

// Backs the pages of the grants, oldest request first. Whoever finds no room is left out of this
// step, and ended with the error when there is nobody else who could give room.
std::vector<Grant> Engine::Impl::Reserve(const std::vector<ActiveRequest*>& candidates,
                                         std::vector<Grant> grants, std::vector<size_t>* left_out) {
  std::sort(grants.begin(), grants.end(),
            [](const Grant& a, const Grant& b) { return a.candidate < b.candidate; });
  std::vector<Grant> granted;
  std::vector<ActiveRequest*> kept;
  const auto leave_out = [&](size_t candidate) {
    ActiveRequest& request = *candidates[candidate];
    left_out->push_back(candidate);
    request.state().UpdateStats([](RequestStats& s) { ++s.waits_for_pages; });
    trace.Add(Instant(request, "waits for pages", clock.NowNs()));
    starved = true;
  };
  // Where one that has nothing finds no room, neither do those like it that came later; trying each
  // of many would take longer than the step.
  size_t full_after = candidates.size();
  const auto waits_behind = [&](size_t candidate) {
    return candidate > full_after && candidates[candidate]->cache().length() == 0;
  };
  for (Grant grant : grants) {
    if (waits_behind(grant.candidate)) continue;
    ActiveRequest& request = *candidates[grant.candidate];
    if (request.recomputing() && request.cache().length() == 0 && !MayGoOn(request)) {
      left_out->push_back(grant.candidate);  // preempted just now
      continue;
    }
    const auto reserve = [&] { return ReserveOne(request, &grant, kept); };
    Status reserved = Guarded(reserve);
    const bool alone = !reserved && kept.empty() &&
                       !AnyoneElseHoldsPages(&request, nullptr, request.runner().pages());
    if (alone) reserved = Guarded(reserve);  // what others let go of meanwhile is there by now
    if (reserved) {
      granted.push_back(grant);
      kept.push_back(&request);
      continue;
    }
    leave_out(grant.candidate);
    if (Status fits = request.CheckCanFit(MostPageBytes(request.runner().pages())); !fits)
      EndRequest(request, Finish::kError, std::move(fits).error());
    else if (alone)
      EndRequest(request, Finish::kError, std::move(reserved).error());
    else if (request.cache().length() == 0)
      full_after = std::min(full_after, grant.candidate);
  }
  const auto left = [&](size_t candidate) {  // it may have been ended
    return std::find(left_out->begin(), left_out->end(), candidate) != left_out->end();
  };
  for (size_t later = full_after + 1; later < candidates.size(); ++later)
    if (!left(later) && waits_behind(later)) leave_out(later);
  std::sort(left_out->begin(), left_out->end());
  return granted;
}

// Room is made by those who are idle, then paused, then younger; a smaller part of the grant does,
// too. For what is only kept to go back to nobody gives up more than what is only kept to be found.
Status Engine::Impl::ReserveOne(ActiveRequest& request, Grant* grant,
                                const std::vector<ActiveRequest*>& kept) {
  const kv::PagePool& pages = request.runner().pages();
  const auto reserve = [&](kv::Snapshots snapshots) {
    return request.Reserve(grant->tokens, 0, snapshots);
  };
  Status reserved = reserve(kv::Snapshots::kTake);
  while (!reserved && EvictFor(pages, Lacking(reserved.error())))
    reserved = reserve(kv::Snapshots::kTake);
  if (!reserved) reserved = reserve(kv::Snapshots::kSkip);
  while (!reserved && MakeRoomFor(&request, pages, Lacking(reserved.error()), kept))
    reserved = reserve(kv::Snapshots::kSkip);
  while (!reserved && grant->tokens > kLeastPartOfGrant) {
    grant->tokens = std::max(kLeastPartOfGrant, grant->tokens / 2);
    reserved = reserve(kv::Snapshots::kSkip);
  }
  return reserved;
}

// Of what is left when everybody has room for what is sure: nobody gives room for guesses.
void Engine::Impl::ReserveGuesses(const std::vector<ActiveRequest*>& candidates,
                                  std::vector<Grant>* grants) {
  for (Grant& grant : *grants) {
    const auto reserve = [&] {
      return candidates[grant.candidate]->Reserve(grant.tokens, grant.guesses,
                                                  kv::Snapshots::kTake);
    };
    while (grant.guesses > 0 && !Guarded(reserve)) grant.guesses /= 2;
  }
}

// Pages that are kept only to be found again; false when there are none.
bool Engine::Impl::EvictFor(const kv::PagePool& pages, uint64_t bytes) {
  evictable.clear();
  return prefixes.Evict(&pages, std::max<uint64_t>(1, bytes), clock.NowNs()) > 0;
}

// Least recently used first. The last reference may be the caller's: not to be dropped under the
// lock. Any thread.
std::vector<std::shared_ptr<Sequence>> Engine::Impl::KnownSequences() {
  std::vector<std::shared_ptr<Sequence>> known;
  const std::lock_guard lock(mutex);
  known.reserve(sequences.size());
  for (const std::weak_ptr<Sequence>& weak : sequences)
    if (std::shared_ptr<Sequence> sequence = weak.lock()) known.push_back(std::move(sequence));
  return known;
}

// Takes pages that are kept only to be found again, or else those with which one request guesses,
// or those that one keeps to go back to, or else the pages of one other: an idle session's, least
// recently used first; a paused request's; those of the youngest request that came after `request`.
// Older running ones keep theirs: so the oldest always gets on, and none takes turns with another
// at throwing work away. Those in `kept` are in the step already, and those of whose pages `pages`
// could not use the bytes keep them. Where requests start whole the younger keep theirs, too: they
// were reckoned with, and give way only where that has come out wrong (a limit that was lowered, a
// reader that came back) and the oldest would not get on. request: nullptr for a score, which comes
// after everybody. False also where pages are on their way out: they are there in a later step.
bool Engine::Impl::MakeRoomFor(ActiveRequest* request, const kv::PagePool& pages, uint64_t bytes,
                               const std::vector<ActiveRequest*>& kept) {
  if (EvictFor(pages, bytes)) return true;
  const auto helps = [&](ModelRunner& runner) { return runner.pages().FreeableFor(&pages) > 0; };
  for (const auto& other : active)
    if (other->draft_runner() != nullptr && helps(*other->draft_runner()) && other->GiveUpDraft())
      return true;
  if (request != nullptr && request->ForgetTail()) return true;  // no copy to make room for
  const std::vector<std::shared_ptr<Sequence>> known = KnownSequences();
  for (const std::shared_ptr<Sequence>& sequence : known)
    if (helps(*sequence->runner_) && sequence->DropSnapshots()) return true;
  for (const auto& other : active)
    if (helps(other->runner()) && other->DropSnapshots()) return true;
  if (DropIdleCache(pages, known)) return true;
  if (request != nullptr && DropWaitingCache(*request, pages)) return true;
  if (LeavingBytes(pages) >= bytes) return false;
  ActiveRequest* const victim = VictimFor(request, pages, kept);
  const ShortageCosts costs = CostsOf(request, bytes, victim, kept);
  if (LendFor(request, bytes, costs)) return true;
  if (victim != nullptr && victim->paused()) return GiveUpPages(*victim, costs);
  if (request == nullptr) return false;
  if (texts.Preempt(pages)) return true;
  if (victim == nullptr) return false;
  if (options.policy->starts_whole() && !IsOldestStarted(*request)) return false;
  return GiveUpPages(*victim, costs);
}

// Whose pages would be taken: those of the youngest that is paused, or else of the youngest that
// came after `request`.
ActiveRequest* Engine::Impl::VictimFor(const ActiveRequest* request, const kv::PagePool& pages,
                                       const std::vector<ActiveRequest*>& kept) const {
  ActiveRequest* youngest = nullptr;
  bool younger = request != nullptr;
  for (auto it = active.rbegin(); it != active.rend(); ++it) {
    ActiveRequest& other = **it;
    if (&other == request) {
      younger = false;
      continue;
    }
    const bool takeable = other.cache().length() > 0 &&
                          other.runner().pages().FreeableFor(&pages) > 0 &&
                          std::find(kept.begin(), kept.end(), &other) == kept.end();
    if (!takeable) continue;
    if (other.paused()) return &other;
    if (younger && youngest == nullptr) youngest = &other;
  }
  return youngest;
}

// Least recently used first, of one whose bytes `pages` could use.
bool Engine::Impl::DropIdleCache(const kv::PagePool& pages,
                                 const std::vector<std::shared_ptr<Sequence>>& known) {
  return std::any_of(known.begin(), known.end(), [&](const auto& sequence) {
    return sequence->runner_->pages().FreeableFor(&pages) > 0 && sequence->DropCache();
  });
}

// False where they are on their way out and not free yet.
bool Engine::Impl::GiveUpPages(ActiveRequest& request, ShortageCosts costs) {
  costs.step_ns = request.runner().step_cost.PassNs(RowsOf(request.runner()));
  costs.token_ns = request.runner().step_cost.token_ns();
  request.started = false;
  if (options.policy->Swaps(costs) && SwapOut(request)) return false;
  trace.Add(Instant(request, "preempted", clock.NowNs()));
  request.Preempt();
  return true;
}

// But for what depends on whose weights are lent, or on the model of who computes again. `victim`
// would have to give up its pages.
ShortageCosts Engine::Impl::CostsOf(const ActiveRequest* request, uint64_t bytes,
                                    const ActiveRequest* victim,
                                    const std::vector<ActiveRequest*>& kept) const {
  ShortageCosts costs;
  // What has lasted is likely to last as long again.
  const auto lasted = weights_lent ? static_cast<int64_t>(step_number - lent_at_step) : 0;
  costs.steps = std::max(StepsUntilSomebodyEnds(), lasted);
  costs.others = std::count_if(active.begin(), active.end(), [&](const auto& other) {
    return other.get() != request &&
           (other->cache().length() > 0 ||
            std::find(kept.begin(), kept.end(), other.get()) != kept.end());
  });
  if (victim != nullptr)
    costs.victim_tokens =
        std::clamp<int64_t>(static_cast<int64_t>(bytes / BytesPerToken(victim->runner().pages())),
                            1, victim->cache().length());
  costs.can_swap = options.swap != nullptr && victim != nullptr;
  costs.swap_ns = swap_cost.RoundTripNs(bytes);
  if (const ActiveRequest* waits = victim != nullptr ? victim : request) {
    const int64_t tokens = waits->cache().length() + waits->pending() + waits->most_left();
    const uint64_t whole = BytesPerToken(waits->runner().pages()) * static_cast<uint64_t>(tokens);
    costs.waiting_share = std::min(
        1.0, static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(1, whole)));
  }
  return costs;
}

int Engine::Impl::LendingRank(const ModelRunner& runner, const ActiveRequest* request) const {
  const bool used = std::any_of(active.begin(), active.end(), [&](const auto& other) {
    return &other->runner() == &runner || other->draft_runner() == &runner;
  });
  if (!used) return 0;
  return request != nullptr && &request->runner() == &runner ? 1 : 2;
}

std::vector<std::shared_ptr<ModelRunner>> Engine::Impl::RunnersToLend(
    const ActiveRequest* request) {
  std::vector<std::shared_ptr<ModelRunner>> runners = prefixes.Runners();
  std::stable_sort(runners.begin(), runners.end(), [&](const auto& a, const auto& b) {
    return LendingRank(*a, request) < LendingRank(*b, request);
  });
  return runners;
}

// What it frees.
uint64_t Engine::Impl::LendFrom(ModelRunner& runner, uint64_t bytes) {
  const uint64_t freed = Moving(weight_moves, [&] { return runner.LendWeights(bytes); });
  if (freed == 0) return 0;
  calm_steps = 0;
  if (!weights_lent) lent_at_step = step_number;
  weights_lent = true;
  const std::lock_guard lock(mutex);
  stats.bytes_lent += freed;
  return freed;
}

bool Engine::Impl::LendFor(const ActiveRequest* request, uint64_t bytes, ShortageCosts costs) {
  if (!options.policy->may_lend()) return false;
  if (request != nullptr && !request->CheckCanFit(MostPageBytes(request->runner().pages())))
    return false;
  for (const std::shared_ptr<ModelRunner>& runner : RunnersToLend(request)) {
    if (runner->lendable_bytes() == 0) continue;
    const uint64_t lent = runner->lent_bytes();
    costs.step_ns = runner->step_cost.PassNs(RowsOf(*runner));
    costs.token_ns = runner->step_cost.token_ns();
    costs.fill_ns = LendingRank(*runner, request) == 0
                        ? 0
                        : runner->UnhiddenNs(lent + bytes, costs.step_ns) -
                              runner->UnhiddenNs(lent, costs.step_ns);
    if (!options.policy->Lends(costs)) continue;
    if (LendFrom(*runner, bytes) > 0) return true;
  }
  return false;
}

// Pages that were only kept went before (Runtime::SetMemoryLimit). What is still missing afterwards
// is what requests hold, who find no room for more.
void Engine::Impl::FollowLimit() {
  for (const std::shared_ptr<ModelRunner>& runner : RunnersToLend(nullptr)) {
    const uint64_t over = runner->pages().over_limit_bytes();
    if (over > 0 && options.policy->may_lend() && LendFrom(*runner, over) > 0)
      leave_mappings = true;
    if (!weights_lent && runner->lent_bytes() > 0) {  // with more room they can come home
      lent_at_step = step_number;
      weights_lent = true;
    }
  }
}

// What is read in place lies in the system's cache of files, which under a limit drops just what a
// pass needs next. A part between two steps, so that none waits for a whole model.
bool Engine::Impl::LeaveMappings() {
  constexpr uint64_t kAtOnce = uint64_t{16} << 20;
  if (!leave_mappings) return false;
  leave_mappings = false;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners())
    if (runner->lent_bytes() > 0)
      leave_mappings |= Moving(weight_moves, [&] { return runner->LeaveMapping(kAtOnce); });
  return leave_mappings;
}

uint64_t Engine::Impl::LendableBytes() const {
  uint64_t bytes = 0;
  if (!options.policy->may_lend()) return 0;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners())
    bytes += runner->lendable_bytes();
  return bytes;
}

// Bytes of weights on the move are in neither number: on another thread than the engine's nothing
// is refused by such a look, since the engine takes its own.
uint64_t Engine::Impl::MostPageBytes(const kv::PagePool& pages) const {
  const uint64_t moves = weight_moves.load();
  const uint64_t most = std::min(
      CheckedAdd(pages.most_bytes(), LendableBytes()).value_or(kTooManyBytes), kTooManyBytes);
  return moves % 2 == 0 && moves == weight_moves.load() ? most : kTooManyBytes;
}

// Those of its requests that a step computes a token of.
int64_t Engine::Impl::RowsOf(const ModelRunner& runner) const {
  return std::count_if(active.begin(), active.end(), [&](const auto& request) {
    return &request->runner() == &runner && request->cache().length() > 0;
  });
}

// Of requests that end at unlike times, the first of n ends after about 1/(n + 1) of the longest.
int64_t Engine::Impl::StepsUntilSomebodyEnds() const {
  int64_t longest = 0;
  int64_t count = 0;
  for (const auto& request : active) {
    if (request->cache().length() == 0) continue;  // it waits
    longest = std::max(longest, request->most_left());
    ++count;
  }
  return longest / (count + 1) + 1;
}

// Whether a runner's passes lose more by what is lent than the oldest that waits would gain.
bool Engine::Impl::LendingIsDear(const ModelRunner& runner) const {
  const auto waiting = std::find_if(active.begin(), active.end(), [](const auto& request) {
    return request->cache().length() == 0 && !request->paused();
  });
  const int64_t rows = RowsOf(runner);
  if (waiting == active.end() || rows == 0) return false;
  const uint64_t lent = runner.lent_bytes();
  const uint64_t bytes =
      std::min(lent, BytesPerToken((*waiting)->runner().pages()) * kernels::kPageTokens);
  ShortageCosts costs = CostsOf(waiting->get(), bytes, nullptr, {});
  costs.step_ns = runner.step_cost.PassNs(rows);
  costs.token_ns = runner.step_cost.token_ns();
  // Half: what was worth lending a moment ago is not brought home for a trifle.
  costs.fill_ns =
      (runner.UnhiddenNs(lent, costs.step_ns) - runner.UnhiddenNs(lent - bytes, costs.step_ns)) / 2;
  return !options.policy->Lends(costs);
}

// Brings lent weights home, a region at a time: once there has been room for a while, or nobody
// computes, or, where they cost more than they give, as soon as somebody's end leaves room. Pages
// that are only kept to be found again give way to them: weights are read in every pass.
bool Engine::Impl::ComeHome() {
  constexpr int64_t kCalmSteps = 16;
  if (!weights_lent) return false;
  if (starved) calm_steps = 0;
  const bool calm = active.empty() || ++calm_steps >= kCalmSteps;
  uint64_t spare = 0;  // two pages more for everybody, so that what comes home stays there
  for (const auto& request : active)
    if (calm && request->cache().length() > 0)
      for (const kv::LayerGroup& group : request->runner().pages().geometry())
        spare += 2 * group.bytes_per_page();
  weights_lent = false;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners()) {
    const uint64_t lent = runner->lent_bytes();
    if (lent == 0) continue;
    weights_lent = true;
    if (!calm && !LendingIsDear(*runner)) continue;
    const auto revive = [&] { return runner->ReviveWeights(spare); };
    bool revived = Moving(weight_moves, revive);
    if (!revived && EvictFor(runner->pages(), lent)) revived = Moving(weight_moves, revive);
    if (!revived) continue;
    const std::lock_guard lock(mutex);
    ++stats.revivals;
    return true;
  }
  return false;
}

// Also one out of sight: a sequence that another thread is just letting go of, or copies.
bool Engine::Impl::AnyoneElseHoldsPages(const ActiveRequest* request, const TextJob* job,
                                        const kv::PagePool& pages) const {
  const bool requests = std::any_of(active.begin(), active.end(), [&](const auto& other) {
    return other.get() != request && other->cache().length() > 0 &&
           other->runner().pages().FreeableFor(&pages) > 0;
  });
  const bool jobs = texts.HoldPagesFor(pages, job);
  if (requests || jobs) return true;
  kv::HoldCounts counts(pages.geometry().size());
  request != nullptr ? request->cache().CountHolds(&counts) : texts.CountHoldsOf(*job, &counts);
  uint64_t own = 0;
  for (const auto& group : counts) own += group.size();
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners())
    if (runner->pages().FreeableFor(&pages) > 0 &&
        runner->pages().Stats().pages_held > (&runner->pages() == &pages ? own : 0))
      return true;
  return false;
}

}  // namespace mirage::engine
