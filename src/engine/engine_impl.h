// SPDX-License-Identifier: Apache-2.0
#pragma once

// Engine::Impl: what the engine's files share. engine.cc has the calls, the thread and its steps;
// room.cc who gets pages, and who gives them up; admission.cc who may start, and go on;
// swapping.cc pages that are out of memory for a while.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/active_request.h"
#include "engine/engine.h"
#include "engine/prefix_trees.h"
#include "engine/step_plan.h"
#include "engine/swapped_cache.h"
#include "engine/text_jobs.h"
#include "platform/thread.h"

namespace mirage::engine {

// Of what a kOutOfMemory asks for, what is not there.
[[nodiscard]] inline uint64_t Lacking(const Error& shortage) {
  return shortage.needed_bytes - std::min(shortage.needed_bytes, shortage.available_bytes);
}

struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  using Active = std::list<std::unique_ptr<ActiveRequest>>;

  Impl(const Clock& engine_clock, EngineOptions engine_options)
      : clock(engine_clock), options(engine_options) {}

  // Any thread.
  [[nodiscard]] Status Enqueue(Active& request);
  [[nodiscard]] Status Enqueue(TextJobs::Calls& call);
  [[nodiscard]] Status StartThread();  // under mutex
  void Wake();
  void FollowLimitSoon();
  void Remember(const std::shared_ptr<Sequence>& sequence);
  void Stop();

  // Engine thread.
  void Run();
  // One time around; false when there was nothing to do. Clears `open` when the engine was stopped.
  bool RunOnce(bool* open);
  // What came since the last time. False when the engine was stopped: looked at together with the
  // call to wake that this takes away.
  bool TakeIn();
  // One round: end what is over, make a step. False when there was nothing to do.
  bool Round();
  void EndFinished();
  void WaitForWork();
  bool StepOf(ModelRunner& runner);
  [[nodiscard]] std::vector<ActiveRequest*> Candidates(const ModelRunner& runner);
  void GuessWithModels(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates);
  [[nodiscard]] std::vector<Grant> PlanAndReserve(ModelRunner& runner,
                                                  std::vector<ActiveRequest*>* candidates);
  [[nodiscard]] bool MayGoOn(const ActiveRequest& request);
  [[nodiscard]] uint64_t EvictableFor(const kv::PagePool& pages);
  void StartWaiting();
  [[nodiscard]] ActiveRequest* NextToStart() const;
  [[nodiscard]] bool MayStart(const ActiveRequest& request);
  [[nodiscard]] bool DropWaitingCache(const ActiveRequest& request, const kv::PagePool& pages);
  [[nodiscard]] bool IsOldestStarted(const ActiveRequest& request) const;
  [[nodiscard]] StepLimits Limits(ModelRunner& runner) const;
  [[nodiscard]] std::vector<Grant> Reserve(const std::vector<ActiveRequest*>& candidates,
                                           std::vector<Grant> grants,
                                           std::vector<size_t>* left_out);
  [[nodiscard]] Status ReserveOne(ActiveRequest& request, Grant* grant,
                                  const std::vector<ActiveRequest*>& kept);
  void ReserveGuesses(const std::vector<ActiveRequest*>& candidates, std::vector<Grant>* grants);
  [[nodiscard]] bool EvictFor(const kv::PagePool& pages, uint64_t bytes);
  [[nodiscard]] ActiveRequest* VictimFor(const ActiveRequest* request, const kv::PagePool& pages,
                                         const std::vector<ActiveRequest*>& kept) const;
  [[nodiscard]] ShortageCosts CostsOf(const ActiveRequest* request, uint64_t bytes,
                                      const ActiveRequest* victim,
                                      const std::vector<ActiveRequest*>& kept) const;
  [[nodiscard]] bool LendFor(const ActiveRequest* request, uint64_t bytes, ShortageCosts costs);
  [[nodiscard]] bool LendingIsDear(const ModelRunner& runner) const;
  [[nodiscard]] int64_t RowsOf(const ModelRunner& runner) const;
  [[nodiscard]] int64_t StepsUntilSomebodyEnds() const;
  [[nodiscard]] uint64_t LendableBytes() const;
  // What pages could take if all weights that can be lent were. Any thread.
  [[nodiscard]] uint64_t MostPageBytes(const kv::PagePool& pages) const;
  // Those that nobody uses first, then the request's own, then others.
  [[nodiscard]] std::vector<std::shared_ptr<ModelRunner>> RunnersToLend(
      const ActiveRequest* request);
  [[nodiscard]] int LendingRank(const ModelRunner& runner, const ActiveRequest* request) const;
  uint64_t LendFrom(ModelRunner& runner, uint64_t bytes);
  void FollowLimit();
  [[nodiscard]] bool LeaveMappings();
  [[nodiscard]] bool ComeHome();
  [[nodiscard]] std::vector<std::shared_ptr<Sequence>> KnownSequences();
  [[nodiscard]] bool MakeRoomFor(ActiveRequest* request, const kv::PagePool& pages, uint64_t bytes,
                                 const std::vector<ActiveRequest*>& kept);
  [[nodiscard]] static bool DropIdleCache(const kv::PagePool& pages,
                                          const std::vector<std::shared_ptr<Sequence>>& known);
  [[nodiscard]] bool GiveUpPages(ActiveRequest& request, ShortageCosts costs);
  void TendSwaps();
  void BringBack(ActiveRequest& request);
  [[nodiscard]] bool SwapOut(ActiveRequest& request);
  [[nodiscard]] uint64_t LeavingBytes(const kv::PagePool& pages) const;
  [[nodiscard]] bool AwaitSwap();
  [[nodiscard]] bool AnyoneElseHoldsPages(const ActiveRequest* request, const TextJob* job,
                                          const kv::PagePool& pages) const;
  [[nodiscard]] Status Execute(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                               const std::vector<Grant>& grants);
  [[nodiscard]] bool MostlyForNobody(const std::vector<ActiveRequest*>& candidates,
                                     const std::vector<Grant>& grants) const;
  void FailStep(const std::vector<ActiveRequest*>& candidates, const std::vector<Grant>& grants,
                const Error& error);
  void SampleAndCommit(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                       const std::vector<Grant>& grants);
  void CountStep(const std::vector<ActiveRequest*>& candidates, const std::vector<Grant>& grants);
  [[nodiscard]] Status SampleGuesses(ModelRunner& runner, ActiveRequest& request,
                                     const Grant& grant, int32_t first_row);
  bool ReadTexts();
  void EndRequest(ActiveRequest& request, Finish finish, Error error) noexcept;
  void EndEverything(Finish finish, const Error& error) noexcept;
  [[nodiscard]] Status CheckInvariants() const;

