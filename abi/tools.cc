// SPDX-License-Identifier: Apache-2.0

// mirage/tools.h: measuring the machine.

#define MIRAGE_TOOLS_UNSTABLE
#include "mirage/tools.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "abi/call_out.h"
#include "abi/device.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "base/clock.h"
#include "model/tuning.h"
#include "platform/cpu.h"
#include "platform/memory_budget.h"
#include "platform/output_file.h"
#include "platform/text_file.h"
#include "platform/thread_pool.h"
#include "session/tuning_file.h"

namespace mirage::abi {
namespace {

std::vector<std::string> InstructionSets() {
  const platform::CpuFeatures& cpu = platform::GetCpuFeatures();
  const std::pair<bool, const char*> known[] = {
      {cpu.avx2, "avx2"},
      {cpu.fma, "fma"},
      {cpu.f16c, "f16c"},
      {cpu.avx512f, "avx512f"},
      {cpu.avx512bw, "avx512bw"},
      {cpu.avx512vl, "avx512vl"},
      {cpu.avx512vnni, "avx512vnni"},
      {cpu.avx512bf16, "avx512bf16"},
      {cpu.avxvnni, "avxvnni"},
      {cpu.amx, "amx"},
      {cpu.neon, "neon"},
      {cpu.dotprod, "dotprod"},
      {cpu.i8mm, "i8mm"},
  };
  std::vector<std::string> names;
  for (const auto& [present, name] : known)
    if (present) names.emplace_back(name);
  return names;
}

uint64_t TotalMemory() {
  const std::string meminfo = platform::ReadText("/proc/meminfo").value_or("");
  return platform::FindNumber(meminfo, "MemTotal").value_or(0) * 1024;
}

// Reads a buffer of so many blocks.
class Reader {
 public:
  static constexpr size_t kBlockBytes = size_t{1} << 20;

  explicit Reader(int64_t blocks)
      : blocks_(blocks),
        words_(std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(blocks) *
                                                          (kBlockBytes / sizeof(uint64_t)))) {}

  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(blocks_) * kBlockBytes; }

  void Touch(platform::ThreadPool& pool) {
    pool.ParallelFor(blocks_, [this](int64_t block, int) {
      std::fill_n(Block(block), kBlockBytes / sizeof(uint64_t), static_cast<uint64_t>(block));
    });
  }

  uint64_t Sum(platform::ThreadPool& pool) {
    std::atomic<uint64_t> total{0};
    pool.ParallelFor(blocks_, [&](int64_t block, int) {
      const uint64_t* words = Block(block);
      std::array<uint64_t, 8> sums{};
      for (size_t i = 0; i < kBlockBytes / sizeof(uint64_t); i += sums.size())
        for (size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += words[i + lane];
      uint64_t sum = 0;
      for (const uint64_t lane : sums) sum += lane;
      total.fetch_add(sum, std::memory_order_relaxed);
    });
    return total.load();
  }

 private:
  [[nodiscard]] uint64_t* Block(int64_t block) const {
    return words_.get() + static_cast<size_t>(block) * (kBlockBytes / sizeof(uint64_t));
  }
  const int64_t blocks_;
  const std::unique_ptr<uint64_t[]> words_;
};

// More than most caches hold, and no more than half of what the process may still take.
Result<uint64_t> BytesToMeasure() {
  constexpr uint64_t kMost = uint64_t{512} << 20, kLeast = uint64_t{64} << 20;
  MIRAGE_TRY_ASSIGN(const platform::MemoryBudget budget, platform::DetectMemoryBudget({}));
  const uint64_t bytes = std::min(kMost, budget.bytes / 2);
  if (bytes < kLeast)
    return OutOfMemory("measuring memory needs " + std::to_string(2 * kLeast) + " bytes",
                       2 * kLeast, budget.bytes);
  return bytes;
}

Result<double> MeasureBandwidth(int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kTime{800};
  MIRAGE_TRY_ASSIGN(const uint64_t bytes, BytesToMeasure());
  platform::ThreadPool pool(threads);
  Reader reader(static_cast<int64_t>(bytes / Reader::kBlockBytes));
  reader.Touch(pool);
  const uint64_t expected = reader.Sum(pool);
  double best = 0;
  for (const Clock::time_point begin = Clock::now(); Clock::now() - begin < kTime;) {
    const Clock::time_point pass = Clock::now();
    if (reader.Sum(pool) != expected)
      return Fail(Code::kDevice, "memory gave different bytes when read again");
    const std::chrono::duration<double> seconds = Clock::now() - pass;
    best = std::max(best, static_cast<double>(reader.bytes()) / seconds.count() * 1e-9);
  }
  return best;
}

Status Tune(const kernels::Ops& ops, const char* out, const model::TuningProgress& progress) {
  // First of all: what cannot be written need not be measured.
  MIRAGE_TRY_ASSIGN(platform::OutputFile file, platform::OutputFile::Create(out));
  MIRAGE_TRY_ASSIGN(const uint64_t bytes, BytesToMeasure());
  MIRAGE_TRY_ASSIGN(const model::MeasuredTuning measured,
                    model::MeasureTuning(ops, bytes, SteadyClock(), progress));
  const std::string text = session::TuningText(session::ThisMachine(ops), measured);
  MIRAGE_TRY(file.Write(std::as_bytes(std::span(text))));
  return file.Commit();
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

mirage_status mirage_tools_machine(char* json, size_t capacity, size_t* json_bytes,
                                   mirage_error* error) {
  return Guard(error, [&]() -> Status {
    nlohmann::ordered_json machine;
    machine["cpu"] = platform::CpuName();
    machine["isa"] = InstructionSets();
    machine["physical_cores"] = platform::UsableCores();
    machine["usable_cpus"] = platform::UsableCpus();
    machine["memory_bytes"] = TotalMemory();
    const std::string text = machine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return WriteArray(text.data(), text.size(), json, capacity, json_bytes, "bytes");
  });
}

mirage_status mirage_tools_bandwidth(int32_t threads, double* gb_s, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckPointer(gb_s, "gb_s"));
    MIRAGE_TRY(CheckMayBlock("mirage_tools_bandwidth"));
    if (threads < 1 || threads > platform::kMostThreads)
      return Fail(Code::kInvalidArgument, "threads is " + std::to_string(threads));
    MIRAGE_TRY_ASSIGN(*gb_s, MeasureBandwidth(threads));
    return {};
  });
}

mirage_status mirage_tools_tune(const char* device, const char* out,
                                mirage_progress_callback progress, void* user_data,
                                mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckPointer(out, "out"));
    MIRAGE_TRY(CheckMayBlock("mirage_tools_tune"));
    MIRAGE_TRY_ASSIGN(const kernels::Ops* const ops, ReadDevice(device));
    model::TuningProgress report;
    if (progress != nullptr)
      report = [&](int64_t done_ms, int64_t total_ms) {
        return AbiCallProgress(progress, static_cast<uint64_t>(done_ms),
                               static_cast<uint64_t>(total_ms), user_data) == 0;
      };
    return Tune(*ops, out, report);
  });
}

}  // extern "C"
