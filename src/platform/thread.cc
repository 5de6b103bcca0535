// SPDX-License-Identifier: Apache-2.0
#include "platform/thread.h"

#include <pthread.h>
#include <signal.h>

#include <memory>
#include <system_error>
#include <utility>

namespace mirage::platform {
namespace {

// Blocks the application's signals on this thread for as long as it lives; a new thread inherits
// the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT})
      sigdelset(&blocked, fault);
    pthread_sigmask(SIG_SETMASK, &blocked, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

using Body = std::function<void()>;

void* RunBody(void* pointer) {
  const std::unique_ptr<Body> body(static_cast<Body*>(pointer));
  (*body)();
  return nullptr;
}

[[noreturn]] void ThrowNoThread(int error) {
  throw std::system_error(error, std::generic_category(), "starting a thread");
}

}  // namespace

Thread::Thread(const char* name, std::function<void()> body, size_t stack_bytes) {
  auto owned = std::make_unique<Body>(std::move(body));
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) ThrowNoThread(error);
  pthread_t thread;
  int error = pthread_attr_setstacksize(&attributes, stack_bytes);
  if (error == 0) {
    const SignalsBlocked blocked;
    error = pthread_create(&thread, &attributes, RunBody, owned.get());
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) ThrowNoThread(error);
  owned.release();  // the thread's
  handle_ = thread;
  pthread_setname_np(thread, name);
}

// As std::thread: a thread nobody waits for is a mistake of the program.
Thread::~Thread() {
  if (handle_) std::terminate();
}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (handle_) std::terminate();
  handle_ = std::exchange(other.handle_, std::nullopt);
  return *this;
}

void Thread::join() {
  pthread_join(*handle_, nullptr);
  handle_.reset();
}

void Thread::detach() {
  pthread_detach(*handle_);
  handle_.reset();
}

}  // namespace mirage::platform
