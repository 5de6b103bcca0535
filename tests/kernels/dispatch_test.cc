// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <string_view>

#include "kernels/cpu/cpu_ops.h"
#include "platform/cpu.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

TEST(Dispatch, TheFastestRunnableTableIsTaken) {
  auto runnable = RunnableOps();
  ASSERT_FALSE(runnable.empty());
  EXPECT_STREQ(runnable.front()->name, "generic");
  if (std::string_view(runnable.back()->name) == "amx")
    runnable = runnable.first(runnable.size() - 1);
  EXPECT_EQ(&CpuOps(), runnable.back());
}

TEST(Dispatch, ATableIsFoundByItsNameWhereItRuns) {
  const auto runnable = RunnableOps();
  for (const std::string_view name : BuiltOpsNames()) {
    const Ops* found = FindCpuOps(name);
    const bool runs = std::any_of(runnable.begin(), runnable.end(),
                                  [&](const Ops* ops) { return name == ops->name; });
    ASSERT_EQ(found != nullptr, runs) << name;
    if (runs) {
      EXPECT_EQ(found->name, name);
    }
  }
  EXPECT_EQ(FindCpuOps("abacus"), nullptr);
  EXPECT_EQ(FindCpuOps(""), nullptr);
}

#if defined(__x86_64__)
TEST(Dispatch, AmxIsThereAsFarAsTheSystemPermitsIt) {
  const platform::CpuFeatures& cpu = platform::GetCpuFeatures();
  EXPECT_EQ(FindCpuOps("amx") != nullptr, cpu.avx512vnni && platform::EnableAmx());
}
#endif

TEST(Dispatch, RunnableTablesAreInTheOrderOfBuiltOnes) {
  const auto built = BuiltOpsNames();
  auto at = built.begin();
  for (const Ops* ops : RunnableOps()) {
    at = std::find(at, built.end(), ops->name);
    ASSERT_NE(at, built.end()) << ops->name;
  }
}

// Not a check: what the other tests ran on, for docs/isa-log.md.
TEST(Dispatch, PrintsWhatRanAndWhatDidNot) {
  std::cout << "processor: " << platform::CpuName() << "\n";
  for (const std::string_view name : BuiltOpsNames()) {
    const bool runs = std::any_of(RunnableOps().begin(), RunnableOps().end(),
                                  [&](const Ops* ops) { return name == ops->name; });
    std::cout << "kernel table " << name << ": " << (runs ? "tested natively" : "SKIPPED here")
              << "\n";
  }
  for (const Ops* ops : TestedOps())
    if (std::none_of(RunnableOps().begin(), RunnableOps().end(),
                     [&](const Ops* other) { return other == ops; }))
      std::cout << "kernel table " << ops->name << ": tested by emulation\n";
}

}  // namespace
}  // namespace mirage::kernels
