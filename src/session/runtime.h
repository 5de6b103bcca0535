// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runtime: what all models of one application share: the memory budget, the threads, the engine,
// the log.
//
// Models, sessions and generations hold it, so it ends with the last of them, on whatever thread
// that happens. The engine's objects never hold it: it may end on the dispatch thread, but not on
// the engine's. Threads start with the first model that computes.
//
// Any thread.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/byte_source.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "engine/engine.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/swap_space.h"
#include "memory/transfer.h"
#include "model/cpu_kernels.h"
#include "model/tuning.h"
#include "platform/device.h"
#include "platform/scratch_file.h"
#include "platform/thread_pool.h"
#include "session/dispatcher.h"

namespace mirage::session {

struct RuntimeOptions {
  int threads = 0;  // 0: as the tuning says, else one per physical core the process may use
  std::optional<uint64_t> memory_limit;  // bytes; nothing: what the machine allows
  int32_t max_generations = 0;           // computed at once; 0: no bound
  const engine::ShortagePolicy* policy = &engine::HybridPolicy();
  std::string scratch_dir;            // for pages that are swapped out; empty: nowhere
  uint64_t scratch_bytes = 0;         // of the file there; 0: kScratchBytes
  uint64_t offload_bytes = 0;         // of each model's weights; with a policy that offloads
  const kernels::Ops* ops = nullptr;  // what computes; nullptr: model::CpuKernels()
  std::string tuning;                 // path of a tuning file (session/tuning_file.h); "": none
  LogSink log;
};

class Runtime {
 public:
  static constexpr int kTransferWorkers = 2;  // threads that fill regions
  static constexpr uint64_t kScratchBytes = uint64_t{1} << 30;

  // Fails with kInvalidArgument naming the option, or as reading the tuning does.
  [[nodiscard]] static Result<std::shared_ptr<Runtime>> Create(RuntimeOptions options);
  ~Runtime();

  // Cancels every generation and waits for all threads to end. Not on the dispatch thread.
  void Shutdown();
  [[nodiscard]] Status CheckOpen() const;  // kClosed after Shutdown

  // The parts that compute, made when first asked for.
  struct Compute {
    Compute(const Clock& clock, memory::Ledger& ledger, const model::Tuning& tuning,
            engine::EngineOptions options, std::unique_ptr<platform::ScratchFile> scratch,
            const LogSink& log);
    platform::ThreadPool pool;
    std::unique_ptr<platform::Device> device;
    std::unique_ptr<memory::TransferEngine> transfer;
    memory::Arena arena;
    std::unique_ptr<memory::SwapSpace> swap;  // null: none
    engine::Engine engine;                    // last: its thread uses all of the above
  };
  [[nodiscard]] Result<Compute*> compute();

  [[nodiscard]] memory::Ledger& ledger() { return ledger_; }
  [[nodiscard]] const memory::Ledger& ledger() const { return ledger_; }
  [[nodiscard]] Dispatcher& dispatcher() { return dispatcher_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] const LogSink& log() const { return log_; }
  // That compute, in the passes that have most of them.
  [[nodiscard]] int threads() const {
    return std::max(tuning_.threads.decode, tuning_.threads.prefill);
  }
  [[nodiscard]] const kernels::Ops& ops() const { return ops_; }
  [[nodiscard]] uint64_t offload_bytes() const { return offload_bytes_; }
  [[nodiscard]] engine::EngineStats EngineStats() const;
  // Tokens that readers of answers were given.
  [[nodiscard]] uint64_t delivered_tokens() const {
    return delivered_tokens_.load(std::memory_order_relaxed);
  }
  void CountDelivered() { delivered_tokens_.fetch_add(1, std::memory_order_relaxed); }
  // Keeps the newest `events` of what the engine does from now on.
  [[nodiscard]] Status StartTrace(uint64_t events);
  // As session/trace_json.h gives it; kInvalidArgument when no trace was started.
  [[nodiscard]] Result<std::string> TraceJson();
  // Of pages kept only for prompts that begin like earlier ones.
  [[nodiscard]] uint64_t PrefixBytes() const;
  // Gives up such pages, or else those of idle sessions too, until `bytes` of the ledger are
  // available, with what a promise has, or there are none left.
  enum class GiveUp : uint8_t { kPrefixes, kIdleToo };
  void MakeAvailable(uint64_t bytes, const memory::Promise* promise = nullptr,
                     GiveUp what = GiveUp::kIdleToo);

  // The limit as given or detected, the guard for what no ledger counts included.
  [[nodiscard]] uint64_t memory_limit() const {
    return memory_limit_.load(std::memory_order_relaxed);
  }
  // How the weights of a file of `bytes` are read when they do not fit: past the system's cache of
  // files unless there is memory for it beside the limit.
  [[nodiscard]] Caching CachingFor(uint64_t bytes) const {
    return beside_bytes_.load(std::memory_order_relaxed) < bytes ? Caching::kUncached
                                                                 : Caching::kCached;
  }
  [[nodiscard]] Status SetMemoryLimit(std::optional<uint64_t> bytes);
  // The least limit that leaves `bytes` beside its guard.
  [[nodiscard]] static uint64_t LimitFor(uint64_t bytes);
  // kOutOfMemory in terms of the limit, as its user set it, instead of the ledger's: the one that
  // would do now, and the one there is; other errors as they are.
  [[nodiscard]] Error AsLimit(Error error) const;

  // Numbers models from 0, for names of regions.
  [[nodiscard]] uint32_t NextModelNumber() {
    return models_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] engine::Engine* EngineIfAny();  // where something computes

  Runtime(const model::Tuning& tuning, const kernels::Ops& ops,
          engine::EngineOptions engine_options, uint64_t offload_bytes, LogSink log)
      : tuning_(tuning),
        ops_(ops),
        engine_options_(engine_options),
        offload_bytes_(offload_bytes),
        log_(std::move(log)),
        ledger_(0) {}

  const model::Tuning tuning_;
  const kernels::Ops& ops_;
  const engine::EngineOptions engine_options_;
  const uint64_t offload_bytes_;
  const LogSink log_;
  const SteadyClock clock_;
  memory::Ledger ledger_;
  std::atomic<uint64_t> memory_limit_{0};
  std::atomic<uint64_t> beside_bytes_{0};
  std::atomic<uint32_t> models_{0};
  std::atomic<uint64_t> delivered_tokens_{0};
  std::mutex shutdown_mutex_;
  mutable std::mutex mutex_;  // guards the four below
  bool closed_ = false;
  memory::Holding trace_memory_;
  std::unique_ptr<platform::ScratchFile> scratch_;  // until compute_ has it
  std::unique_ptr<Compute> compute_;
  Dispatcher dispatcher_;
};

}  // namespace mirage::session
