// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "engine/active_request.h"
#include "engine/request_state.h"
#include "engine/step_plan.h"

namespace mirage::engine {

namespace {

constexpr int64_t kLeastPromptTokens = 16;  // a prompt always gets on
constexpr int64_t kStarvedPollNs = 2'000'000;

// A sequence that is scored chunk by chunk between steps.
struct ScoreJob {
  std::shared_ptr<ModelRunner> runner;
  std::vector<int32_t> tokens;
  int64_t first = 0;
  std::function<bool()> cancelled;
  kv::SequenceCache cache;
  std::vector<double> logprobs;
  std::promise<Result<std::vector<double>>> promise;
};

// Tokens of prompt per nanosecond, learnt from the steps.
class PromptRate {
 public:
  void Learn(int64_t tokens, int64_t elapsed_ns) {
    if (tokens < kLeastPromptTokens || elapsed_ns <= 0) return;
    const double now = static_cast<double>(tokens) / static_cast<double>(elapsed_ns);
    rate_ = rate_ == 0 ? now : 0.8 * rate_ + 0.2 * now;
  }
  [[nodiscard]] int64_t TokensIn(int64_t ns) const {
    return std::max(kLeastPromptTokens, static_cast<int64_t>(rate_ * static_cast<double>(ns)));
  }

 private:
  double rate_ = 0;
};

}  // namespace

struct Engine::Impl {
  Impl(const Clock& engine_clock, EngineOptions engine_options)
      : clock(engine_clock), options(engine_options) {}

  void Run();
  // One round: take in what came, end what is over, make a step. False when there was nothing to
  // do.
  bool Round();
  void TakeIn();
  void EndFinished();
  void WaitForWork();
  bool StepOf(ModelRunner& runner);
  [[nodiscard]] Result<std::vector<Grant>> Reserve(const std::vector<ActiveRequest*>& candidates,
                                                   std::vector<Grant> grants);
  [[nodiscard]] bool PreemptYoungerThan(const ActiveRequest& request);
  [[nodiscard]] bool AnyoneElseHoldsPages(const ActiveRequest& request) const;
  [[nodiscard]] Status Execute(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                               const std::vector<Grant>& grants);
  void SampleAndCommit(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                       const std::vector<Grant>& grants);
  bool ScoreSome();
  void EndRequest(ActiveRequest& request, Finish finish, Error error);
  void EndEverything(const Error& error);
  void Wake() {
    {
      const std::lock_guard lock(mutex);
      woken = true;
    }
    work.notify_one();
  }
  [[nodiscard]] Status StartThread();  // under mutex

  const Clock& clock;
  const EngineOptions options;

  mutable std::mutex mutex;
  std::condition_variable work;
  bool woken = false;
  bool closed = false;
  std::list<std::unique_ptr<ActiveRequest>> arrived;
  std::list<std::unique_ptr<ScoreJob>> arrived_scores;
  EngineStats stats;
  std::thread thread;

