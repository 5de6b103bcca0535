// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "kernels/cpu/cpu_ops.h"
#include "platform/cpu.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

TEST(Dispatch, TheFastestRunnableTableIsTaken) {
  const auto runnable = RunnableOps();
  ASSERT_FALSE(runnable.empty());
  EXPECT_EQ(&CpuOps(), runnable.back());
  EXPECT_STREQ(runnable.front()->name, "generic");
}

TEST(Dispatch, RunnableTablesAreInTheOrderOfBuiltOnes) {
  const auto built = BuiltOpsNames();
  auto at = built.begin();
  for (const Ops* ops : RunnableOps()) {
    at = std::find(at, built.end(), ops->name);
    ASSERT_NE(at, built.end()) << ops->name;
  }
}

TEST(Dispatch, ATableIsFoundByItsName) {
  for (const Ops* ops : RunnableOps()) {
    const auto found = FindCpuOps(ops->name);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(*found, ops);
  }
  const auto none = FindCpuOps("abacus");
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, Code::kUnsupported);
  EXPECT_NE(none.error().message.find("generic"), std::string::npos);
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
