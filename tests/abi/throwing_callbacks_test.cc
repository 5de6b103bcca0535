// SPDX-License-Identifier: Apache-2.0

// A C++ application whose callbacks throw, which they must not: its own terminate handler runs
// where the exception was thrown, and no frame of the library's has been unwound by then. Each case
// in a process of its own.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

#include "mirage/mirage.h"
#include "tiny_model.h"

namespace {

constexpr int kTerminated = 42;
constexpr int kWrongException = 43;
constexpr int kWentOn = 44;

[[noreturn]] void Terminate() {
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const std::runtime_error& error) {
    _exit(std::strcmp(error.what(), "out of a callback") == 0 ? kTerminated : kWrongException);
  } catch (...) {
    _exit(kWrongException);
  }
}

[[noreturn]] void Throw() { throw std::runtime_error("out of a callback"); }

void OnEvent(mirage_generation*, const mirage_event*, void*) { Throw(); }
void OnLog(int32_t, const char*, const char*, void*) { Throw(); }
int32_t OnProgress(uint64_t, uint64_t, void*) { Throw(); }
void OnRelease(const void*, uint64_t, void*) { Throw(); }
void* OnAllocate(size_t, size_t, void*) { Throw(); }
void OnFree(void*, size_t, void*) { Throw(); }

mirage_runtime* OpenRuntime(mirage_log_callback log) {
  mirage_runtime_options options;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  options.log_callback = log;
  mirage_runtime* runtime = nullptr;
  mirage_runtime_open(&options, &runtime, nullptr);
  return runtime;
}

mirage_model* OpenModel(mirage_runtime* runtime, const tiny_model& file,
                        mirage_progress_callback progress, mirage_release_callback release) {
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.progress = progress;
  mirage_model* model = nullptr;
  mirage_model_open_memory(runtime, file.data, file.bytes, release, nullptr, &options, &model,
                           nullptr);
  return model;
}

void ThrowOfAnEvent(const tiny_model& file) {
  mirage_runtime* runtime = OpenRuntime(nullptr);
  mirage_model* model = OpenModel(runtime, file, nullptr, nullptr);
  mirage_session* session = nullptr;
  mirage_session_open(model, nullptr, &session, nullptr);
  mirage_session_append_text(session, "abc", 3, 0, nullptr);
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.callback = OnEvent;
  mirage_generation* generation = nullptr;
  mirage_generation_start(session, &options, &generation, nullptr);
  for (;;) pause();
}

// What the model says of its own sampling becomes nonsense, which costs a warning.
void ThrowOfALog(const tiny_model& file) {
  constexpr char kKey[] = "general.sampling.temp";
  void* const key = memmem(file.data, file.bytes, kKey, sizeof kKey - 1);
  std::memset(static_cast<char*>(key) + sizeof kKey - 1 + sizeof(uint32_t), 0xFF, sizeof(float));
  OpenModel(OpenRuntime(OnLog), file, nullptr, nullptr);
}

void ThrowOfProgress(const tiny_model& file) {
  OpenModel(OpenRuntime(nullptr), file, OnProgress, nullptr);
}

void ThrowOfARelease(const tiny_model& file) {
  mirage_runtime* runtime = OpenRuntime(nullptr);
  mirage_model_close(OpenModel(runtime, file, nullptr, OnRelease));
  mirage_runtime_close(runtime);
}

void ThrowOfAnAllocator(const tiny_model&) {
  const mirage_allocator allocator = {sizeof allocator, 0, OnAllocate, OnFree, nullptr};
  mirage_set_allocator(&allocator, nullptr);
  OpenRuntime(nullptr);
}

bool Terminates(const char* name, void (*run)(const tiny_model&), const tiny_model& file) {
  const pid_t child = fork();
  if (child == 0) {
    std::set_terminate(Terminate);
    run(file);
    _exit(kWentOn);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool right = WIFEXITED(status) && WEXITSTATUS(status) == kTerminated;
  if (!right) std::fprintf(stderr, "%s: wait status %#x\n", name, static_cast<unsigned>(status));
  return right;
}

}  // namespace

int main() {
  tiny_model file = tiny_model_make();
  bool right = true;
  right &= Terminates("event", ThrowOfAnEvent, file);
  right &= Terminates("log", ThrowOfALog, file);
  right &= Terminates("progress", ThrowOfProgress, file);
  right &= Terminates("release", ThrowOfARelease, file);
  right &= Terminates("allocator", ThrowOfAnAllocator, file);
  tiny_model_free(&file);
  return right ? 0 : 1;
}
