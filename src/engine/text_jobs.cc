// SPDX-License-Identifier: Apache-2.0
#include "engine/text_jobs.h"

#include <algorithm>
#include <utility>

#include "base/guarded.h"
#include "engine/request_trace.h"

namespace mirage::engine {

namespace {

bool Helps(const TextJob& job, const kv::PagePool& pages) {
  return job.cache().length() > 0 && job.runner().pages().FreeableFor(&pages) > 0;
}

// The last of a call's texts that holds pages, or else what they begin with.
bool PreemptOne(TextJobs::Open& call, const kv::PagePool& pages) noexcept {
  for (auto job = call.jobs.rbegin(); job != call.jobs.rend(); ++job)
    if (Helps(*job, pages)) {
      job->Preempt();
      return true;
    }
  if (!call.beginning || !Helps(*call.beginning, pages)) return false;
  call.beginning->Preempt();
  return true;
}

void CountHoldsOf(const TextJobs::Open& call, kv::HoldCounts* counts) {
  if (call.beginning) call.beginning->cache().CountHolds(counts);
  for (const TextJob& job : call.jobs) job.cache().CountHolds(counts);
}

}  // namespace

TextJobs::Open::Open(std::shared_ptr<TextBatch> of) : batch(std::move(of)) {
  if (batch->shared() > 0) beginning.emplace(batch);
  for (size_t i = 0; i < batch->size(); ++i) jobs.emplace_back(batch, i);
}

ModelRunner& TextJobs::runner() const {
  const auto other = std::find_if(calls_.begin(), calls_.end(), [&](const Open& call) {
    return &call.batch->runner() != last_runner_;
  });
  return (other != calls_.end() ? *other : calls_.front()).batch->runner();
}

void TextJobs::EndUnwanted() noexcept {
  const int64_t now = clock_.NowNs();
  for (Open& call : calls_)
    if (Status wanted = call.batch->CheckWanted(now); !wanted)
      call.failed = std::move(wanted).error();
  Sweep();
}

TextJobs::Outcome TextJobs::Run(int64_t tokens, const Pages& pages) {
  ModelRunner& of = runner();
  last_runner_ = &of;
  Parts parts;
  bool waits = false;
  const Status status = Guarded([&]() -> Status {
    parts = Plan(of, tokens);
    const size_t planned = parts.size();
    MIRAGE_TRY(Reserve(&parts, pages));
    waits = parts.empty() && planned > 0;
    if (parts.empty()) return {};
    MIRAGE_TRY(Execute(of, parts));
    Take(parts);
    return {};
  });
  if (waits) return Outcome::kWaitsForPages;
  if (!status) FailPass(of, parts, status.error());
  Sweep();
  return Outcome::kWorked;
}

void TextJobs::FailPass(const ModelRunner& runner, std::span<const Part> parts,
                        const Error& error) noexcept {
  for (const Part& part : parts) part.job->Rollback();
  // Those that were cancelled end by themselves, and the others are computed again.
  if (error.code == Code::kCancelled && MostlyForNobody(parts)) return;
  for (const Part& part : parts) part.call->failed = CopyOf(error);
  if (!parts.empty()) return;
  const auto first = std::find_if(calls_.begin(), calls_.end(), [&](const Open& call) {
    return &call.batch->runner() == &runner;
  });
  first->failed = CopyOf(error);  // there is no memory to plan a pass for it
}

// From the youngest call that gets a part to the oldest, which so has all that the others leave.
TextJobs::Parts TextJobs::Plan(const ModelRunner& runner, int64_t tokens) {
  std::vector<Open*> calls;
  for (Open& call : calls_)
    if (&call.batch->runner() == &runner) calls.push_back(&call);
  calls.resize(std::min<size_t>(calls.size(),
                                static_cast<size_t>(std::max<int64_t>(1, tokens / kLeastShare))));
  std::vector<Parts> of_calls(calls.size());
  for (size_t i = calls.size(); i-- > 0;) {
    of_calls[i] = PlanCall(*calls[i], tokens / static_cast<int64_t>(i + 1));
    for (const Part& part : of_calls[i]) tokens -= part.tokens;
  }
  Parts parts;
  for (const Parts& of_call : of_calls) parts.insert(parts.end(), of_call.begin(), of_call.end());
  return parts;
}

// In order; what all begin with comes before those that cannot go on without it.
TextJobs::Parts TextJobs::PlanCall(Open& call, int64_t tokens) {
  Parts parts;
  const auto give = [&](TextJob& job) {
    const int64_t count = std::min(job.pending(), tokens);
    if (count == 0) return;
    parts.push_back({&call, &job, count, {}});
    tokens -= count;
  };
  for (TextJob& job : call.jobs) {
    if (tokens == 0) break;
    if (job.at_beginning() && call.beginning) {
      if (call.beginning->pending() > 0) {
        give(*call.beginning);
        break;
      }
      job.GoOnFrom(*call.beginning);
    }
    give(job);
  }
  return parts;
}

// It was to go on from what its call's texts begin with.
bool TextJobs::LostItsBeginning(const Part& part) {
  const std::optional<TextJob>& beginning = part.call->beginning;
  return beginning && &*beginning != part.job && part.job->at_beginning();
}

Status TextJobs::Reserve(Parts* parts, const Pages& pages) {
  size_t reserved = 0;
  for (; reserved < parts->size(); ++reserved) {
    Part& part = (*parts)[reserved];
    if (reserved > 0 && LostItsBeginning(part)) break;  // to the first
    bool waits = false;
    const Status status =
        reserved == 0 ? ReserveFirst(part, pages, &waits) : part.job->Reserve(part.tokens);
    if (waits || (!status && reserved > 0)) break;
    if (!status) {
      parts->resize(1);  // whose failure it is
      return status;
    }
  }
  parts->resize(reserved);
  return {};
}

// The oldest of its model gets on: it takes the pages of those who are idle or paused, and of texts
// that came after it.
Status TextJobs::ReserveFirst(const Part& part, const Pages& pages, bool* waits) {
  TextJob& job = *part.job;
  const kv::PagePool& pool = job.runner().pages();
  const auto lacking = [](const Error& shortage) {
    return shortage.needed_bytes - std::min(shortage.needed_bytes, shortage.available_bytes);
  };
  Status reserved = job.Reserve(part.tokens);
  while (!reserved && (pages.take(pool, lacking(reserved.error())) || PreemptAfter(part)))
    reserved = job.Reserve(part.tokens);
  if (reserved) return {};
  *waits = pages.others_hold(job);
  if (*waits) return {};
  // What others let go of meanwhile is there by now. The beginning it has gone on from needs pages
  // of its own, too, where the text writes.
  std::optional<TextJob>& beginning = part.call->beginning;
  if (beginning && &*beginning != &job) beginning->Preempt();
  return job.Reserve(part.tokens);
}

bool TextJobs::PreemptAfter(const Part& part) noexcept {
  const kv::PagePool& pages = part.job->runner().pages();
  for (auto call = calls_.rbegin(); &*call != part.call; ++call)
    if (PreemptOne(*call, pages)) return true;
  for (auto job = part.call->jobs.rbegin(); job != part.call->jobs.rend(); ++job) {
    if (&*job == part.job) break;
    if (!Helps(*job, pages)) continue;
    job->Preempt();
    return true;
  }
  return false;
}

Status TextJobs::Execute(ModelRunner& runner, Parts& parts) {
  std::vector<Slice> slices;
  int64_t tokens = 0;
  for (Part& part : parts) {
    part.slice = part.job->Wish(part.tokens);
    slices.push_back(part.slice);
    tokens += part.tokens;
  }
  const int64_t begin = clock_.NowNs();
  Status executed = runner.Forward(slices, [&] { return MostlyForNobody(parts); });
  trace_.Add(StepEvent("texts", begin, clock_.NowNs(), parts.size(), tokens, executed));
  return executed;
}

bool TextJobs::MostlyForNobody(std::span<const Part> parts) const {
  const int64_t now = clock_.NowNs();
  int64_t all = 0;
  int64_t ending = 0;
  const Open* call = nullptr;
  bool ends = false;
  for (const Part& part : parts) {
    if (part.call != call) ends = !part.call->batch->CheckWanted(now);
    call = part.call;
    all += part.tokens;
    if (ends) ending += part.tokens;
  }
  return 2 * ending > all;
}

// One whose results are no good fails with its call; the others have theirs.
void TextJobs::Take(std::span<const Part> parts) {
  int32_t index = 0;
  for (const Part& part : parts) {
    const Status taken = Guarded([&]() -> Status {
      Status status = part.job->Take(index);
      if (status) return {};
      return Fail(part.job->runner().Locate(std::move(status).error()));
    });
    index += part.slice.hidden.count;
    if (taken) continue;
    part.job->Rollback();
    part.call->failed = taken.error();
  }
}

void TextJobs::Sweep() noexcept {
  for (auto call = calls_.begin(); call != calls_.end();) {
    std::list<TextJob>& jobs = call->jobs;
    while (!jobs.empty() && jobs.front().pending() == 0) jobs.pop_front();
    if (!jobs.empty() && !call->failed) {
      ++call;
      continue;
    }
    Calls ended;  // nobody sees that it ended before it has left
    ended.splice(ended.end(), calls_, call++);
    ended.front().jobs.clear();
    ended.front().beginning.reset();
    if (ended.front().failed)
      ended.front().batch->Finish(Fail(*std::move(ended.front().failed)));
    else
      ended.front().batch->Finish({});
  }
}

void TextJobs::EndAll(const Error& error) noexcept {
  for (Open& call : calls_) call.failed = CopyOf(error);
  Sweep();
}

bool TextJobs::Preempt(const kv::PagePool& pages) noexcept {
  for (auto call = calls_.rbegin(); call != calls_.rend(); ++call)
    if (PreemptOne(*call, pages)) return true;
  return false;
}

bool TextJobs::HoldPagesFor(const kv::PagePool& pages, const TextJob* except) const {
  for (const Open& call : calls_) {
    if (except != nullptr && call.batch.get() == &except->batch()) continue;
    if (call.beginning && Helps(*call.beginning, pages)) return true;
    for (const TextJob& job : call.jobs)
      if (Helps(job, pages)) return true;
  }
  return false;
}

void TextJobs::CountHolds(const ModelRunner& runner, kv::HoldCounts* counts) const {
  for (const Open& call : calls_)
    if (&call.batch->runner() == &runner) engine::CountHoldsOf(call, counts);
}

void TextJobs::CountHoldsOf(const TextJob& job, kv::HoldCounts* counts) const {
  for (const Open& call : calls_)
    if (call.batch.get() == &job.batch()) engine::CountHoldsOf(call, counts);
}

}  // namespace mirage::engine
