// SPDX-License-Identifier: Apache-2.0

#include "session/generation.h"

#include <algorithm>
#include <utility>

#include "base/guarded.h"
#include "session/runtime.h"
#include "session/session.h"

namespace mirage::session {
namespace {

constexpr int kEventsPerTurn = 32;  // of the dispatch thread
constexpr std::chrono::nanoseconds kAtOnce{0};
// Longer waits would overflow the clock they are added to.
constexpr std::chrono::hours kLongestWait{24 * 365};

int64_t Earlier(int64_t a, int64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }  // 0: not yet

}  // namespace

Run::Run(std::span<const std::shared_ptr<engine::Request>> requests,
         std::vector<AnswerStream> answers, Runtime& runtime, std::string echo)
    : runtime_(runtime) {
  samples_.reserve(requests.size());
  for (size_t i = 0; i < requests.size(); ++i)
    samples_.push_back({requests[i], std::move(answers[i])});
  if (echo.empty()) return;
  Event event;
  event.kind = Event::Kind::kText;
  event.text = std::move(echo);
  events_.push_back(std::move(event));
}

void Run::Watch() {
  // The engine's thread may hold the run for a moment, even be the last to do so; nothing above the
  // run ends with it.
  for (const Sample& sample : samples_)
    sample.request->OnReady([weak = weak_from_this()] {
      if (const std::shared_ptr<Run> run = weak.lock()) run->Notice();
    });
}

void Run::Notice() {
  const std::lock_guard lock(mutex_);
  ready_.notify_all();
  UpdateDescriptor();
  if (callback_ == nullptr || callbacks_ended_ || posted_) return;
  posted_ = true;
  runtime_.dispatcher().Post(shared_from_this());
}

Result<std::optional<Event>> Run::Next(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  if (callback_ != nullptr)
    return Fail(Code::kInvalidArgument, "the generation's events go to its callback");
  if (reading_)
    return Fail(Code::kBusy, "another thread is waiting for the generation's next event");
  std::optional<Event> event = Give();
  if (!event.has_value() && timeout != kAtOnce) {
    reading_ = true;
    const auto ready = [this] { return Ready(); };
    if (timeout.count() < 0)
      ready_.wait(lock, ready);
    else
      ready_.wait_for(lock, std::min<std::chrono::nanoseconds>(timeout, kLongestWait), ready);
    reading_ = false;
    idle_.notify_all();
    event = Give();
  }
  UpdateDescriptor();
  return event;
}

// What was produced can no longer be given whole: the reader sees an error, the session what it
// held before. Needs no memory.
void Run::Break() noexcept {
  events_.clear();
  last_.emplace(End{engine::Finish::kError,
                    {Code::kOutOfMemory, "out of memory", 0, 0}});  // within the string itself
  broken_ = true;
  for (const Sample& sample : samples_) sample.request->Cancel(engine::CancelMode::kStop);
}

void Run::BeginCallbacks(Callback callback) noexcept {
  // The first callback may close the generation, before this returns.
  const std::shared_ptr<Run> self = shared_from_this();
  {
    const std::lock_guard lock(mutex_);
    callback_ = std::move(callback);
  }
  Notice();
}

void Run::EndCallbacks() {
  std::unique_lock lock(mutex_);
  callbacks_ended_ = true;
  if (!Dispatcher::OnDispatchThread()) idle_.wait(lock, [this] { return !delivering_; });
}

bool Run::Deliver() noexcept {
  std::unique_lock lock(mutex_);
  for (int delivered = 0; delivered < kEventsPerTurn; ++delivered) {
    if (callbacks_ended_) return false;
    const std::optional<Event> event = Give();
    if (!event.has_value()) {
      posted_ = false;
      return false;
    }
    if (event->kind == Event::Kind::kDone) callbacks_ended_ = true;
    delivering_ = true;
    lock.unlock();
    callback_(*event);
    lock.lock();
    delivering_ = false;
    idle_.notify_all();
  }
  return true;
}

Result<int> Run::Descriptor() {
  const std::lock_guard lock(mutex_);
  if (callback_ != nullptr)
    return Fail(Code::kInvalidArgument, "the generation's events go to its callback");
  if (!descriptor_.has_value()) {
    MIRAGE_TRY_ASSIGN(platform::NotifyFd descriptor, platform::NotifyFd::Create());
    descriptor_.emplace(std::move(descriptor));
    UpdateDescriptor();
  }
  return descriptor_->fd();
}

void Run::UpdateDescriptor() {
  if (!descriptor_.has_value()) return;
  const bool ready = Ready();
  if (ready == descriptor_set_) return;
  descriptor_set_ = ready;
  if (ready)
    descriptor_->Set();
  else
    descriptor_->Clear();
}

// The first cancel decides how the request ends.
void Run::Cancel(engine::CancelMode mode) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(cancelled_, true)) return;
    rollback_asked_ = mode == engine::CancelMode::kRollback;
  }
  for (const Sample& sample : samples_) sample.request->Cancel(mode);
}