  // Engine thread only.
  std::list<std::unique_ptr<ActiveRequest>> active;  // in order of arrival
  std::list<std::unique_ptr<ScoreJob>> scores;
  ModelRunner* last_runner = nullptr;
  bool starved = false;  // somebody waits for pages that a thread outside may give back
  PromptRate prompt_rate;
};

Engine::Engine(const Clock& clock, EngineOptions options)
    : impl_(std::make_shared<Impl>(clock, options)) {}
Engine::~Engine() { Shutdown(); }

Result<std::shared_ptr<Request>> Engine::Submit(RequestOptions options) {
  if (options.sequence == nullptr) return Fail(Code::kInternal, "a request without a sequence");
  Sequence& sequence = *options.sequence;
  ModelRunner& runner = *sequence.runner_;
  for (const int32_t token : options.prompt)
    if (token < 0 || token >= runner.vocabulary())
      return Fail(Code::kInvalidArgument, "prompt token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(runner.vocabulary()));
  if (options.max_tokens == 0 || options.max_tokens < -1)
    return Fail(Code::kInvalidArgument,
                "max_tokens is " + std::to_string(options.max_tokens) +
                    "; it is at least 1, or -1 for as many as the context holds");
  MIRAGE_TRY_ASSIGN(sample::Sampler sampler,
                    sample::Sampler::Create(options.sampling, runner.vocabulary()));
  auto state = std::make_shared<Request::State>(std::max<size_t>(1, options.queue_capacity),
                                                runner.vocabulary());
  // The request may outlive the engine.
  state->wake_engine = [weak = std::weak_ptr<Impl>(impl_)] {
    if (const std::shared_ptr<Impl> impl = weak.lock()) impl->Wake();
  };
  {
    const std::lock_guard lock(sequence.mutex_);
    if (sequence.busy_) return Fail(Code::kBusy, "a generation runs on the session");
    const auto length = static_cast<int64_t>(sequence.tokens_.size() + options.prompt.size());
    if (length == 0)
      return Fail(Code::kInvalidArgument,
                  "nothing to go on from: the prompt and the session are empty");
    if (length >= sequence.context_limit())
      return Fail(Code::kContextFull, std::to_string(length) +
                                          " tokens leave no room for output in a context of " +
                                          std::to_string(sequence.context_limit()));
    sequence.busy_ = true;
  }
  const std::shared_ptr<Sequence> kept = options.sequence;
  auto active = std::make_unique<ActiveRequest>(std::move(options), std::move(sampler), state);
  const std::lock_guard lock(impl_->mutex);
  Status started = impl_->closed ? Status(Fail(Code::kClosed, "the runtime is shut down"))
                                 : impl_->StartThread();
  if (!started) {
    const std::lock_guard sequence_lock(kept->mutex_);
    kept->busy_ = false;
    return Fail(std::move(started).error());
  }
  active->Begin(impl_->clock.NowNs());
  impl_->arrived.push_back(std::move(active));
  impl_->woken = true;
  impl_->work.notify_one();
  return std::make_shared<Request>(std::move(state));
}

Result<std::vector<double>> Engine::Score(std::shared_ptr<ModelRunner> runner,
                                          std::vector<int32_t> tokens, int64_t first,
                                          std::function<bool()> cancelled) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (count > runner->max_context())
    return Fail(Code::kContextFull, std::to_string(count) + " tokens do not fit the context of " +
                                        std::to_string(runner->max_context()));
  if (first < 0 || first >= count)
    return Fail(Code::kInvalidArgument,
                "scoring from token " + std::to_string(first) + " of " + std::to_string(count));
  for (const int32_t token : tokens)
    if (token < 0 || token >= runner->vocabulary())
      return Fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(runner->vocabulary()));
  auto job = std::make_unique<ScoreJob>();
  job->cache = kv::SequenceCache(runner->pages());
  job->runner = std::move(runner);
  job->tokens = std::move(tokens);
  job->first = first;
  job->cancelled = std::move(cancelled);
  std::future<Result<std::vector<double>>> future = job->promise.get_future();
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->closed) return Fail(Code::kClosed, "the runtime is shut down");
    MIRAGE_TRY(impl_->StartThread());
    impl_->arrived_scores.push_back(std::move(job));
    impl_->woken = true;
  }
  impl_->work.notify_one();
  return future.get();
}

void Engine::Shutdown() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->closed = true;
    impl_->woken = true;
  }
  impl_->work.notify_one();
  if (impl_->thread.joinable()) impl_->thread.join();
}

EngineStats Engine::Stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

Status Engine::Impl::StartThread() {
  if (thread.joinable()) return {};
  try {
    thread = std::thread([this] { Run(); });
  } catch (const std::exception& error) {
    return Fail(Code::kIo,
                std::string("the engine's thread could not be started: ") + error.what());
  }
  return {};
}

void Engine::Impl::Run() {
  while (true) {
    {
      const std::lock_guard lock(mutex);
      if (closed) break;
    }
    try {
      if (!Round()) WaitForWork();
    } catch (const std::bad_alloc&) {
      EndEverything({Code::kOutOfMemory, "out of memory in the engine", 0, 0});
    } catch (const std::exception& error) {
      EndEverything({Code::kInternal, std::string("in the engine: ") + error.what(), 0, 0});
    }
  }
  EndEverything({Code::kClosed, "the runtime was shut down", 0, 0});
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
  return ScoreSome() || worked;
}

void Engine::Impl::TakeIn() {
  const std::lock_guard lock(mutex);
  woken = false;
  active.splice(active.end(), arrived);
  scores.splice(scores.end(), arrived_scores);
  stats.running = active.size();
}

