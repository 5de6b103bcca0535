// SPDX-License-Identifier: Apache-2.0

#include "session/generation.h"

#include <utility>

#include "base/guarded.h"
#include "session/session.h"

namespace mirage::session {
namespace {

constexpr int kEventsPerTurn = 32;  // of the dispatch thread
constexpr std::chrono::nanoseconds kAtOnce{0};

}  // namespace

Run::Run(std::shared_ptr<engine::Request> request, TextStream text, Dispatcher& dispatcher,
         std::shared_ptr<std::atomic<uint64_t>> delivered)
    : request_(std::move(request)),
      dispatcher_(dispatcher),
      delivered_(std::move(delivered)),
      text_(std::move(text)) {}

void Run::Watch() {
  // The engine's thread may hold the run for a moment, even be the last to do so; nothing above the
  // run ends with it.
  request_->OnReady([weak = weak_from_this()] {
    if (const std::shared_ptr<Run> run = weak.lock()) run->Notice();
  });
}

void Run::Notice() {
  const std::lock_guard lock(mutex_);
  UpdateDescriptor();
  if (callback_ == nullptr || callbacks_ended_ || posted_) return;
  posted_ = true;
  dispatcher_.Post(shared_from_this());
}

Result<std::optional<Event>> Run::Next(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  if (callback_ != nullptr)
    return Fail(Code::kInvalidArgument, "the generation's events go to its callback");
  if (reading_)
    return Fail(Code::kBusy, "another thread is waiting for the generation's next event");
  std::optional<Event> event = Give();
  if (!event.has_value() && TakeIn(lock, timeout)) event = Give();
  UpdateDescriptor();
  return event;
}

bool Run::TakeIn(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds timeout) noexcept {
  const bool waits = timeout != kAtOnce;
  if (waits) {
    reading_ = true;
    lock.unlock();
  }
  std::optional<engine::Output> output;
  bool failed = false;
  try {
    output = request_->Next(timeout);
  } catch (...) {
    failed = true;
  }
  if (waits) {
    lock.lock();
    reading_ = false;
    idle_.notify_all();
  }
  try {
    if (output.has_value()) Translate(*std::move(output));
  } catch (...) {
    failed = true;
  }
  if (failed) Break();
  return failed || output.has_value();
}

// What was produced can no longer be given whole: the reader sees an error, the session what it
// held before. Needs no memory.
void Run::Break() noexcept {
  events_.clear();
  last_.emplace(End{engine::Finish::kError,
                    {Code::kOutOfMemory, "out of memory", 0, 0}});  // within the string itself
  broken_ = true;
  request_->Cancel(engine::CancelMode::kStop);
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
    if (events_.empty() && !last_.has_value() && !TakeIn(lock, kAtOnce)) {
      posted_ = false;
      return false;
    }
    std::optional<Event> event = Give();
    if (!event.has_value()) continue;
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
  const bool ready = last_.has_value() || !events_.empty() || request_->ready();
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
  request_->Cancel(mode);
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
  const engine::Finish finish = request_->finish();
  return finish == engine::Finish::kError ||
         (rollback_asked_ && finish == engine::Finish::kCancelled) ||
         (broken_ && finish != engine::Finish::kNone);
}

bool Run::has_answer() const {
  const std::lock_guard lock(mutex_);
  return last_.has_value() && !Undone() && !answer_.empty();
}

Run::Outcome Run::Collect() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !reading_; });
  constexpr std::chrono::nanoseconds kForever{-1};
  while (!last_.has_value()) TakeIn(lock, kForever);
  if (broken_) {
    // The engine's notices take the lock: it is not held while waiting for the engine.
    lock.unlock();
    request_->Drain();
    lock.lock();
  }
  UpdateDescriptor();
  Outcome outcome;
  outcome.undone = Undone();
  outcome.text = answer_;
  return outcome;
}

std::optional<Event> Run::Give() noexcept {
  std::optional<Event> event;
  if (!events_.empty()) {
    event = std::move(events_.front());
    events_.pop_front();
    if (event->kind == Event::Kind::kTokens) delivered_->fetch_add(1, std::memory_order_relaxed);
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

void Run::Translate(engine::Output output) {
  using Kind = engine::Output::Kind;
  if (output.kind == Kind::kDone) {
    if (last_.has_value()) return;
    AddText(text_.Flush());
    last_.emplace(End{output.finish, std::move(output.error)});
    return;
  }
  const bool is_token = output.kind == Kind::kToken;
  const bool has_text = is_token && !output.stop_token;
  const int32_t token = output.choice.token;
  Event event;
  event.kind = is_token ? Event::Kind::kTokens : Event::Kind::kChoose;
  event.output = std::move(output);
  events_.push_back(std::move(event));
  if (has_text) AddText(text_.Push(token));
}

void Run::AddText(std::string text) {
  if (text.empty()) return;
  answer_ += text;
  Event event;
  event.kind = Event::Kind::kText;
  event.text = std::move(text);
  events_.push_back(std::move(event));
}

Generation::~Generation() {
  run_->Abandon();
  run_->EndCallbacks();
}

}  // namespace mirage::session
