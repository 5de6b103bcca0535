// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "engine/active_request.h"
#include "engine/prefix_trees.h"
#include "engine/request_state.h"
#include "engine/request_trace.h"
#include "engine/step_plan.h"
#include "engine/text_jobs.h"
#include "platform/thread.h"

namespace mirage::engine {

namespace {

// Of keys and values, over all layers.
uint64_t BytesPerToken(const kv::PagePool& pages) {
  uint64_t bytes = 0;
  for (const kv::LayerGroup& group : pages.geometry())
    if (group.kind != kv::CacheKind::kState) bytes += group.bytes_per_page();
  return std::max<uint64_t>(1, bytes / kernels::kPageTokens);
}

constexpr int64_t kStarvedPollNs = 2'000'000;
constexpr int64_t kLongestWaitNs = int64_t{3600} * 1'000'000'000;
constexpr int64_t kLeastPartOfGrant = 32;

// What a model gives is its file's doing, but for what a caller's adapters make of it.
Error AboutModel(const ModelRunner& runner, const ActiveRequest& request, Error error) {
  if (error.part_kind() != FilePart::Kind::kFile || request.adapters() == nullptr)
    return runner.Locate(std::move(error));
  return {Code::kInvalidArgument, std::move(error.message) + " with the answer's adapters"};
}

uint64_t Lacking(const Error& shortage) {
  return shortage.needed_bytes - std::min(shortage.needed_bytes, shortage.available_bytes);
}

}  // namespace

struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  using Active = std::list<std::unique_ptr<ActiveRequest>>;

  Impl(const Clock& engine_clock, EngineOptions engine_options)
      : clock(engine_clock), options(engine_options) {}

  // Any thread.
  [[nodiscard]] Status Enqueue(Active& request);
  [[nodiscard]] Status Enqueue(TextJobs::Calls& call);
  [[nodiscard]] Status StartThread();  // under mutex
  void Wake();
  void Remember(const std::shared_ptr<Sequence>& sequence);
  void Stop();

  // Engine thread.
  void Run();
  // One round: take in what came, end what is over, make a step. False when there was nothing to
  // do.
  bool Round();
  void TakeIn();
  void EndFinished();
  void WaitForWork();
  bool StepOf(ModelRunner& runner);
  [[nodiscard]] std::vector<ActiveRequest*> Candidates(const ModelRunner& runner);
  void GuessWithModels(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates);
  [[nodiscard]] std::vector<Grant> PlanAndReserve(ModelRunner& runner,
                                                  std::vector<ActiveRequest*>* candidates);
  [[nodiscard]] bool MayGoOn(const ActiveRequest& request) const;
  [[nodiscard]] StepLimits Limits(ModelRunner& runner) const;
  [[nodiscard]] std::vector<Grant> Reserve(const std::vector<ActiveRequest*>& candidates,
                                           std::vector<Grant> grants,
                                           std::vector<size_t>* left_out);
  [[nodiscard]] Status ReserveOne(ActiveRequest& request, Grant* grant,
                                  const std::vector<ActiveRequest*>& kept);
  void ReserveGuesses(const std::vector<ActiveRequest*>& candidates, std::vector<Grant>* grants);
  [[nodiscard]] bool EvictFor(const kv::PagePool& pages, uint64_t bytes);
  [[nodiscard]] bool LendFor(const ActiveRequest* request, uint64_t bytes,
                             const ActiveRequest* victim, const std::vector<ActiveRequest*>& kept);
  [[nodiscard]] int64_t StepsUntilSomebodyEnds() const;
  [[nodiscard]] uint64_t LendableBytes() const;
  [[nodiscard]] bool ComeHome();
  [[nodiscard]] bool MakeRoomFor(ActiveRequest* request, const kv::PagePool& pages, uint64_t bytes,
                                 const std::vector<ActiveRequest*>& kept);
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
  Active arrived;
  TextJobs::Calls arrived_texts;
  std::list<std::weak_ptr<Sequence>> sequences;  // least recently used first
  PrefixTrees prefixes;                          // has a lock of its own
  Trace trace;                                   // as this
  uint64_t submitted = 0;                        // requests so far
  EngineStats stats;
  platform::Thread thread;
  std::mutex join_mutex;

  // Engine thread only.
  Active active;  // by priority, then in order of arrival: those before may take pages from those
                  // after
  TextJobs texts{clock, trace};
  const ModelRunner* last_runner = nullptr;
  uint64_t step_number = 0;
  sample::Workspace workspace;
  std::vector<float> draft_row;  // of a model's vocabulary
  bool starved = false;          // somebody waits for pages that a thread outside may give back
  bool weights_lent = false;     // since all were last at home
  uint64_t lent_at_step = 0;
  int64_t calm_steps = 0;  // since pages last ran out
};

