// SPDX-License-Identifier: Apache-2.0

#include "session/dispatcher.h"

#include <utility>

#include "platform/thread.h"

namespace mirage::session {
namespace {

constexpr size_t kStackBytes = size_t{8} << 20;  // callbacks are the application's

thread_local bool on_dispatch_thread = false;

}  // namespace

void Dispatcher::Start() {
  const std::lock_guard lock(queue_->mutex);
  if (queue_->stopped || thread_.joinable()) return;
  thread_ = platform::Thread(
      "mirage-callback", [queue = queue_] { Run(queue); }, kStackBytes);
}

// One after the other: as a chain that destroys itself they would recurse.
Dispatcher::Queue::~Queue() {
  while (first != nullptr) static_cast<void>(TakeFirst());
}

void Dispatcher::Queue::Append(std::shared_ptr<Client> client) noexcept {
  if (std::exchange(client->queued_, true)) return;
  Client* const added = client.get();
  (last == nullptr ? first : last->next_) = std::move(client);
  last = added;
}

std::shared_ptr<Dispatcher::Client> Dispatcher::Queue::TakeFirst() noexcept {
  std::shared_ptr<Client> taken = std::move(first);
  first = std::move(taken->next_);
  if (first == nullptr) last = nullptr;
  taken->queued_ = false;
  return taken;
}

void Dispatcher::Post(std::shared_ptr<Client> client) noexcept {
  // Delivered at once, the client may be what keeps the dispatcher.
  const std::shared_ptr<Queue> queue = queue_;
  {
    const std::lock_guard lock(queue->mutex);
    if (queue->stopped) return;
    queue->Append(std::move(client));
  }
  queue->wake.notify_one();
}

void Dispatcher::Run(const std::shared_ptr<Queue>& queue) {
  on_dispatch_thread = true;
  std::unique_lock lock(queue->mutex);
  for (;;) {
    queue->wake.wait(lock, [&] { return queue->stopped || queue->first != nullptr; });
    if (queue->first == nullptr) return;
    std::shared_ptr<Client> client = queue->TakeFirst();
    lock.unlock();
    // Delivering to the client or dropping it may destroy the runtime and with it this dispatcher;
    // only `queue` is used after that.
    if (!client->Deliver()) client.reset();
    lock.lock();
    if (client != nullptr) queue->Append(std::move(client));
  }
}

void Dispatcher::Stop() {
  platform::Thread thread;
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->stopped = true;
    thread = std::move(thread_);
  }
  queue_->wake.notify_all();
  if (!thread.joinable()) return;
  if (thread.is_current())
    thread.detach();
  else
    thread.join();
}

bool Dispatcher::OnDispatchThread() { return on_dispatch_thread; }

}  // namespace mirage::session
