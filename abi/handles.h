// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is behind the opaque handles, and the checks every call begins with.
//
// A handle is one reference of the caller's to an object of session/; closing it drops that
// reference. It remembers the process it was made in: in a forked child nothing behind it may be
// touched, not even to free it.

#include <memory>
#include <string>

#include "base/result.h"
#include "mirage/mirage.h"
#include "platform/fork.h"
#include "session/dispatcher.h"
#include "session/generation.h"
#include "session/loaded_adapter.h"
#include "session/loaded_model.h"
#include "session/runtime.h"
#include "session/session.h"

namespace mirage::abi {

struct Handle {
  const uint64_t fork_generation = platform::ForkGeneration();
  [[nodiscard]] bool forked() const { return fork_generation != platform::ForkGeneration(); }
};

// kInvalidArgument for NULL, kForked in a child process.
inline Status CheckHandle(const Handle* handle, const char* what) {
  if (handle == nullptr) return Fail(Code::kInvalidArgument, std::string(what) + " is NULL");
  if (handle->forked())
    return Fail(Code::kForked,
                std::string(what) + " belongs to the process this one was forked from");
  return {};
}

inline Status CheckPointer(const void* pointer, const char* what) {
  if (pointer == nullptr) return Fail(Code::kInvalidArgument, std::string(what) + " is NULL");
  return {};
}

// A handle's `out`, NULL until the call has succeeded: nothing dangles there after a failure.
template <typename T>
Status PrepareOut(T** out) {
  MIRAGE_TRY(CheckPointer(out, "out"));
  *out = nullptr;
  return {};
}

// A pointer to `count` things; NULL only for none of them.
inline Status CheckSpan(const void* pointer, size_t count, const char* what) {
  if (pointer == nullptr && count > 0)
    return Fail(Code::kInvalidArgument,
                std::string(what) + " is NULL, but its count is " + std::to_string(count));
  return {};
}

inline Status CheckMayBlock(const char* call) {
  if (session::Dispatcher::OnDispatchThread())
    return Fail(Code::kWouldDeadlock, std::string(call) + " would block inside a callback");
  return {};
}

// Reserved fields are for releases to come: set, they mean something this one does not know.
inline Status CheckReserved(uint64_t value, const char* name) {
  if (value != 0) return Fail(Code::kUnsupported, std::string(name) + ": a reserved field is set");
  return {};
}

// A flag of an options struct.
inline Status CheckFlag(int32_t value, const char* name) {
  if (value != 0 && value != 1)
    return Fail(Code::kInvalidArgument,
                std::string(name) + " is " + std::to_string(value) + "; 0 or 1 are allowed");
  return {};
}

// Drops the caller's reference, unless the handle is the parent process's.
template <typename T>
void CloseHandle(T* handle) noexcept {
  if (handle != nullptr && !handle->forked()) delete handle;
}

}  // namespace mirage::abi

struct mirage_runtime : mirage::abi::Handle {
  std::shared_ptr<mirage::session::Runtime> runtime;
};

struct mirage_model : mirage::abi::Handle {
  std::shared_ptr<mirage::session::LoadedModel> model;
};

struct mirage_adapter : mirage::abi::Handle {
  std::shared_ptr<const mirage::session::LoadedAdapter> adapter;
};

struct mirage_session : mirage::abi::Handle {
  std::shared_ptr<mirage::session::Session> session;
};

struct mirage_generation : mirage::abi::Handle {
  std::unique_ptr<mirage::session::Generation> generation;
  mirage::session::Event event;  // the last one given, which the caller's pointers point into
};