Engine::Engine(const Clock& clock, EngineOptions options)
    : impl_(std::make_shared<Impl>(clock, options)) {}
Engine::~Engine() { Shutdown(); }

Result<std::shared_ptr<Request>> Engine::Submit(RequestOptions options) {
  if (options.sequence == nullptr) return Fail(Code::kInternal, "a request without a sequence");
  const std::shared_ptr<Sequence> sequence = options.sequence;
  const ModelRunner& runner = *sequence->runner_;
  for (const int32_t token : options.prompt)
    if (token < 0 || token >= runner.vocabulary())
      return Fail(Code::kInvalidArgument, "prompt token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(runner.vocabulary()));
  if (options.max_tokens == 0 || options.max_tokens < -1)
    return Fail(Code::kInvalidArgument,
                "max_tokens is " + std::to_string(options.max_tokens) +
                    "; it is at least 1, or -1 for as many as the context holds");
  if (options.min_tokens < 0 ||
      (options.max_tokens != -1 && options.min_tokens > options.max_tokens))
    return Fail(Code::kInvalidArgument,
                "min_tokens is " + std::to_string(options.min_tokens) +
                    ", expected 0 to max_tokens" +
                    (options.max_tokens == -1 ? "" : ", " + std::to_string(options.max_tokens)));
  if (options.shift_keep &&
      (*options.shift_keep < 0 || *options.shift_keep >= sequence->context_limit()))
    return Fail(Code::kInvalidArgument, std::to_string(*options.shift_keep) +
                                            " tokens to keep of a context of " +
                                            std::to_string(sequence->context_limit()));
  MIRAGE_TRY_ASSIGN(sample::Sampler sampler,
                    sample::Sampler::Create(options.sampling, runner.vocabulary()));
  auto state = std::make_shared<Request::State>(std::max<size_t>(1, options.queue_capacity),
                                                runner.vocabulary());
  // The request may outlive the engine.
  state->wake_engine = [weak = std::weak_ptr<Impl>(impl_)] {
    if (const std::shared_ptr<Impl> impl = weak.lock()) impl->Wake();
  };
  auto request = std::make_shared<Request>(state);
  impl_->Remember(sequence);
  impl_->prefixes.Remember(sequence->runner_);
  if (options.draft_model != nullptr) impl_->prefixes.Remember(options.draft_model);

  Impl::Active node;
  node.push_back(
      std::make_unique<ActiveRequest>(std::move(options), std::move(sampler), std::move(state)));
  ActiveRequest& active = *node.front();
  MIRAGE_TRY(active.CheckWillFit(impl_->LendableBytes()));
  MIRAGE_TRY(active.Begin(impl_->clock.NowNs()));
  if (Status enqueued = impl_->Enqueue(node); !enqueued) {
    active.Withdraw();
    return Fail(std::move(enqueued).error());
  }
  return request;
}

Result<std::shared_ptr<TextBatch>> Engine::Submit(TextCall call) {
  MIRAGE_TRY(CheckTexts(call));
  impl_->prefixes.Remember(call.runner);
  auto batch = std::make_shared<TextBatch>(std::move(call));
  TextJobs::Calls node;
  node.emplace_back(batch);
  MIRAGE_TRY(impl_->Enqueue(node));
  return batch;
}

Result<std::shared_ptr<Sequence>> Engine::Fork(const Sequence& sequence) {
  std::shared_ptr<Sequence> fork = sequence.Fork();
  impl_->Remember(fork);
  return fork;
}

Status Engine::Adopt(const std::shared_ptr<Sequence>& sequence, Sequence::Copy copy) {
  impl_->Remember(sequence);
  impl_->prefixes.Remember(sequence->runner_);
  return sequence->Adopt(std::move(copy));
}

uint64_t Engine::GiveBackPrefixes(uint64_t bytes) {
  return impl_->prefixes.Evict(nullptr, bytes, impl_->clock.NowNs());
}

uint64_t Engine::PrefixBytes() const { return impl_->prefixes.HeldBytes(); }

void Engine::Shutdown() { impl_->Stop(); }

Trace& Engine::trace() const { return impl_->trace; }

EngineStats Engine::Stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

// ---- any thread
// -----------------------------------------------------------------------------------------------------

Status Engine::Impl::Enqueue(Active& request) {
  const std::lock_guard lock(mutex);
  MIRAGE_TRY(StartThread());
  request.front()->number = submitted++;
  arrived.splice(arrived.end(), request);
  ++stats.running;
  woken = true;
  work.notify_one();
  return {};
}

Status Engine::Impl::Enqueue(TextJobs::Calls& call) {
  const std::lock_guard lock(mutex);
  MIRAGE_TRY(StartThread());
  arrived_texts.splice(arrived_texts.end(), call);
  woken = true;
  work.notify_one();
  return {};
}

Status Engine::Impl::StartThread() {
  if (closed) return Fail(Code::kClosed, "the runtime is shut down");
  if (thread.joinable()) return {};
  return Guarded([&]() -> Status {
    thread = platform::Thread("mirage-engine", [self = shared_from_this()] { self->Run(); });
    return {};
  });
}

void Engine::Impl::Wake() {
  const std::lock_guard lock(mutex);
  woken = true;
  work.notify_one();
}

// Moves the sequence to the end of those whose caches may be dropped when pages run out.
void Engine::Impl::Remember(const std::shared_ptr<Sequence>& sequence) {
  std::list<std::weak_ptr<Sequence>> node{sequence};
  const std::lock_guard lock(mutex);
  sequences.remove_if([&](const std::weak_ptr<Sequence>& known) {
    return known.expired() || (!known.owner_before(sequence) && !sequence.owner_before(known));
  });
  sequences.splice(sequences.end(), node);
}

void Engine::Impl::Stop() {
  {
    const std::lock_guard lock(mutex);
    closed = true;
    woken = true;
    work.notify_one();
  }
  const std::lock_guard lock(join_mutex);
  if (!thread.joinable()) return;
  // The last holder of a model may be the engine thread itself; it then ends on its own, holding
  // what it needs.
  if (thread.is_current())
    thread.detach();
  else
    thread.join();
}

// ---- engine thread
// --------------------------------------------------------------------------------------------------

void Engine::Impl::Run() {
  while (true) {
    {
      const std::lock_guard lock(mutex);
      if (closed) break;
    }
    const Status status = Guarded([&]() -> Status {
      const bool worked = Round();
      const bool revived = ComeHome();
      if (options.check_invariants) MIRAGE_TRY(CheckInvariants());
      if (!worked && !revived) WaitForWork();
      return {};
    });
    if (!status) EndEverything(Finish::kError, status.error());
  }
  EndEverything(Finish::kCancelled, {Code::kClosed, "closed", 0, 0});
}

bool Engine::Impl::Round() {
  TakeIn();
  EndFinished();
  starved = false;

  // Models take turns: the first that has work after the one that had the last step.
  std::vector<ModelRunner*> runners;
  for (const auto& request : active)
    if (std::find(runners.begin(), runners.end(), &request->runner()) == runners.end())
      runners.push_back(&request->runner());
  const auto last = std::find(runners.begin(), runners.end(), last_runner);
  if (last != runners.end()) std::rotate(runners.begin(), last + 1, runners.end());
  bool worked = false;
  for (ModelRunner* runner : runners) {
    if (!StepOf(*runner)) continue;
    last_runner = runner;
    worked = true;
    break;
  }
  EndFinished();
  return ReadTexts() || worked;
}

void Engine::Impl::TakeIn() {
  const std::lock_guard lock(mutex);
  woken = false;
  while (!arrived.empty()) {
    ActiveRequest& request = *arrived.front();
    request.last_served = step_number;
    const auto place = std::find_if(active.begin(), active.end(), [&](const auto& other) {
      return other->priority() < request.priority();
    });
    active.splice(place, arrived, arrived.begin());
  }
  texts.Add(arrived_texts);
}

void Engine::Impl::EndFinished() {
  const int64_t now = clock.NowNs();
  for (auto it = active.begin(); it != active.end();) {
    ActiveRequest& request = **it++;
    request.TakeAccepted(now);
    if (const std::optional<Finish> ending = request.Ending(now)) {
      EndRequest(request, *ending, {});
      continue;
    }
    const Status room = Guarded([&]() -> Status {
      if (request.Shift()) trace.Add(Instant(request, "context shifted", now));
      return {};
    });
    if (!room) EndRequest(request, Finish::kError, CopyOf(room.error()));
  }
}

void Engine::Impl::WaitForWork() {
  std::optional<int64_t> until;
  for (const auto& request : active)
    if (const auto deadline = request->deadline_ns())
      until = std::min(until.value_or(*deadline), *deadline);
  int64_t wait_ns = kLongestWaitNs;
  if (until) wait_ns = std::clamp<int64_t>(*until - clock.NowNs(), 0, kLongestWaitNs);
  if (starved) wait_ns = std::min(wait_ns, kStarvedPollNs);
  std::unique_lock lock(mutex);
  // TakeIn may have taken a call to stop for one to work.
  work.wait_for(lock, std::chrono::nanoseconds(wait_ns), [&] { return woken || closed; });
}

bool Engine::Impl::StepOf(ModelRunner& runner) {
  std::vector<ActiveRequest*> candidates = Candidates(runner);
  const auto streams = std::count_if(candidates.begin(), candidates.end(),
                                     [](const ActiveRequest* r) { return r->pending() == 1; });
  for (ActiveRequest* request : candidates) request->Guess(streams, clock.NowNs());
  GuessWithModels(runner, candidates);
  const size_t before = active.size();
  std::vector<Grant> grants = PlanAndReserve(runner, &candidates);
  if (grants.empty()) return active.size() != before;  // a request that can never fit was ended
  // Side by side, what the same adapters add to many rows costs little more than to one.
  std::stable_sort(grants.begin(), grants.end(), [&](const Grant& a, const Grant& b) {
    return model::IdOf(candidates[a.candidate]->adapters()) <
           model::IdOf(candidates[b.candidate]->adapters());
  });

  const int64_t begin = clock.NowNs();
  for (const Grant& grant : grants)
    candidates[grant.candidate]->state().UpdateStats([&](RequestStats& s) {
      if (s.first_step_ns == 0) s.first_step_ns = begin;
    });
  const Status executed = Guarded([&] { return Execute(runner, candidates, grants); });
  int64_t tokens = 0;
  for (const Grant& grant : grants) tokens += grant.tokens + grant.guesses;
  trace.Add(StepEvent("step", begin, clock.NowNs(), grants.size(), tokens, executed));
  if (!executed) {
    FailStep(candidates, grants, executed.error());
    return true;
  }
  runner.step_cost.Learn(tokens, clock.NowNs() - begin);
  SampleAndCommit(runner, candidates, grants);
  return true;
}

std::vector<ActiveRequest*> Engine::Impl::Candidates(const ModelRunner& runner) {
  std::vector<ActiveRequest*> candidates;
  const int64_t now = clock.NowNs();
  int32_t running = 0;
  for (const auto& request : active) {
    // A reader may have made room only after this round's shifts; it wakes us for another round.
    if (request->paused() || request->must_shift()) continue;
    if (options.max_running > 0 && ++running > options.max_running) break;
    if (&request->runner() != &runner || !MayGoOn(*request) || !request->TakePrompt()) continue;
    request->FindPrefix(now);
    const bool follows =
        std::any_of(candidates.begin(), candidates.end(),
                    [&](const ActiveRequest* earlier) { return request->Follows(*earlier); });
    if (!follows) candidates.push_back(request.get());
  }
  return candidates;
}

// Those that share a draft model guess together. One that fails costs only its guesses: the
// requests go on without it.
void Engine::Impl::GuessWithModels(ModelRunner& runner,
                                   const std::vector<ActiveRequest*>& candidates) {
  for (;;) {
    const auto first = std::find_if(candidates.begin(), candidates.end(),
                                    [](const ActiveRequest* r) { return r->wants_draft(); });
    if (first == candidates.end()) return;
    ModelRunner& drafting = *(*first)->draft_runner();
    const int64_t begin = clock.NowNs();
    std::vector<ActiveRequest*> together;
    int64_t guesses = 0;
    const Status guessed = Guarded([&]() -> Status {
      std::vector<DraftWish> wishes;
      for (ActiveRequest* request : candidates) {
        if (!request->wants_draft() || request->draft_runner() != &drafting) continue;
        together.push_back(request);
        wishes.push_back(request->MakeDraftWish());
      }
      draft_row.resize(static_cast<size_t>(runner.vocabulary()));
      MIRAGE_TRY(GuessTogether(drafting, wishes, Limits(drafting).prompt_tokens, clock, draft_row,
                               workspace));
      for (ActiveRequest* request : together) {
        request->TakeDraft();
        guesses += request->guesses();
      }
      return {};
    });
    trace.Add(StepEvent("draft", begin, clock.NowNs(), together.size(), guesses, guessed));
    if (guessed) continue;
    for (ActiveRequest* request : candidates)
      if (request->draft_runner() == &drafting) request->EndDraft();
  }
}

// Whoever finds no room is planned without, so that the step's tokens go to those who do.
std::vector<Grant> Engine::Impl::PlanAndReserve(ModelRunner& runner,
                                                std::vector<ActiveRequest*>* candidates) {
  for (;;) {
    std::vector<Candidate> counters;
    for (const ActiveRequest* request : *candidates)
      counters.push_back({request->pending(), request->last_served, request->guesses(),
                          request->priority(), request->deadline_ns().value_or(INT64_MAX)});
    std::vector<size_t> left_out;
    std::vector<Grant> grants = Reserve(*candidates, PlanStep(counters, Limits(runner)), &left_out);
    if (left_out.empty()) {
      ReserveGuesses(*candidates, &grants);
      return grants;
    }
    for (auto it = left_out.rbegin(); it != left_out.rend(); ++it)
      candidates->erase(candidates->begin() + static_cast<std::ptrdiff_t>(*it));
  }
}

// A preempted request starts again only when all it lost fits beside a page more for everybody
// older: else it would be thrown out again before it has caught up.
bool Engine::Impl::MayGoOn(const ActiveRequest& request) const {
  if (!request.recomputing()) return true;
  uint64_t needed = 0;
  bool alone = true;
  for (const auto& other : active) {
    if (other.get() == &request) break;
    if (other->cache().length() == 0 || other->paused()) continue;  // a paused one gives room
    alone = false;
    for (const kv::LayerGroup& group : other->runner().pages().geometry())
      needed += group.bytes_per_page();
  }
  if (alone) return true;
  for (const kv::LayerGroup& group : request.runner().pages().geometry())
    needed += static_cast<uint64_t>(
                  kv::PagesFor(group, request.pending(), request.pending(), kv::Snapshots::kSkip)) *
              group.bytes_per_page();
  const uint64_t available = request.runner().pages().available_bytes();
  return needed <= available ||
         needed <= available + prefixes.EvictableBytes(&request.runner().pages());
}

StepLimits Engine::Impl::Limits(ModelRunner& runner) const {
  StepLimits limits;
  limits.tokens = runner.max_step_tokens();
  limits.logit_rows = runner.max_logit_rows();
  limits.step = step_number;
  const int64_t learnt = runner.step_cost.TokensIn(options.target_step_ns);
  limits.prompt_tokens = std::max(kLeastPromptTokens, learnt > 0 ? learnt : limits.tokens / 4);
  return limits;
}

// Backs the pages of the grants, oldest request first. Whoever finds no room is left out of this
// step, and ended with the error when there is nobody else who could give room.
std::vector<Grant> Engine::Impl::Reserve(const std::vector<ActiveRequest*>& candidates,
                                         std::vector<Grant> grants, std::vector<size_t>* left_out) {
  std::sort(grants.begin(), grants.end(),
            [](const Grant& a, const Grant& b) { return a.candidate < b.candidate; });
  std::vector<Grant> granted;
  std::vector<ActiveRequest*> kept;
  for (Grant grant : grants) {
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
    left_out->push_back(grant.candidate);
    request.state().UpdateStats([](RequestStats& s) { ++s.waits_for_pages; });
    trace.Add(Instant(request, "waits for pages", clock.NowNs()));
    starved = true;
    if (Status fits = request.CheckCanFit(LendableBytes()); !fits)
      EndRequest(request, Finish::kError, std::move(fits).error());
    else if (alone)
      EndRequest(request, Finish::kError, std::move(reserved).error());
  }
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
  return prefixes.Evict(&pages, std::max<uint64_t>(1, bytes), clock.NowNs()) > 0;
}

// Takes pages that are kept only to be found again, or else those with which one request guesses,
// or those that one keeps to go back to, or else the pages of one other: an idle session's, least
// recently used first; a paused request's; those of the youngest request that came after `request`.
// Older running ones keep theirs: so the oldest always gets on, and none takes turns with another
// at throwing work away. Those in `kept` are in the step already, and those of whose pages `pages`
// could not use the bytes keep them. request: nullptr for a score, which comes after everybody.
bool Engine::Impl::MakeRoomFor(ActiveRequest* request, const kv::PagePool& pages, uint64_t bytes,
                               const std::vector<ActiveRequest*>& kept) {
  if (EvictFor(pages, bytes)) return true;
  const auto helps = [&](ModelRunner& runner) { return runner.pages().FreeableFor(&pages) > 0; };
  for (const auto& other : active)
    if (other->draft_runner() != nullptr && helps(*other->draft_runner()) && other->GiveUpDraft())
      return true;
  if (request != nullptr && request->ForgetTail()) return true;  // no copy to make room for
  std::vector<std::shared_ptr<Sequence>>
      idle;  // the last reference may be ours: not to be dropped under the lock
  {
    const std::lock_guard lock(mutex);
    for (const std::weak_ptr<Sequence>& known : sequences)
      if (std::shared_ptr<Sequence> sequence = known.lock()) idle.push_back(std::move(sequence));
  }
  for (const std::shared_ptr<Sequence>& sequence : idle)
    if (helps(*sequence->runner_) && sequence->DropSnapshots()) return true;
  for (const auto& other : active)
    if (helps(other->runner()) && other->DropSnapshots()) return true;
  for (const std::shared_ptr<Sequence>& sequence : idle)
    if (helps(*sequence->runner_) && sequence->DropCache()) return true;
  const auto takeable = [&](const ActiveRequest& other) {
    return &other != request && other.cache().length() > 0 && helps(other.runner()) &&
           std::find(kept.begin(), kept.end(), &other) == kept.end();
  };
  const ActiveRequest* victim = nullptr;  // whose pages would be taken below
  bool younger = request != nullptr;
  for (auto it = active.rbegin(); it != active.rend() && victim == nullptr; ++it) {
    younger = younger && it->get() != request;
    if (takeable(**it) && (younger || (*it)->paused())) victim = it->get();
  }
  if (LendFor(request, bytes, victim, kept)) return true;
  for (auto it = active.rbegin(); it != active.rend(); ++it) {
    if (!takeable(**it) || !(*it)->paused()) continue;
    trace.Add(Instant(**it, "preempted", clock.NowNs()));
    (*it)->Preempt();
    return true;
  }
  if (request == nullptr) return false;
  if (texts.Preempt(pages)) return true;
  for (auto it = active.rbegin(); it != active.rend() && it->get() != request; ++it) {
    if (!takeable(**it)) continue;
    trace.Add(Instant(**it, "preempted", clock.NowNs()));
    (*it)->Preempt();
    return true;
  }
  return false;
}

// Weights of models that nobody uses now go first, then the request's own, then those of others.
// `victim` would have to give up its pages instead.
bool Engine::Impl::LendFor(const ActiveRequest* request, uint64_t bytes,
                           const ActiveRequest* victim, const std::vector<ActiveRequest*>& kept) {
  if (options.policy == ShortagePolicy::kRecompute) return false;
  if (request != nullptr && !request->CheckCanFit(LendableBytes())) return false;
  std::vector<std::shared_ptr<ModelRunner>> runners = prefixes.Runners();
  const auto rank = [&](const std::shared_ptr<ModelRunner>& runner) {
    const bool used = std::any_of(active.begin(), active.end(), [&](const auto& other) {
      return &other->runner() == runner.get() || other->draft_runner() == runner.get();
    });
    if (!used) return 0;
    return request != nullptr && &request->runner() == runner.get() ? 1 : 2;
  };
  std::stable_sort(runners.begin(), runners.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  const auto others = std::count_if(active.begin(), active.end(), [&](const auto& other) {
    return other.get() != request &&
           (other->cache().length() > 0 ||
            std::find(kept.begin(), kept.end(), other.get()) != kept.end());
  });
  for (const std::shared_ptr<ModelRunner>& runner : runners) {
    if (runner->lendable_bytes() == 0) continue;
    ShortageCosts costs;
    costs.fill_ns = rank(runner) == 0 ? 0 : runner->FillNs(bytes);
    costs.step_ns = runner->step_cost.PassNs(static_cast<int64_t>(active.size()));
    costs.token_ns = runner->step_cost.token_ns();
    // What has lasted is likely to last as long again.
    const auto lasted = weights_lent ? static_cast<int64_t>(step_number - lent_at_step) : 0;
    costs.steps = std::max(StepsUntilSomebodyEnds(), lasted);
    costs.others = others;
    if (victim != nullptr)
      costs.victim_tokens =
          std::clamp<int64_t>(static_cast<int64_t>(bytes / BytesPerToken(victim->runner().pages())),
                              1, victim->cache().length());
    if (const ActiveRequest* waits = victim != nullptr ? victim : request) {
      const int64_t tokens = waits->cache().length() + waits->pending() + waits->most_left();
      const uint64_t whole = BytesPerToken(waits->runner().pages()) * static_cast<uint64_t>(tokens);
      costs.waiting_share = std::min(
          1.0, static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(1, whole)));
    }
    if (options.policy == ShortagePolicy::kHybrid && !LendingIsCheaper(costs)) continue;
    const uint64_t freed = runner->LendWeights(bytes);
    if (freed == 0) continue;
    calm_steps = 0;
    if (!weights_lent) lent_at_step = step_number;
    weights_lent = true;
    const std::lock_guard lock(mutex);
    stats.bytes_lent += freed;
    return true;
  }
  return false;
}

uint64_t Engine::Impl::LendableBytes() const {
  uint64_t bytes = 0;
  if (options.policy == ShortagePolicy::kRecompute) return 0;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners())
    bytes += runner->lendable_bytes();
  return bytes;
}

