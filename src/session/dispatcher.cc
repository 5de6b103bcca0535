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

void Dispatcher::Post(std::weak_ptr<Client> client) {
  // Delivered at once, the client may be what keeps the dispatcher.
  const std::shared_ptr<Queue> queue = queue_;
  {
    const std::lock_guard lock(queue->mutex);
    if (queue->stopped) return;
    queue->clients.push_back(std::move(client));
  }
  queue->wake.notify_one();
}

void Dispatcher::Run(const std::shared_ptr<Queue>& queue) {
  on_dispatch_thread = true;
  std::unique_lock lock(queue->mutex);
  for (;;) {
    queue->wake.wait(lock, [&] { return queue->stopped || !queue->clients.empty(); });
    if (queue->clients.empty()) return;
    const std::weak_ptr<Client> next = std::move(queue->clients.front());
    queue->clients.pop_front();
    lock.unlock();
    // Dropping the client may destroy the runtime and with it this dispatcher; only `queue` is used
    // after that.
    bool more = false;
    if (const std::shared_ptr<Client> client = next.lock()) more = client->Deliver();
    lock.lock();
    if (more) queue->clients.push_back(next);
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
