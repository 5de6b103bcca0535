// SPDX-License-Identifier: Apache-2.0

// mirage_runtime.

#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "abi/call_out.h"
#include "abi/device.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "platform/output_file.h"

namespace mirage::abi {
namespace {

mirage_runtime_options DefaultRuntimeOptions() {
  mirage_runtime_options options{};
  options.struct_size = sizeof options;
  options.log_level = MIRAGE_LOG_INFO;
  return options;
}

// The application's callback, called by one thread at a time.
LogSink MakeLogSink(const mirage_runtime_options& options) {
  if (options.log_callback == nullptr) return {};
  auto calling = std::make_shared<std::mutex>();
  return LogSink(
      [calling, callback = options.log_callback, user_data = options.log_user_data](
          LogLevel level, std::string_view room, std::string_view message) {
        const std::string subsystem(room);
        const std::string text(message);
        const std::lock_guard lock(*calling);
        AbiCallLog(callback, static_cast<int32_t>(level), subsystem.c_str(), text.c_str(),
                   user_data);
      },
      static_cast<LogLevel>(options.log_level));
}

std::optional<uint64_t> LimitOf(uint64_t bytes) {
  return bytes == 0 ? std::nullopt : std::optional<uint64_t>(bytes);
}

Result<const engine::ShortagePolicy*> ReadPolicy(const char* name) {
  if (name == nullptr) return &engine::HybridPolicy();
  if (const engine::ShortagePolicy* policy = engine::FindShortagePolicy(name)) return policy;
  std::string known;
  for (const engine::ShortagePolicy* policy : engine::ShortagePolicies())
    known += (known.empty() ? "" : ", ") + std::string(policy->name());
  return Fail(Code::kUnsupported,
              "policy '" + std::string(name) + "': one of " + known + " is expected");
}

Result<session::RuntimeOptions> ReadRuntimeOptions(const mirage_runtime_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_runtime_options options,
      ReadOptions(given, DefaultRuntimeOptions(), kFirstRuntimeOptions, "mirage_runtime_options"));
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_runtime_options"));
  MIRAGE_TRY(CheckReserved(options.reserved2, "mirage_runtime_options"));
  if (options.log_level < MIRAGE_LOG_ERROR || options.log_level > MIRAGE_LOG_DEBUG)
    return Fail(Code::kInvalidArgument,
                "log_level is " + std::to_string(options.log_level) + "; 1 to 4 are allowed");
  session::RuntimeOptions read;
  MIRAGE_TRY_ASSIGN(read.ops, ReadDevice(options.device));
  read.threads = options.threads;
  read.memory_limit = LimitOf(options.memory_limit);
  read.max_generations = options.max_generations;
  MIRAGE_TRY_ASSIGN(read.policy, ReadPolicy(options.policy));
  if (options.scratch_dir != nullptr) read.scratch_dir = options.scratch_dir;
  read.scratch_bytes = options.scratch_bytes;
  read.offload_bytes = options.offload_bytes;
  if (options.tuning != nullptr) {
    if (*options.tuning == '\0') return Fail(Code::kInvalidArgument, "tuning is an empty path");
    read.tuning = options.tuning;
  }
  read.log = MakeLogSink(options);
  return read;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_runtime_options_init(mirage_runtime_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultRuntimeOptions());
}

mirage_status mirage_runtime_open(const mirage_runtime_options* options, mirage_runtime** out,
                                  mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY_ASSIGN(session::RuntimeOptions read, ReadRuntimeOptions(options));
    auto handle = std::make_unique<mirage_runtime>();
    MIRAGE_TRY_ASSIGN(handle->runtime, session::Runtime::Create(std::move(read)));
    *out = handle.release();
    return {};
  });
}

mirage_status mirage_runtime_shutdown(mirage_runtime* runtime, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    MIRAGE_TRY(CheckMayBlock("mirage_runtime_shutdown"));
    runtime->runtime->Shutdown();
    return {};
  });
}

void mirage_runtime_close(mirage_runtime* runtime) { CloseHandle(runtime); }

mirage_status mirage_runtime_get_memory(const mirage_runtime* runtime, mirage_memory* memory,
                                        mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    const memory::LedgerSnapshot ledger = runtime->runtime->ledger().Snapshot();
    const auto held = [&](memory::Owner owner) {
      return ledger.by_owner[static_cast<size_t>(owner)];
    };
    mirage_memory filled{};
    filled.limit_bytes = runtime->runtime->memory_limit();
    filled.used_bytes = ledger.used;
    filled.peak_bytes = ledger.peak;
    filled.weights_bytes = held(memory::Owner::kWeights);
    filled.mapped_bytes = held(memory::Owner::kMapped);
    filled.slots_bytes = held(memory::Owner::kSlots);
    filled.kv_bytes = held(memory::Owner::kKv);
    filled.tables_bytes = held(memory::Owner::kTables);
    filled.workspace_bytes = held(memory::Owner::kWorkspace);
    filled.sessions_bytes = held(memory::Owner::kSessions);
    filled.prefix_bytes = runtime->runtime->PrefixBytes();
    filled.adapters_bytes = held(memory::Owner::kAdapters);
    return WriteOut(memory, filled, "memory");
  });
}

mirage_status mirage_runtime_set_memory_limit(mirage_runtime* runtime, uint64_t bytes,
                                              mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    MIRAGE_TRY(runtime->runtime->CheckOpen());
    return runtime->runtime->SetMemoryLimit(LimitOf(bytes));
  });
}

mirage_status mirage_runtime_start_trace(mirage_runtime* runtime, uint64_t events,
                                         mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    return runtime->runtime->StartTrace(events);
  });
}

mirage_status mirage_runtime_write_trace(mirage_runtime* runtime, const char* path,
                                         mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    MIRAGE_TRY(CheckPointer(path, "path"));
    MIRAGE_TRY_ASSIGN(const std::string json, runtime->runtime->TraceJson());
    MIRAGE_TRY_ASSIGN(platform::OutputFile file, platform::OutputFile::Create(path));
    MIRAGE_TRY(file.Write(std::as_bytes(std::span(json.data(), json.size()))));
    return file.Commit();
  });
}

mirage_status mirage_runtime_get_stats(const mirage_runtime* runtime, mirage_runtime_stats* stats,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(runtime, "runtime"));
    const engine::EngineStats engine = runtime->runtime->EngineStats();
    mirage_runtime_stats filled{};
    filled.threads = runtime->runtime->threads();
    filled.steps = engine.steps;
    filled.prompt_tokens = engine.prompt_tokens;
    filled.output_tokens = runtime->runtime->delivered_tokens();
    filled.rolled_back_steps = engine.rolled_back_steps;
    filled.generations = engine.running;
    filled.weight_bytes_lent = engine.bytes_lent;
    filled.weights_revived = engine.revivals;
    filled.kv_bytes_swapped_out = engine.bytes_swapped_out;
    filled.kv_bytes_swapped_in = engine.bytes_swapped_in;
    return WriteOut(stats, filled, "stats");
  });
}

}  // extern "C"