// Of requests that end at unlike times, the first of n ends after about 1/(n + 1) of the longest.
int64_t Engine::Impl::StepsUntilSomebodyEnds() const {
  int64_t longest = 0;
  int64_t count = 0;
  for (const auto& request : active) {
    longest = std::max(longest, request->most_left());
    ++count;
  }
  return longest / (count + 1) + 1;
}

// Brings lent weights home, a region at a time, once there has been room for a while or nobody
// computes. Pages that are only kept to be found again give way to them: weights are read in every
// pass.
bool Engine::Impl::ComeHome() {
  constexpr int64_t kCalmSteps = 16;
  if (!weights_lent) return false;
  if (starved) calm_steps = 0;
  if (!active.empty() && ++calm_steps < kCalmSteps) return false;
  uint64_t spare = 0;  // two pages more for everybody, so that what comes home stays there
  for (const auto& request : active)
    for (const kv::LayerGroup& group : request->runner().pages().geometry())
      spare += 2 * group.bytes_per_page();
  weights_lent = false;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners()) {
    const uint64_t lent = runner->lent_bytes();
    if (lent == 0) continue;
    weights_lent = true;
    bool revived = runner->ReviveWeights(spare);
    if (!revived && EvictFor(runner->pages(), lent)) revived = runner->ReviveWeights(spare);
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

Status Engine::Impl::Execute(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                             const std::vector<Grant>& grants) {
  std::vector<Slice> slices;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    const bool sampled = grant.tokens == request.pending();
    slices.push_back({&request.cache(), request.PassTokens(grant.tokens, grant.guesses),
                      sampled ? 1 + static_cast<int32_t>(grant.guesses) : 0,
                      request.PromptWish(grant.tokens), request.adapters()});
  }
  return runner.Forward(slices, [&] { return MostlyForNobody(candidates, grants); });
}

