// SPDX-License-Identifier: Apache-2.0
#include "memory/region_store.h"

#include <gtest/gtest.h>

#include <vector>

#include "fakes.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kKib = 1024;

TEST(RegionStore, ResidentRegionsHoldTheSourcesBytes) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  const std::vector<RegionInfo> regions = MakeRegions({300 * kKib, 100 * kKib, 7, 200 * kKib});
  auto store = host.Store(regions, source);
  ASSERT_TRUE(store->Load(std::vector<bool>(4, true), nullptr));
  auto stream = host.Stream();
  for (RegionIndex i = 0; i < 4; ++i) {
    auto lease = store->Acquire(i, *stream);
    ASSERT_TRUE(lease);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(lease->data()) % 64, 0u);
    EXPECT_TRUE(HoldsRegion(lease->data(), 1, i, regions[i].bytes));
  }
  EXPECT_EQ(store->Stats().acquires, 4u);
  EXPECT_EQ(store->Stats().acquires_streamed, 0u);
  EXPECT_EQ(source->fills, 4);
}

}  // namespace
}  // namespace mirage::memory