void Run::Abandon() {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  Cancel(engine::CancelMode::kStop);
}

bool Run::abandoned() const {
  const std::lock_guard lock(mutex_);
  return abandoned_;
}

engine::Finish Run::finish() const {
  const std::lock_guard lock(mutex_);
  return last_given_ ? last_->finish : engine::Finish::kNone;
}

bool Run::undone() const {
  const std::lock_guard lock(mutex_);
  return Undone();
}

bool Run::Undone() const {
  const engine::Finish finish = RequestsFinish();
  return finish == engine::Finish::kError ||
         (rollback_asked_ && finish == engine::Finish::kCancelled) ||
         (broken_ && finish != engine::Finish::kNone);
}

// What cut one short cut the whole short; otherwise it ended as the first did.
engine::Finish Run::RequestsFinish() const {
  const auto any = [this](engine::Finish finish) {
    return std::any_of(samples_.begin(), samples_.end(), [finish](const Sample& sample) {
      return sample.request->finish() == finish;
    });
  };
  for (const engine::Finish cut : {engine::Finish::kNone, engine::Finish::kError,
                                   engine::Finish::kCancelled, engine::Finish::kDeadline})
    if (any(cut)) return cut;
  return samples_.front().request->finish();
}

engine::RequestStats Run::stats() const {
  engine::RequestStats all = samples_.front().request->stats();
  for (size_t i = 1; i < samples_.size(); ++i) {
    const engine::RequestStats one = samples_[i].request->stats();
    all.output_tokens += one.output_tokens;
    all.guessed_tokens += one.guessed_tokens;
    all.accepted_tokens += one.accepted_tokens;
    all.waits_for_pages += one.waits_for_pages;
    all.preemptions += one.preemptions;
    all.shifts += one.shifts;
    all.dropped_tokens += one.dropped_tokens;
    all.first_step_ns = Earlier(all.first_step_ns, one.first_step_ns);
    all.first_token_ns = Earlier(all.first_token_ns, one.first_token_ns);
    all.last_token_ns = std::max(all.last_token_ns, one.last_token_ns);
  }
  return all;
}

bool Run::has_answer() const {
  const std::lock_guard lock(mutex_);
  return last_.has_value() && !Undone() && !message_.empty();
}

Run::Outcome Run::Collect() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !reading_; });
  while (!last_.has_value()) {
    ready_.wait(lock, [this] { return OutputReady(); });
    TakeIn();  // for a reader who still comes
  }
  if (broken_) {
    // The engine's notices take the lock: it is not held while waiting for the engine.
    lock.unlock();
    for (const Sample& sample : samples_) sample.request->Drain();
    lock.lock();
  }
  UpdateDescriptor();
  Outcome outcome;
  outcome.undone = Undone();
  outcome.message = message_;
  return outcome;
}