// Whether more of the step than not is for requests that must end: they need not wait for it, and
// the others, whose tokens are computed again, lose less time than with the rest of it.
bool Engine::Impl::MostlyForNobody(const std::vector<ActiveRequest*>& candidates,
                                   const std::vector<Grant>& grants) const {
  const int64_t now = clock.NowNs();
  int64_t all = 0;
  int64_t ending = 0;
  for (const Grant& grant : grants) {
    all += grant.tokens;
    if (candidates[grant.candidate]->Ending(now)) ending += grant.tokens;
  }
  return 2 * ending > all;
}

// Takes the step back. Those that were cancelled end by themselves, and the others' tokens are
// computed again in the next one; any other failure is everybody's.
void Engine::Impl::FailStep(const std::vector<ActiveRequest*>& candidates,
                            const std::vector<Grant>& grants, const Error& error) {
  for (const Grant& grant : grants) candidates[grant.candidate]->Rollback();
  {
    const std::lock_guard lock(mutex);
    ++stats.rolled_back_steps;
  }
  if (error.code == Code::kCancelled && MostlyForNobody(candidates, grants)) return;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    EndRequest(request, Finish::kError, CopyOf(error));
  }
}

void Engine::Impl::SampleAndCommit(ModelRunner& runner,
                                   const std::vector<ActiveRequest*>& candidates,
                                   const std::vector<Grant>& grants) {
  ++step_number;
  CountStep(candidates, grants);
  int32_t row = 0;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    const bool sampled = grant.tokens == request.pending();
    request.CommitTokens(grant.tokens, clock.NowNs());
    request.last_served = step_number;
    const int32_t first_row = row;
    if (sampled) row += 1 + static_cast<int32_t>(grant.guesses);
    Status status = Guarded([&]() -> Status {
      MIRAGE_TRY(request.GivePromptPart());
      return sampled ? SampleGuesses(runner, request, grant, first_row) : Status{};
    });
    if (status) continue;
    status = Guarded(
        [&]() -> Status { return Fail(AboutModel(runner, request, std::move(status).error())); });
    EndRequest(request, Finish::kError, std::move(status).error());
  }
}

