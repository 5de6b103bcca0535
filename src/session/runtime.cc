// SPDX-License-Identifier: Apache-2.0

#include "session/runtime.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/checked.h"
#include "platform/cpu.h"
#include "platform/memory_budget.h"
#include "session/trace_json.h"
#include "session/tuning_file.h"

namespace mirage::session {
namespace {

// With the number of threads that was asked for in place of any other.
Result<model::Tuning> TuningFor(const RuntimeOptions& options, const kernels::Ops& ops) {
  model::Tuning tuning;
  if (!options.tuning.empty()) {
    MIRAGE_TRY_ASSIGN(tuning, LoadTuning(options.tuning, ThisMachine(ops), options.log));
  }
  if (options.threads > 0) tuning.threads = {options.threads, options.threads};
  for (int* const threads : {&tuning.threads.decode, &tuning.threads.prefill})
    if (*threads == 0) *threads = platform::UsableCores();
  return tuning;
}

engine::EngineOptions With(engine::EngineOptions options, memory::SwapSpace* swap) {
  options.swap = swap;
  return options;
}

// kInvalidArgument naming the option that the policy needs, or has no use for.
Status CheckPolicyOptions(const RuntimeOptions& options) {
  const engine::ShortagePolicy& policy = *options.policy;
  const std::string name(policy.name());
  const bool scratch = !options.scratch_dir.empty();
  if (policy.needs_swap_space() && !scratch)
    return Fail(Code::kInvalidArgument,
                "scratch_dir is missing: policy '" + name + "' writes keys and values to it");
  if (scratch && !policy.may_swap())
    return Fail(Code::kInvalidArgument,
                "scratch_dir is given: policy '" + name + "' writes nothing");
  if (options.scratch_bytes != 0 && !scratch)
    return Fail(Code::kInvalidArgument, "scratch_bytes is given without scratch_dir");
  if (options.scratch_bytes > INT64_MAX)
    return Fail(Code::kInvalidArgument,
                "scratch_bytes is " + std::to_string(options.scratch_bytes));
  if (options.offload_bytes != 0 && !policy.offloads())
    return Fail(Code::kInvalidArgument,
                "offload_bytes is given: policy '" + name + "' chooses no weights to be offloaded");
  return {};
}

}  // namespace

Runtime::Compute::Compute(const Clock& clock, memory::Ledger& ledger, const model::Tuning& tuning,
                          engine::EngineOptions options,
                          std::unique_ptr<platform::ScratchFile> scratch, const LogSink& log)
    : pool(std::max(tuning.threads.decode, tuning.threads.prefill), tuning.cut),
      device(platform::MakeHostDevice(pool, clock, platform::HostStreams::kInline, tuning.threads)),
      transfer(memory::MakeHostTransferEngine(kTransferWorkers)),
      arena(*device, ledger),
      swap(scratch == nullptr ? nullptr
                              : memory::MakeFileSwapSpace(std::move(scratch), *transfer, log)),
      engine(clock, With(options, swap.get())) {}

Result<std::shared_ptr<Runtime>> Runtime::Create(RuntimeOptions options) {
  if (options.threads < 0 || options.threads > platform::kMostThreads)
    return Fail(Code::kInvalidArgument, "threads is " + std::to_string(options.threads) +
                                            "; 0 to " + std::to_string(platform::kMostThreads) +
                                            " are allowed");
  if (options.max_generations < 0)
    return Fail(Code::kInvalidArgument,
                "max_generations is " + std::to_string(options.max_generations));
  MIRAGE_TRY(CheckPolicyOptions(options));
  engine::EngineOptions engine_options;
  engine_options.max_running = options.max_generations;
  engine_options.policy = options.policy;
  const kernels::Ops& ops = options.ops == nullptr ? model::CpuKernels() : *options.ops;
  MIRAGE_TRY_ASSIGN(const model::Tuning tuning, TuningFor(options, ops));
  std::shared_ptr<Runtime> runtime(
      new Runtime(tuning, ops, engine_options, options.offload_bytes, std::move(options.log)));
  if (!options.scratch_dir.empty()) {
    MIRAGE_TRY_ASSIGN(runtime->scratch_,
                      platform::ScratchFile::Create(
                          options.scratch_dir,
                          options.scratch_bytes == 0 ? kScratchBytes : options.scratch_bytes));
  }
  MIRAGE_TRY(runtime->SetMemoryLimit(options.memory_limit));
  return runtime;
}

Runtime::~Runtime() { Shutdown(); }

void Runtime::Shutdown() {
  const std::lock_guard one_at_a_time(shutdown_mutex_);
  Compute* compute = nullptr;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    compute = compute_.get();
  }
  if (compute != nullptr) {
    compute->engine.Shutdown();
    compute->transfer->Stop();
    compute->pool.Stop();
  }
  dispatcher_.Stop();
}

Status Runtime::CheckOpen() const {
  const std::lock_guard lock(mutex_);
  if (closed_) return Fail(Code::kClosed, "the runtime was shut down");
  return {};
}

