// SPDX-License-Identifier: Apache-2.0
#pragma once

// Engine: one thread that owns all steps of all models of a device and runtime.
//
// Callers submit requests and read their outputs; they never compute. A step is a transaction: plan
// which requests take part and with how many tokens, reserve their pages, execute one pass of the
// model over all of them, sample, commit; or roll back. Shortage of pages first takes those of idle
// sequences, then weights are lent, or a request waits, or a paused or younger one and a text that
// is read give up theirs to be computed, or read back, later, as the policy says
// (policy/shortage_policy.h); it fails a request only when it cannot fit with everything else out
// of the way. What was lent comes home when there has been room for a while.
//
// The thread starts with the first request. Any thread may call, but for Pump.

#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "engine/model_runner.h"
#include "engine/policy/shortage_policy.h"
#include "engine/request.h"
#include "engine/sequence.h"
#include "engine/text_job.h"
#include "engine/trace.h"
#include "memory/swap_space.h"

namespace mirage::engine {

#ifdef NDEBUG
inline constexpr bool kDebugBuild = false;
#else
inline constexpr bool kDebugBuild = true;
#endif

struct EngineOptions {
  // While streams run, a step's prompt part is cut so that the step takes about this long.
  int64_t target_step_ns = 50'000'000;
  // The most requests that are computed at once, those of the highest priority and then the oldest;
  // 0: no bound.
  int32_t max_running = 0;
  // What gives way when pages run out; one of ShortagePolicies(). Not null.
  const ShortagePolicy* policy = &HybridPolicy();
  // Where pages may be written to; null: nowhere. It outlives the engine.
  memory::SwapSpace* swap = nullptr;
  // False: there is no thread, and Pump makes the steps: for a simulator, in whose time nothing
  // happens meanwhile.
  bool own_thread = true;
  // After every step, compare who holds which page with what the pool and the ledger say; what does
  // not add up ends all requests with kInternal.
  bool check_invariants = kDebugBuild;
};

// A step counts before its tokens can be read, and a request until just before its end can be.
struct EngineStats {
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;  // computed in steps, preempted ones again
  uint64_t decode_tokens = 0;
  uint64_t rolled_back_steps = 0;
  uint64_t running = 0;     // requests submitted and not ended
  uint64_t bytes_lent = 0;  // of weights, each time some were
  uint64_t revivals = 0;    // regions that came home
  uint64_t bytes_swapped_out = 0;
  uint64_t bytes_swapped_in = 0;
};

class Engine {
 public:
  explicit Engine(const Clock& clock, EngineOptions options = {});
  ~Engine();  // Shutdown

  // kInvalidArgument, kContextFull, kBusy (the sequence has a request), kClosed.
  [[nodiscard]] Result<std::shared_ptr<Request>> Submit(RequestOptions options);

  // Texts to be read, between steps. As CheckTexts, kClosed.
  [[nodiscard]] Result<std::shared_ptr<TextBatch>> Submit(TextCall call);

  // An idle sequence of the same tokens that shares what is computed of them. While a request runs
  // on `sequence`: of the tokens there are now.
  [[nodiscard]] Result<std::shared_ptr<Sequence>> Fork(const Sequence& sequence);

  // Sequence::Adopt, so that its pages are known here and can be taken when others need them.
  [[nodiscard]] Status Adopt(const std::shared_ptr<Sequence>& sequence, Sequence::Copy copy);

  // Gives back pages kept only to be found again, until `bytes` of them are free. Returns the bytes
  // freed.
  uint64_t GiveBackPrefixes(uint64_t bytes);
  // Gives back what idle sequences keep to go back to, or else their pages, least recently used
  // first, until enough() says so: asked after each. Pages are computed again when their sequence
  // goes on. Those keep them whose bytes only their own model could use.
  void GiveBackIdlePages(const std::function<bool()>& enough);
  // The model may be asked for its memory from now on, before anybody computes with it too.
  void Know(const std::shared_ptr<ModelRunner>& runner);
  // The ledger's limit was changed. Between two steps weights are lent for what is in use beyond
  // it, those of models that nobody uses first, and come home where it leaves room for them.
  void FollowLimit();
  // The sequence is in use: its pages go last.
  void Touch(const std::shared_ptr<Sequence>& sequence);
  // Bytes of pages that prefix caches hold and no sequence does.
  [[nodiscard]] uint64_t PrefixBytes() const;

  // Without a thread of its own: one round on the caller's, the same one each time. False when
  // there is nothing to do before something is submitted, or a clock goes on.
  bool Pump();

  // Cancels everything and joins the thread. Later calls give kClosed. Not from the engine thread.
  void Shutdown();

  [[nodiscard]] EngineStats Stats() const;
  // Steps, and the parts of requests' lives, as far as it was started.
  [[nodiscard]] Trace& trace() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // requests hold weak references, to wake it
};

}  // namespace mirage::engine