void Engine::Impl::EndFinished() {
  const int64_t now = clock.NowNs();
  for (auto it = active.begin(); it != active.end();) {
    ActiveRequest& request = **it;
    request.TakeAccepted(now);
    const std::optional<Finish> ending = request.Ending(now);
    if (ending) {
      request.End(*ending, {}, now);
      it = active.erase(it);
    } else {
      ++it;
    }
  }
}

void Engine::Impl::WaitForWork() {
  std::optional<int64_t> deadline;
  for (const auto& request : active)
    if (const auto mine = request->deadline_ns())
      deadline = std::min(deadline.value_or(*mine), *mine);
  if (starved) deadline = std::min(deadline.value_or(INT64_MAX), clock.NowNs() + kStarvedPollNs);
  std::unique_lock lock(mutex);
  const auto ready = [&] { return woken; };
  if (deadline)
    work.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(0, *deadline - clock.NowNs())),
                  ready);
  else
    work.wait(lock, ready);
}

bool Engine::Impl::StepOf(ModelRunner& runner) {
  std::vector<ActiveRequest*> candidates;
  std::vector<Candidate> counters;
  for (const auto& request : active) {
    if (&request->runner() != &runner || request->paused()) continue;
    candidates.push_back(request.get());
    counters.push_back({request->pending()});
  }
  StepLimits limits;
  limits.tokens = runner.max_step_tokens();
  limits.logit_rows = runner.max_logit_rows();
  limits.prompt_tokens = prompt_rate.TokensIn(options.target_step_ns);
  std::vector<Grant> planned = PlanStep(counters, limits);
  if (planned.empty()) return false;
  const size_t oldest =
      std::min_element(planned.begin(), planned.end(), [](const Grant& a, const Grant& b) {
        return a.candidate < b.candidate;
      })->candidate;
  Result<std::vector<Grant>> reserved = Reserve(candidates, std::move(planned));
  if (!reserved) {
    EndRequest(*candidates[oldest], Finish::kError, std::move(reserved).error());
    return true;
  }
  const std::vector<Grant>& grants = *reserved;
  if (grants.empty()) return false;

  const int64_t begin = clock.NowNs();
  Status executed = Execute(runner, candidates, grants);
  if (!executed) {
    for (const Grant& grant : grants) candidates[grant.candidate]->cache().Rollback();
    {
      const std::lock_guard lock(mutex);
      ++stats.rolled_back_steps;
    }
    if (executed.error().code == Code::kCancelled) return true;  // EndFinished ends it
    for (const Grant& grant : grants)
      EndRequest(*candidates[grant.candidate], Finish::kError, executed.error());
    return true;
  }
  int64_t tokens = 0;
  for (const Grant& grant : grants) tokens += grant.tokens;
  prompt_rate.Learn(tokens, clock.NowNs() - begin);
  SampleAndCommit(runner, candidates, grants);
  return true;
}

// Backs the pages of all grants, oldest request first. Whoever finds no room is left out of this
// step; the first of the step may take the pages of younger requests. An error: even with nobody
// else in the way there is no room.
Result<std::vector<Grant>> Engine::Impl::Reserve(const std::vector<ActiveRequest*>& candidates,
                                                 std::vector<Grant> grants) {
  std::sort(grants.begin(), grants.end(),
            [](const Grant& a, const Grant& b) { return a.candidate < b.candidate; });
  std::vector<Grant> granted;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    const int64_t end = request.cache().length() + grant.tokens;
    Status reserved = request.cache().Reserve(end);
    while (!reserved && granted.empty() && PreemptYoungerThan(request))
      reserved = request.cache().Reserve(end);
    if (reserved) {
      granted.push_back(grant);
      continue;
    }
    request.state().UpdateStats([](RequestStats& s) { ++s.waits_for_pages; });
    starved = true;
    if (granted.empty() && !AnyoneElseHoldsPages(request)) return Fail(std::move(reserved).error());
  }
  return granted;
}

// Takes the pages of the youngest request that came after `request` and has any. Older ones keep
// theirs: so the oldest always gets on, and none takes turns with another at throwing work away.
bool Engine::Impl::PreemptYoungerThan(const ActiveRequest& request) {
  for (auto it = active.rbegin(); it != active.rend() && it->get() != &request; ++it) {
    if ((*it)->cache().length() == 0) continue;
    (*it)->Preempt();
    return true;
  }
  return false;
}

