// SPDX-License-Identifier: Apache-2.0
#include "model/tuning.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "model/cpu_kernels.h"
#include "platform/cpu.h"

namespace mirage::model {
namespace {

constexpr uint64_t kBytes = uint64_t{16} << 20;  // one matrix
constexpr TuningEffort kShort = {20, 20};
constexpr std::chrono::milliseconds kUnit{4};

// A machine whose matrix products take as long as `kTime` says of them.
template <double (*kTime)(const platform::ThreadPool& pool, bool decode)>
kernels::Ops MachineOf() {
  kernels::Ops ops = CpuKernels();
  ops.matmul = [](kernels::Stream& stream, const kernels::MatMulArgs& args) -> Status {
    const platform::ThreadPool& pool = static_cast<platform::HostStream&>(stream).pool();
    std::this_thread::sleep_for(kUnit * kTime(pool, args.tokens == 1));
    return {};
  };
  return ops;
}

Result<MeasuredTuning> Measure(const kernels::Ops& ops) {
  return MeasureTuning(ops, kBytes, nullptr, kShort);
}

TEST(Tuning, TakesWhatIsClearlyFastest) {
  const auto measured = Measure(MachineOf<[](const platform::ThreadPool& pool, bool decode) {
    double time = decode ? pool.threads() : 1.0 / pool.threads();
    if (pool.cut().tasks_per_thread != 8) time *= 1.5;
    if (pool.cut().panel_bytes != 1 << 20) time *= 1.5;
    return time;
  }>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->tuning.threads.decode, 1);
  EXPECT_GE(measured->tuning.threads.prefill, platform::UsableCores());
  EXPECT_EQ(measured->tuning.cut.tasks_per_thread, 8);
  EXPECT_EQ(measured->tuning.cut.panel_bytes, 1 << 20);
}

TEST(Tuning, KeepsTheDefaultsWhereNothingIsClearlyFaster) {
  const auto measured = Measure(MachineOf<[](const platform::ThreadPool& pool, bool) {
    return pool.cut().panel_bytes == platform::TaskCut().panel_bytes ? 2.0 : 1.98;
  }>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->tuning.threads.decode, platform::UsableCores());
  EXPECT_EQ(measured->tuning.threads.prefill, platform::UsableCores());
  EXPECT_EQ(measured->tuning.cut.tasks_per_thread, platform::TaskCut().tasks_per_thread);
  EXPECT_EQ(measured->tuning.cut.panel_bytes, platform::TaskCut().panel_bytes);
}

TEST(Tuning, TriesEverythingWithKernelsOfThisMachine) {
  const auto measured = Measure(CpuKernels());
  ASSERT_TRUE(measured) << measured.error().message;
  for (const TuningTrial& trial : measured->trials) EXPECT_GT(trial.rate, 0);
  // The threads of two kinds of pass, the tasks of both, the panels.
  EXPECT_GE(measured->trials.size(), 1u + 1 + 2 * 5 + 5);
}

TEST(Tuning, IsCancelledByItsProgress) {
  int calls = 0;
  const auto cancelled = MeasureTuning(
      CpuKernels(), kBytes,
      [&](int64_t done_ms, int64_t total_ms) {
        EXPECT_LE(done_ms, total_ms);
        return ++calls < 3;
      },
      kShort);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace mirage::model