// Without the guesses that will come true, which are counted as they do.
void Engine::Impl::CountStep(const std::vector<ActiveRequest*>& candidates,
                             const std::vector<Grant>& grants) {
  const std::lock_guard lock(mutex);
  ++stats.steps;
  for (const Grant& grant : grants) {
    const bool decoding = grant.tokens == 1 && candidates[grant.candidate]->pending() == 1;
    (decoding ? stats.decode_tokens : stats.prompt_tokens) += static_cast<uint64_t>(grant.tokens);
  }
}

// The next token, and the one after each guess that came true: a guess is what the model chose, or
// is forgotten, so guessing changes no token.
Status Engine::Impl::SampleGuesses(ModelRunner& runner, ActiveRequest& request, const Grant& grant,
                                   int32_t first_row) {
  int64_t accepted = 0;
  MIRAGE_TRY(request.Sample(runner.Logits(first_row), workspace, clock.NowNs()));
  while (accepted < grant.guesses && request.CameTrue(accepted)) {
    request.CommitTokens(1, clock.NowNs());
    ++accepted;
    {
      const std::lock_guard lock(mutex);
      ++stats.decode_tokens;
    }
    MIRAGE_TRY(request.Sample(runner.Logits(first_row + static_cast<int32_t>(accepted)), workspace,
                              clock.NowNs()));
  }
  if (grant.guesses > 0) request.Rollback();
  // One that its reader keeps waiting says nothing of the guesses that were left.
  request.EndGuesses(request.paused() ? accepted : grant.guesses, accepted);
  return {};
}

