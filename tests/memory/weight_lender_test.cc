// SPDX-License-Identifier: Apache-2.0
#include "memory/weight_lender.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "fakes.h"
#include "platform/host_stream.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kMib = 1 << 20;
constexpr size_t kRegions = 12;

// Twelve regions of a MiB, all at home, and not a byte more.
class WeightLenderTest : public testing::Test {
 protected:
  WeightLenderTest() {
    EXPECT_TRUE(store_->Load(std::vector<bool>(kRegions, true), nullptr));
    host_.ledger.SetLimit(host_.ledger.Snapshot().used);
  }
  void ExpectAllReadable() {
    auto stream = host_.Stream();
    for (RegionIndex i = 0; i < kRegions; ++i)
      EXPECT_TRUE(HoldsRegion(store_->Acquire(i, *stream)->data(), 1, i, kMib));
  }
  [[nodiscard]] uint64_t slots() const { return store_->slot_bytes(); }

  Host host_;
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::unique_ptr<RegionStore> store_ =
      host_.Store(MakeRegions(std::vector<uint64_t>(kRegions, kMib)), source_, {3, false});
  WeightLender lender_{*store_, host_.ledger, *host_.transfer};
};

// With nothing free the slots are backed from what is lent.
TEST_F(WeightLenderTest, LendsUntilTheBytesAreThere) {
  EXPECT_EQ(lender_.lendable_bytes(), kRegions * kMib - slots());
  EXPECT_GE(lender_.Lend(2 * kMib), 2 * kMib);
  EXPECT_GE(host_.ledger.available(), 2 * kMib);
  EXPECT_LE(lender_.lent_bytes(), 2 * kMib + slots() + kMib);
  ExpectAllReadable();
}

TEST_F(WeightLenderTest, LendingMoreMovesNothing) {
  EXPECT_GT(lender_.Lend(kMib), 0u);
  std::vector<RegionIndex> lent;
  for (RegionIndex i = 0; i < kRegions; ++i)
    if (store_->state(i) != RegionState::kResident) lent.push_back(i);
  EXPECT_GT(lender_.Lend(3 * kMib), 0u);
  for (const RegionIndex i : lent) EXPECT_NE(store_->state(i), RegionState::kResident);
  ExpectAllReadable();
}

TEST_F(WeightLenderTest, EverythingComesHomeAgain) {
  const uint64_t used = host_.ledger.Snapshot().used;
  EXPECT_GT(lender_.Lend(5 * kMib), 0u);
  ExpectAllReadable();
  int revived = 0;
  while (lender_.Revive(0)) ++revived;
  EXPECT_GE(revived, 5);
  // The slots stay where they are: as many regions have no room.
  EXPECT_LE(lender_.lent_bytes(), slots());
  host_.ledger.SetLimit(used + slots());
  while (lender_.Revive(0)) ++revived;
  EXPECT_EQ(lender_.lent_bytes(), 0u);
  ExpectAllReadable();
}

TEST_F(WeightLenderTest, NothingComesHomeIntoWhatIsToStayFree) {
  EXPECT_GT(lender_.Lend(2 * kMib), 0u);
  EXPECT_FALSE(lender_.Revive(2 * kMib));
  EXPECT_TRUE(lender_.Revive(0));
}

TEST_F(WeightLenderTest, MoreThanAllIsNotHad) {
  const uint64_t lendable = lender_.lendable_bytes();  // before: arguments have no order
  EXPECT_EQ(lender_.Lend(kRegions * kMib), lendable);
  ExpectAllReadable();
  EXPECT_EQ(lender_.Lend(1), 0u);
}

// Nothing becomes available before what is in use beyond the limit has come back.
TEST_F(WeightLenderTest, LendsNoMoreThanALoweredLimitAsksFor) {
  host_.ledger.SetLimit(host_.ledger.Snapshot().used - 2 * kMib);
  EXPECT_GE(lender_.Lend(host_.ledger.over_limit()), 2 * kMib);
  EXPECT_EQ(host_.ledger.over_limit(), 0u);
  EXPECT_LE(lender_.lent_bytes(), 2 * kMib + slots() + kMib);
  ExpectAllReadable();
}

TEST(WeightLender, WhatIsReadInPlaceIsTakenHomeInParts) {
  Host host;
  const std::vector<RegionInfo> regions = MakeRegions(std::vector<uint64_t>(kRegions, kMib));
  const auto source = std::make_shared<FakeSource>();
  source->MapAll(regions);
  const std::unique_ptr<RegionStore> store = host.Store(regions, source, {3, true});
  ASSERT_TRUE(store->Load(std::vector<bool>(kRegions, true), nullptr));
  WeightLender lender(*store, host.ledger, *host.transfer);
  host.ledger.SetLimit(host.ledger.Snapshot().used - 4 * kMib);
  EXPECT_GE(lender.Lend(host.ledger.over_limit()), 4 * kMib);
  EXPECT_TRUE(lender.LeaveMapping(2 * kMib));
  EXPECT_EQ(store->Stats().bytes_resident, 2 * kMib);
  while (lender.LeaveMapping(2 * kMib)) {
  }
  EXPECT_FALSE(store->any_mapped());
  EXPECT_EQ(host.ledger.over_limit(), 0u);
  auto stream = host.Stream();
  for (RegionIndex i = 0; i < kRegions; ++i)
    EXPECT_TRUE(HoldsRegion(store->Acquire(i, *stream)->data(), 1, i, kMib));
}

TEST_F(WeightLenderTest, LearnsHowLongAFillTakes) {
  EXPECT_GT(lender_.FillNs(kMib), 0.0);
  EXPECT_DOUBLE_EQ(lender_.FillNs(2 * kMib), 2 * lender_.FillNs(kMib));
}

}  // namespace
}  // namespace mirage::memory
