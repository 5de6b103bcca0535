// SPDX-License-Identifier: Apache-2.0
#pragma once

// Engine: one thread that owns all steps of all models of a device and runtime.
//
// Callers submit requests and read their outputs; they never compute. A step is a transaction: plan which requests take
// part and with how many tokens, reserve their pages, execute one pass of the model over all of them, sample, commit;
// or roll back. Shortage of pages makes a request wait, never fail, unless it can never fit.
//
// Any thread.

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "engine/model_runner.h"
#include "engine/request.h"
#include "engine/sequence.h"

namespace mirage::engine {

struct EngineOptions {
  int64_t prefill_chunk = 512;  // tokens of one sequence's prompt in a step, at most; adapts below it
  int64_t step_tokens = 1024;   // tokens of all sequences in a step, at most
  int32_t max_sequences = 256;  // in a step
};

struct EngineStats {
  uint64_t steps = 0;
  uint64_t prefill_tokens = 0;
  uint64_t decode_tokens = 0;
  uint64_t rolled_back_steps = 0;
  uint64_t running = 0;
  uint64_t waiting = 0;
};

class Engine {
 public:
  Engine(const Clock& clock, LogSink log, EngineOptions options);
  ~Engine();  // Shutdown

  // kInvalidArgument, kContextFull, kOutOfMemory (it can never fit, with the numbers), kBusy, kClosed.
  [[nodiscard]] Result<std::shared_ptr<Request>> Submit(RequestOptions options);

  // Cancels everything, joins the thread. Later Submits give kClosed. Not from the engine thread.
  void Shutdown();

  [[nodiscard]] EngineStats Stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mirage::engine
