// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "engine/engine_impl.h"
#include "engine/request_state.h"
#include "engine/request_trace.h"

namespace mirage::engine {

namespace {

constexpr int64_t kStarvedPollNs = 2'000'000;
// While weights are lent and nobody computes: a sequence that is destroyed wakes nobody.
constexpr int64_t kLentPollNs = 50'000'000;
constexpr int64_t kLongestWaitNs = int64_t{3600} * 1'000'000'000;

// What a model gives is its file's doing, but for what a caller's adapters make of it.
Error AboutModel(const ModelRunner& runner, const ActiveRequest& request, Error error) {
  if (error.part_kind() != FilePart::Kind::kFile || request.adapters() == nullptr)
    return runner.Locate(std::move(error));
  return {Code::kInvalidArgument, std::move(error.message) + " with the answer's adapters"};
}

}  // namespace

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
  MIRAGE_TRY(active.CheckWillFit(impl_->MostPageBytes(active.runner().pages())));
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

void Engine::GiveBackIdlePages(const std::function<bool()>& enough) {
  const std::vector<std::shared_ptr<Sequence>> known = impl_->KnownSequences();
  for (bool (Sequence::*const drop)() : {&Sequence::DropSnapshots, &Sequence::DropCache})
    for (const std::shared_ptr<Sequence>& sequence : known) {
      const bool helps = sequence->runner_->pages().FreeableFor(nullptr) > 0;
      if (helps && (sequence.get()->*drop)() && enough()) return;
    }
}

bool Engine::Pump() {
  bool open = true;
  return impl_->RunOnce(&open);
}

void Engine::Know(const std::shared_ptr<ModelRunner>& runner) { impl_->prefixes.Remember(runner); }

void Engine::FollowLimit() { impl_->FollowLimitSoon(); }

void Engine::Touch(const std::shared_ptr<Sequence>& sequence) { impl_->Remember(sequence); }

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
  if (thread.joinable() || !options.own_thread) return {};
  return Guarded([&]() -> Status {
    thread = platform::Thread("mirage-engine", [self = shared_from_this()] { self->Run(); });
    return {};
  });
}

// Without a thread, where the system refuses one, it is followed when there is one.
void Engine::Impl::FollowLimitSoon() {
  const bool models = !prefixes.Runners().empty();
  const std::lock_guard lock(mutex);
  limit_changed = true;
  if (models) static_cast<void>(StartThread());
  woken = true;
  work.notify_one();
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
  if (!options.own_thread) EndEverything(Finish::kCancelled, {Code::kClosed, "closed", 0, 0});
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
  bool open = true;
  while (open)
    if (!RunOnce(&open) && open) WaitForWork();
  EndEverything(Finish::kCancelled, {Code::kClosed, "closed", 0, 0});
}

bool Engine::Impl::RunOnce(bool* open) {
  bool busy = false;
  const Status status = Guarded([&]() -> Status {
    *open = TakeIn();
    if (!*open) return {};
    if (std::exchange(follow_limit, false)) FollowLimit();
    const bool worked = Round();
    const bool moved = ComeHome() || LeaveMappings();
    busy = worked || moved;
    if (options.check_invariants) MIRAGE_TRY(CheckInvariants());
    return {};
  });
  if (status) return busy;
  EndEverything(Finish::kError, status.error());
  return true;
}

bool Engine::Impl::Round() {
  EndFinished();
  evictable.clear();
  starved = false;
  TendSwaps();
  StartWaiting();

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
  return ReadTexts() || worked || AwaitSwap();
}

bool Engine::Impl::TakeIn() {
  const std::lock_guard lock(mutex);
  woken = false;
  follow_limit |= std::exchange(limit_changed, false);
  while (!arrived.empty()) {
    ActiveRequest& request = *arrived.front();
    request.last_served = step_number;
    const auto place = std::find_if(active.begin(), active.end(), [&](const auto& other) {
      return other->priority() < request.priority();
    });
    active.splice(place, arrived, arrived.begin());
  }
  texts.Add(arrived_texts);
  return !closed;
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
  if (weights_lent) wait_ns = std::min(wait_ns, kLentPollNs);
  std::unique_lock lock(mutex);
  work.wait_for(lock, std::chrono::nanoseconds(wait_ns), [&] { return woken; });
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
  const int64_t waited = runner.waited_ns();
  const Status executed = Guarded([&] { return Execute(runner, candidates, grants); });
  int64_t tokens = 0;
  for (const Grant& grant : grants) tokens += grant.tokens + grant.guesses;
  trace.Add(StepEvent("step", begin, clock.NowNs(), grants.size(), tokens, executed));
  if (!executed) {
    FailStep(candidates, grants, executed.error());
    return true;
  }
  runner.step_cost.Learn(tokens, clock.NowNs() - begin - (runner.waited_ns() - waited));
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
    if (request->swapped() != nullptr) continue;
    if (options.policy->starts_whole() && !request->started) continue;
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
    if (candidates->empty()) return {};  // one that was ended may have been the last to hold runner
  }
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
