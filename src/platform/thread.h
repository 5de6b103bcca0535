// SPDX-License-Identifier: Apache-2.0
#pragma once

// Thread: every thread the library makes.
//
// A thread has a name, seen in debuggers and `top -H`, a stack of the library's own choosing, since
// a process may allow its threads as little as it likes, and blocks the signals the application may
// handle, so that its handlers run on threads of its own. Signals a fault raises on the thread
// itself stay deliverable.

#include <pthread.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace mirage::platform {

// Attention's buffers are the largest frames there are, about 150 KiB. Untouched pages cost
// addresses alone.
inline constexpr size_t kThreadStackBytes = size_t{1} << 20;

// Owns a thread until it is joined or detached, as std::thread does.
class Thread {
 public:
  Thread() = default;
  // `name` has at most 15 bytes. `body` must not throw. Throws std::system_error when the system
  // has no thread to give.
  Thread(const char* name, std::function<void()> body, size_t stack_bytes = kThreadStackBytes);
  ~Thread();
  Thread(Thread&& other) noexcept : handle_(std::exchange(other.handle_, std::nullopt)) {}
  Thread& operator=(Thread&& other) noexcept;

  [[nodiscard]] bool joinable() const { return handle_.has_value(); }
  [[nodiscard]] bool is_current() const {
    return handle_ && pthread_equal(*handle_, pthread_self());
  }
  void join();
  void detach();

 private:
  std::optional<pthread_t> handle_;
};

// Runs `body` on another stack of `stack_bytes` while the caller waits, for work that recurses
// deeper than a caller's stack may allow. What it throws is thrown here. Throws std::system_error
// as Thread does.
template <typename Body>
std::invoke_result_t<Body> OnOwnStack(size_t stack_bytes, Body&& body) {
  std::optional<std::invoke_result_t<Body>> result;
  std::exception_ptr failure;
  Thread(
      "mirage-call",
      [&] {
        try {
          result.emplace(body());
        } catch (...) {
          failure = std::current_exception();
        }
      },
      stack_bytes)
      .join();
  if (failure) std::rethrow_exception(failure);
  return *std::move(result);
}

}  // namespace mirage::platform