bool Engine::Impl::AnyoneElseHoldsPages(const ActiveRequest& request) const {
  return std::any_of(active.begin(), active.end(), [&](const auto& other) {
    return other.get() != &request && other->cache().length() > 0;
  });
}

Status Engine::Impl::Execute(ModelRunner& runner, const std::vector<ActiveRequest*>& candidates,
                             const std::vector<Grant>& grants) {
  std::vector<Slice> slices;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    slices.push_back(
        {&request.cache(), request.PendingTokens(grant.tokens), grant.tokens == request.pending()});
  }
  // Alone in the step, a cancelled request need not wait for it to end.
  std::function<bool()> cancelled;
  if (grants.size() == 1)
    cancelled = [&request = *candidates[grants[0].candidate], this] {
      return request.Ending(clock.NowNs()).has_value();
    };
  return runner.Forward(slices, cancelled);
}

void Engine::Impl::SampleAndCommit(ModelRunner& runner,
                                   const std::vector<ActiveRequest*>& candidates,
                                   const std::vector<Grant>& grants) {
  int32_t row = 0;
  uint64_t decoded = 0;
  uint64_t prompt = 0;
  for (const Grant& grant : grants) {
    ActiveRequest& request = *candidates[grant.candidate];
    const bool sampled = grant.tokens == request.pending();
    request.CommitTokens(grant.tokens);
    request.state().UpdateStats([&](RequestStats& s) {
      if (s.first_step_ns == 0) s.first_step_ns = clock.NowNs();
    });
    (grant.tokens == 1 ? decoded : prompt) += static_cast<uint64_t>(grant.tokens);
    if (!sampled) continue;
    if (Status status = request.Sample(runner.Logits(row++), clock.NowNs()); !status)
      EndRequest(request, Finish::kError, std::move(status).error());
  }
  const std::lock_guard lock(mutex);
  ++stats.steps;
  stats.decode_tokens += decoded;
  stats.prompt_tokens += prompt;
}

// One chunk of the oldest scoring job.
bool Engine::Impl::ScoreSome() {
  if (scores.empty()) return false;
  ScoreJob& job = *scores.front();
  const auto score_chunk = [&]() -> Status {
    const int64_t begin = job.cache.length();
    const int64_t total = static_cast<int64_t>(job.tokens.size());
    const int64_t count = std::min(job.runner->max_step_tokens(), total - begin);
    MIRAGE_TRY(job.cache.Reserve(begin + count));
    const std::span<const int32_t> tokens(job.tokens);
    // Target i follows token i; the last token of all has none.
    const int64_t from = std::max(begin, job.first);
    const int64_t to = std::min(begin + count, total - 1);
    const auto targets = static_cast<size_t>(std::max<int64_t>(0, to - from));
    const size_t scored = job.logprobs.size();
    job.logprobs.resize(scored + targets);
    MIRAGE_TRY(job.runner->Score(
        {&job.cache, tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)), false},
        targets > 0 ? from - begin : 0,
        targets > 0 ? tokens.subspan(static_cast<size_t>(from) + 1, targets) : tokens.first(0),
        std::span(job.logprobs).subspan(scored), job.cancelled));
    job.cache.Commit(begin + count);
    return {};
  };
  Status status = job.cancelled && job.cancelled()
                      ? Status(Fail(Code::kCancelled, "scoring was cancelled"))
                      : score_chunk();
  if (status && job.cache.length() < static_cast<int64_t>(job.tokens.size())) return true;
  std::unique_ptr<ScoreJob> finished = std::move(scores.front());
  scores.pop_front();
  finished->cache.Clear();
  if (status)
    finished->promise.set_value(std::move(finished->logprobs));
  else
    finished->promise.set_value(Fail(std::move(status).error()));
  return true;
}

void Engine::Impl::EndRequest(ActiveRequest& request, Finish finish, Error error) {
  request.End(finish, std::move(error), clock.NowNs());
  active.remove_if([&](const auto& candidate) { return candidate.get() == &request; });
}

void Engine::Impl::EndEverything(const Error& error) {
  TakeIn();
  const Finish finish = error.code == Code::kClosed ? Finish::kCancelled : Finish::kError;
  for (const auto& request : active) request->End(finish, error, clock.NowNs());
  active.clear();
  for (const auto& job : scores) {
    job->cache.Clear();
    job->promise.set_value(Fail(error));
  }
  scores.clear();
}

}  // namespace mirage::engine