bool Run::OutputReady() const {
  return std::any_of(samples_.begin(), samples_.end(),
                     [](const Sample& sample) { return !sample.ended && sample.request->ready(); });
}

bool Run::Ready() const { return last_.has_value() || !events_.empty() || OutputReady(); }

std::optional<Event> Run::Give() noexcept {
  if (events_.empty() && !last_.has_value()) TakeIn();
  std::optional<Event> event;
  if (!events_.empty()) {
    event = std::move(events_.front());
    events_.pop_front();
    if (event->kind == Event::Kind::kTokens) runtime_.CountDelivered();
  } else if (last_.has_value()) {
    last_given_ = true;
    event.emplace();
    event->kind = Event::Kind::kDone;
    event->output.kind = engine::Output::Kind::kDone;
    event->output.finish = last_->finish;
    event->output.error = CopyOf(last_->error);
  }
  return event;
}

// One output of one sample, the next in turn that has one: at least one event, or the last.
void Run::TakeIn() noexcept {
  try {
    for (size_t tried = 0; tried < samples_.size(); ++tried) {
      const size_t index = next_sample_;
      next_sample_ = (next_sample_ + 1) % samples_.size();
      if (samples_[index].ended) continue;
      std::optional<engine::Output> output = samples_[index].request->Next(kAtOnce);
      if (!output.has_value()) continue;
      Translate(index, *std::move(output));
      return;
    }
  } catch (...) {
    Break();
  }
}

void Run::Translate(size_t index, engine::Output output) {
  using Kind = engine::Output::Kind;
  if (output.kind == Kind::kDone) {
    EndSample(index, std::move(output));
    return;
  }
  const bool is_token = output.kind == Kind::kToken;
  const bool has_text = is_token && !output.stop_token;
  const int32_t token = output.choice.token;
  Event event;
  event.kind = is_token                       ? Event::Kind::kTokens
               : output.kind == Kind::kPrompt ? Event::Kind::kPrompt
                                              : Event::Kind::kChoose;
  event.sample = static_cast<int32_t>(index);
  event.output = std::move(output);
  events_.push_back(std::move(event));
  if (has_text) AddPieces(index, samples_[index].answer.Push(token));
}

// A sample that fails ends the others: the generation has failed.
void Run::EndSample(size_t index, engine::Output output) {
  AddPieces(index, samples_[index].answer.Flush(output.finish == engine::Finish::kStop));
  samples_[index].ended = true;
  if (samples_.size() > 1) {
    Event event;
    event.kind = Event::Kind::kSampleDone;
    event.sample = static_cast<int32_t>(index);
    event.output.finish = output.finish;
    events_.push_back(std::move(event));
  }
  if (output.finish == engine::Finish::kError && !error_.has_value()) {
    error_ = runtime_.AsLimit(std::move(output.error));
    for (const Sample& sample : samples_) sample.request->Cancel(engine::CancelMode::kStop);
  }
  const bool all_ended = std::all_of(samples_.begin(), samples_.end(),
                                     [](const Sample& sample) { return sample.ended; });
  if (all_ended) last_.emplace(End{RequestsFinish(), std::move(error_).value_or(Error{})});
}

void Run::AddPieces(size_t index, std::vector<text::AnswerPiece> pieces) {
  for (text::AnswerPiece& piece : pieces) {
    if (index == 0) message_.Add(piece);
    Event event;
    event.kind = piece.kind == text::AnswerPiece::Kind::kToolCall ? Event::Kind::kToolCall
                                                                  : Event::Kind::kText;
    event.sample = static_cast<int32_t>(index);
    event.text = std::move(piece.text);
    event.of_reasoning = piece.kind == text::AnswerPiece::Kind::kReasoning;
    event.call = std::move(piece.call);
    events_.push_back(std::move(event));
  }
}

Generation::~Generation() {
  run_->Abandon();
  run_->EndCallbacks();
  session_->GiveUp(*run_);
}

}  // namespace mirage::session