// One pass over texts; a small one while streams run.
bool Engine::Impl::ReadTexts() {
  texts.EndUnwanted();
  if (texts.empty()) return false;
  const StepLimits limits = Limits(texts.runner());
  const int64_t tokens =
      active.empty() ? limits.tokens : std::min(limits.tokens, limits.prompt_tokens);
  const TextJobs::Pages pages{[this](const kv::PagePool& of, uint64_t bytes) {
                                return MakeRoomFor(nullptr, of, bytes, {});
                              },
                              [this](const TextJob& job) {
                                return AnyoneElseHoldsPages(nullptr, &job, job.runner().pages());
                              }};
  const bool worked = texts.Run(tokens, pages) == TextJobs::Outcome::kWorked;
  if (!worked) starved = true;
  return worked;
}

// The request leaves the list before anybody can see that it ended.
void Engine::Impl::EndRequest(ActiveRequest& request, Finish finish, Error error) noexcept {
  const auto it = std::find_if(active.begin(), active.end(),
                               [&](const auto& candidate) { return candidate.get() == &request; });
  const std::unique_ptr<ActiveRequest> ended = std::move(*it);
  active.erase(it);
  if (trace.on()) TraceLife(trace, ended->number, ended->state().Stats(), clock.NowNs(), finish);
  {
    const std::lock_guard lock(mutex);
    --stats.running;
  }
  ended->End(finish, std::move(error), clock.NowNs());
}

