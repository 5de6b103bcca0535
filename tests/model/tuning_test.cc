// SPDX-License-Identifier: Apache-2.0
#include "model/tuning.h"

#include <gtest/gtest.h>

#include "model/cpu_kernels.h"
#include "platform/cpu.h"

namespace mirage::model {
namespace {

constexpr uint64_t kBytes = uint64_t{16} << 20;  // one matrix

VirtualClock& TheClock() {
  static VirtualClock clock;
  return clock;
}

// Kernels that leave out the matrix products, which take as many milliseconds as `kTime` says.
using Time = double (*)(const platform::ThreadPool& pool, bool decode);
template <Time kTime>
kernels::Ops Kernels() {
  kernels::Ops ops = CpuKernels();
  ops.matmul = [](kernels::Stream& stream, const kernels::MatMulArgs& args) -> Status {
    const double ms = kTime(static_cast<platform::HostStream&>(stream).pool(), args.tokens == 1);
    TheClock().AdvanceTo(TheClock().NowNs() + static_cast<int64_t>(ms * 1e6));
    return {};
  };
  return ops;
}

Result<MeasuredTuning> Measure(const kernels::Ops& ops, const TuningProgress& progress = nullptr) {
  return MeasureTuning(ops, kBytes, TheClock(), progress);
}

bool IsDefault(const platform::TaskCut& cut) {
  return cut.tasks_per_thread == platform::TaskCut().tasks_per_thread &&
         cut.panel_bytes == platform::TaskCut().panel_bytes;
}

// Decoding slows down with every thread, prefill does not; 8 tasks and panels of 1 MiB are best.
double Uneven(const platform::ThreadPool& pool, bool decode) {
  const double threads = pool.threads();
  return (decode ? threads : 10 / threads) * (pool.cut().tasks_per_thread == 8 ? 1 : 1.2) *
         (pool.cut().panel_bytes == 1 << 20 ? 1 : 1.2);
}

TEST(Tuning, TakesWhatIsFastest) {
  const auto measured = Measure(Kernels<Uneven>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->tuning.threads.decode, 1);
  EXPECT_EQ(measured->tuning.threads.prefill, platform::UsableCpus());
  EXPECT_EQ(measured->tuning.cut.tasks_per_thread, 8);
  EXPECT_EQ(measured->tuning.cut.panel_bytes, 1 << 20);
}

double HardlyUneven(const platform::ThreadPool& pool, bool) {
  const bool is_default = pool.threads() == platform::UsableCores() && IsDefault(pool.cut());
  return is_default ? 10.2 : 10;
}

TEST(Tuning, KeepsTheDefaultsWhereNothingIsClearlyFaster) {
  const auto measured = Measure(Kernels<HardlyUneven>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->tuning.threads.decode, platform::UsableCores());
  EXPECT_EQ(measured->tuning.threads.prefill, platform::UsableCores());
  EXPECT_TRUE(IsDefault(measured->tuning.cut));
}

// What is good for one kind of pass and worse for the other.
double Opposed(const platform::ThreadPool& pool, bool decode) {
  if (pool.cut().tasks_per_thread != 1) return 10;
  return decode ? 9 : 20;
}

TEST(Tuning, ChoosesTasksForBothKindsOfPass) {
  const auto measured = Measure(Kernels<Opposed>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_TRUE(IsDefault(measured->tuning.cut));
}

// Twice as fast, but only once in a while.
double Lucky(const platform::ThreadPool& pool, bool) {
  static int turns = 0;
  return !IsDefault(pool.cut()) && ++turns % 16 < 4 ? 5 : 10;
}

TEST(Tuning, IsNotMisledByLuckyRounds) {
  const auto measured = Measure(Kernels<Lucky>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_TRUE(IsDefault(measured->tuning.cut));
}

// Whatever runs beside slows everybody down more and more.
double Slowing(const platform::ThreadPool& pool, bool) {
  static double load = 1;
  load *= 1.0001;
  return load * (pool.cut().panel_bytes == 1 << 20 ? 9 : 10);
}

TEST(Tuning, ComparesWhatRanAtTheSameTime) {
  const auto measured = Measure(Kernels<Slowing>());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->tuning.cut.panel_bytes, 1 << 20);
  for (const TuningTrial& trial : measured->trials)
    EXPECT_NEAR(trial.speedup, trial.cut.panel_bytes == 1 << 20 ? 10.0 / 9 : 1, 0.01);
}

double Slow(const platform::ThreadPool&, bool) { return 5000; }

TEST(Tuning, TellsTheRateOfEveryTrial) {
  const auto measured = Measure(Kernels<Slow>());
  ASSERT_TRUE(measured) << measured.error().message;
  // The threads of two kinds of pass, at least one each; the tasks of both; the panels.
  EXPECT_GE(measured->trials.size(), 1u + 1 + 2 * 5 + 5);
  for (const TuningTrial& trial : measured->trials) {
    // A 4.5-bit matrix of 2048 x 8192; a slow machine's prompts have 64 tokens.
    const bool decode = trial.pass == TuningTrial::Pass::kDecode;
    EXPECT_NEAR(trial.rate, (decode ? 9437184 : 2048.0 * 8192 * 64) / 5 * 1e-9, 1e-6);
  }
}

TEST(Tuning, IsCancelledByItsProgress) {
  int calls = 0;
  const auto cancelled = Measure(Kernels<Slow>(), [&](int64_t done_ms, int64_t total_ms) {
    EXPECT_LE(done_ms, total_ms);
    return ++calls < 3;
  });
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace mirage::model
