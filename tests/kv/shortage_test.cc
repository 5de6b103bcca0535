// SPDX-License-Identifier: Apache-2.0

// Pages that are wanted when there is no heap to keep count of them.

#include <gtest/gtest.h>

#include <vector>

#include "tests/kv/kv_host.h"
#include "tests/memory/heap_shortage.h"

namespace mirage::kv {
namespace {

TEST(PageShortage, OfHeapLosesNoPage) {
  KvHost host;
  auto pool = host.Pool({Full({0, 1}), Full({2})});
  int failures = 0;
  for (int fails_at = 0;; ++fails_at) {
    std::vector<PageNumber> pages;
    Status taken;
    const bool went_through =
        memory::WithShortage(fails_at, [&] { taken = pool->Take(0, 3, &pages); });
    const Status sound = pool->CheckInvariants();
    ASSERT_TRUE(sound) << sound.error().message << ", allocation " << fails_at;
    if (went_through && taken) break;
    EXPECT_TRUE(!went_through || taken.error().code == Code::kOutOfMemory);
    EXPECT_TRUE(pages.empty());
    EXPECT_EQ(host.used(), 0u);
    ++failures;
  }
  EXPECT_GT(failures, 5);
}

}  // namespace
}  // namespace mirage::kv