void Engine::Impl::EndEverything(Finish finish, const Error& error) noexcept {
  TakeIn();
  while (!active.empty()) EndRequest(*active.front(), finish, CopyOf(error));
  texts.EndAll(error);
}

// What the engine thread alone changes can be compared while others fork and close sessions: they
// hold pages besides.
Status Engine::Impl::CheckInvariants() const {
  std::vector<ModelRunner*> runners;
  for (const auto& request : active)
    if (std::find(runners.begin(), runners.end(), &request->runner()) == runners.end())
      runners.push_back(&request->runner());
  for (ModelRunner* runner : runners) {
    std::vector<const kv::SequenceCache*> caches;
    for (const auto& request : active)
      if (&request->runner() == runner) caches.push_back(&request->cache());
    for (const auto& request : active)
      if (request->draft_runner() == runner && request->draft_cache() != nullptr)
        caches.push_back(request->draft_cache());
    kv::HoldCounts counts(runner->pages().geometry().size());
    for (const kv::SequenceCache* cache : caches) {
      cache->CountHolds(&counts);
      MIRAGE_TRY(cache->CheckInvariants());
    }
    texts.CountHolds(*runner, &counts);
    MIRAGE_TRY(runner->pages().CheckInvariants());
    MIRAGE_TRY(runner->prefixes().CheckInvariants());
    MIRAGE_TRY(runner->prefixes().CheckHolders(std::move(counts), false));
  }
  return {};
}

}  // namespace mirage::engine