  const Clock& clock;
  const EngineOptions options;

  mutable std::mutex mutex;
  std::condition_variable work;
  bool woken = false;
  bool closed = false;
  bool limit_changed = false;
  Active arrived;
  TextJobs::Calls arrived_texts;
  std::list<std::weak_ptr<Sequence>> sequences;  // least recently used first
  PrefixTrees prefixes;                          // has a lock of its own
  Trace trace;                                   // as this
  uint64_t submitted = 0;                        // requests so far
  EngineStats stats;
  std::atomic<uint64_t> weight_moves{0};  // odd while the engine moves some
  platform::Thread thread;
  std::mutex join_mutex;

  // Engine thread only.
  Active active;  // by priority, then in order of arrival: those before may take pages from those
                  // after
  TextJobs texts{clock, trace};
  const ModelRunner* last_runner = nullptr;
  uint64_t step_number = 0;
  sample::Workspace workspace;
  std::vector<float> draft_row;                       // of a model's vocabulary
  std::map<const kv::PagePool*, uint64_t> evictable;  // prefix bytes for a pool, in this round
  bool starved = false;         // somebody waits for pages that a thread outside may give back
  bool follow_limit = false;    // it was changed
  bool leave_mappings = false;  // what is still read in place is to be held in its stead
  bool weights_lent = false;    // since all were last at home
  uint64_t lent_at_step = 0;
  int64_t calm_steps = 0;  // since pages last ran out
  SwapCost swap_cost;
};

}  // namespace mirage::engine