Result<Runtime::Compute*> Runtime::compute() {
  const std::lock_guard lock(mutex_);
  if (closed_) return Fail(Code::kClosed, "the runtime was shut down");
  if (compute_ == nullptr)
    compute_ = std::make_unique<Compute>(clock_, ledger_, tuning_, engine_options_,
                                         std::move(scratch_), log_);
  return compute_.get();
}

Status Runtime::StartTrace(uint64_t events) {
  MIRAGE_TRY_ASSIGN(Compute* const computing, compute());
  const std::lock_guard lock(mutex_);
  memory::Holding held;
  if (events <= engine::Trace::kMostEvents) {
    auto taken = memory::Holding::Take(ledger_, memory::Owner::kSessions,
                                       events * sizeof(engine::TraceEvent), "a trace");
    if (!taken) return Fail(AsLimit(std::move(taken).error()));
    held = *std::move(taken);
  }
  MIRAGE_TRY(computing->engine.trace().Start(events));
  trace_memory_ = std::move(held);
  return {};
}

Result<std::string> Runtime::TraceJson() {
  const std::lock_guard lock(mutex_);
  if (compute_ == nullptr || !compute_->engine.trace().on())
    return Fail(Code::kInvalidArgument, "no trace was started");
  return session::TraceJson(compute_->engine.trace().Events());
}

engine::EngineStats Runtime::EngineStats() const {
  const std::lock_guard lock(mutex_);
  return compute_ == nullptr ? engine::EngineStats{} : compute_->engine.Stats();
}

uint64_t Runtime::PrefixBytes() const {
  const std::lock_guard lock(mutex_);
  return compute_ == nullptr ? 0 : compute_->engine.PrefixBytes();
}

engine::Engine* Runtime::EngineIfAny() {
  const std::lock_guard lock(mutex_);
  return compute_ == nullptr ? nullptr : &compute_->engine;
}

void Runtime::MakeAvailable(uint64_t bytes, const memory::Promise* promise, GiveUp what) {
  engine::Engine* const engine = EngineIfAny();
  if (engine == nullptr) return;
  const auto lacking = [&] {
    const uint64_t available = ledger_.available(promise);
    return ledger_.over_limit() + (bytes > available ? bytes - available : 0);
  };
  // A page given back frees nothing while another one lies in its chunk: hence the loop.
  const auto evict = [&] {
    uint64_t wanted = lacking();
    while (wanted > 0 && engine->GiveBackPrefixes(wanted) > 0) wanted = lacking();
    return wanted == 0;
  };
  if (!evict() && what == GiveUp::kIdleToo) engine->GiveBackIdlePages(evict);
}

Status Runtime::SetMemoryLimit(std::optional<uint64_t> bytes) {
  platform::MemoryBudgetQuery query;
  query.given_bytes = bytes;
  query.own_bytes = ledger_.Snapshot().used;
  MIRAGE_TRY_ASSIGN(const platform::MemoryBudget budget, platform::DetectMemoryBudget(query));
  ledger_.SetLimit(budget.bytes);
  const bool is_share = budget.source == platform::BudgetSource::kAvailable;
  memory_limit_.store(is_share ? budget.bytes : budget.limit_bytes, std::memory_order_relaxed);
  beside_bytes_.store(budget.beside_bytes, std::memory_order_relaxed);
  MakeAvailable(0);
  if (engine::Engine* const engine = EngineIfAny()) engine->FollowLimit();
  return {};
}

uint64_t Runtime::LimitFor(uint64_t bytes) {
  // The guard is the larger of a constant and a share of the limit, so the larger of both answers.
  const uint64_t beside_constant = bytes + platform::MemoryGuardBytes(0);
  const uint64_t beside_share = bytes + bytes / 49 + 1;
  return std::max(beside_constant, beside_share);
}

Error Runtime::AsLimit(Error error) const {
  if (error.code != Code::kOutOfMemory || error.needed_bytes <= error.available_bytes) return error;
  const uint64_t committed = ledger_.committed();
  // With nothing available more may be promised than the limit holds, since it was lowered.
  const uint64_t given = std::max(ledger_.limit(), error.available_bytes == 0 ? committed : 0);
  const uint64_t wanted = given + error.needed_bytes - error.available_bytes;
  error.needed_bytes = LimitFor(wanted);
  error.available_bytes = memory_limit();
  constexpr uint64_t kMib = uint64_t{1} << 20;
  error.message += "; with " +
                   (committed > 0 ? std::to_string(CeilDiv(committed, kMib)) +
                                        " MiB that models hold or are promised and "
                                  : std::string()) +
                   "the " + std::to_string((error.needed_bytes - wanted) / kMib) +
                   " MiB to be kept free a limit of " +
                   std::to_string(CeilDiv(error.needed_bytes, kMib)) + "M is needed";
  return error;
}

}  // namespace mirage::session
