// SPDX-License-Identifier: Apache-2.0
#include "memory/policy/choose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "fakes.h"
#include "memory/layout.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kChunk = 64 << 10;
constexpr uint64_t kMib = 1 << 20;

uint64_t Sum(const std::vector<uint64_t>& bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
}

std::vector<size_t> Streamed(const Residency& choice) {
  std::vector<size_t> streamed;
  for (size_t i = 0; i < choice.resident.size(); ++i)
    if (!choice.resident[i]) streamed.push_back(i);
  return streamed;
}

TEST(ChooseResident, EverythingStaysWhenItFits) {
  const std::vector<uint64_t> bytes(10, kMib);
  const auto choice = ChooseResident({bytes, 10 * kMib, kChunk});
  ASSERT_TRUE(choice);
  EXPECT_TRUE(Streamed(*choice).empty());
  EXPECT_EQ(choice->slot_bytes, 0u);
  EXPECT_EQ(choice->home_bytes, 10 * kMib);
}

TEST(ChooseResident, StreamedRegionsAreEvenlySpaced) {
  const std::vector<uint64_t> bytes(100, kMib);
  for (const uint64_t budget : {90 * kMib, 77 * kMib, 50 * kMib, 12 * kMib}) {
    const auto choice = ChooseResident({bytes, budget, kChunk});
    ASSERT_TRUE(choice);
    const std::vector<size_t> streamed = Streamed(*choice);
    EXPECT_EQ(streamed.size(), 100 - (budget / kMib - 2));  // two slots
    size_t least = 100;
    size_t most = 0;
    for (size_t i = 0; i < streamed.size(); ++i) {
      const size_t next = i + 1 < streamed.size() ? streamed[i + 1] : streamed[0] + 100;  // cyclic
      least = std::min(least, next - streamed[i]);
      most = std::max(most, next - streamed[i]);
    }
    EXPECT_LE(most - least, 1u) << budget;
  }
}

TEST(ChooseResident, BelowTheLeastBudgetNamesIt) {
  const std::vector<uint64_t> bytes = {100, 3 * kMib, 5 * kMib, 200};
  const uint64_t least = LeastResidencyBytes({bytes, 0, kChunk});
  EXPECT_EQ(least, 8 * kMib + kChunk);  // all of it: two slots would take 10 MiB
  const std::vector<uint64_t> many(20, 5 * kMib);
  EXPECT_EQ(LeastResidencyBytes({many, 0, kChunk}), 10 * kMib);
  const auto refused = ChooseResident({many, 10 * kMib - 1, kChunk});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(refused.error().needed_bytes, 10 * kMib);
  EXPECT_EQ(refused.error().available_bytes, 10 * kMib - 1);
  const auto all_streamed = ChooseResident({many, 10 * kMib, kChunk});
  ASSERT_TRUE(all_streamed);
  EXPECT_EQ(Streamed(*all_streamed).size(), 20u);
}

TEST(ChooseResident, OpsThatHoldSeveralRegionsGetASlotMoreThanThatWhereItFits) {
  const std::vector<uint64_t> bytes(50, kMib);
  EXPECT_EQ(ChooseResident({bytes, 20 * kMib, kChunk, 4})->slots, 5);
  EXPECT_EQ(ChooseResident({bytes, 4 * kMib, kChunk, 4})->slots, 4);
  EXPECT_FALSE(ChooseResident({bytes, 4 * kMib - 1, kChunk, 4}));
}

TEST(ChooseResident, SmallRegionsStayHome) {
  std::vector<uint64_t> bytes;
  for (int layer = 0; layer < 30; ++layer) {
    bytes.push_back(4096);  // norms
    bytes.push_back(2 * kMib);
    bytes.push_back(kMib);
  }
  const auto choice = ChooseResident({bytes, Sum(bytes) / 2, kChunk});
  ASSERT_TRUE(choice);
  for (size_t i = 0; i < bytes.size(); i += 3) EXPECT_TRUE(choice->resident[i]);
}

// On random models: what is chosen fits, a bigger budget never streams much more, and nothing more
// would fit.
TEST(ChooseResident, FitsAndLeavesNoRoomUnused) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint64_t> bytes(1 + random() % 120);
    for (uint64_t& b : bytes) b = 1 + random() % (random() % 3 == 0 ? 20000 : 3 * kMib);
    const uint64_t largest = *std::max_element(bytes.begin(), bytes.end());
    const uint64_t budget = random() % (Sum(bytes) + 4 * largest);
    const ResidencyQuery query{bytes, budget, kChunk, 1 + static_cast<int>(random() % 3)};
    const auto choice = ChooseResident(query);
    if (!choice) {
      EXPECT_LT(budget, LeastResidencyBytes(query));
      continue;
    }
    EXPECT_GE(budget, std::min(LeastResidencyBytes(query), Sum(bytes)));
    EXPECT_LE(choice->home_bytes + choice->slot_bytes, budget);
    HomeChunks chunks(bytes, kChunk);
    uint64_t streamed = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (choice->resident[i]) {
        chunks.Add(i);
      } else {
        streamed += bytes[i];
      }
    }
    EXPECT_EQ(chunks.bytes(), choice->home_bytes);
    EXPECT_EQ(streamed, choice->streamed_bytes);
    for (const size_t i : Streamed(*choice))
      EXPECT_GT(choice->home_bytes + chunks.CostOf(i) + choice->slot_bytes, budget);
    if (choice->slot_bytes != 0) {
      EXPECT_EQ(choice->slot_bytes, SlotBytes(largest, choice->slots, kChunk));
    }
  }
}

// The numbers of the choice are those a store takes.
TEST(ChooseResident, AStoreTakesExactlyWhatWasChosen) {
  Host host;
  std::mt19937 random(3);
  for (int round = 0; round < 5; ++round) {
    std::vector<uint64_t> bytes(20);
    for (uint64_t& b : bytes) b = 1 + random() % (300 << 10);
    const auto choice = ChooseResident({bytes, Sum(bytes) * 7 / 10, host.arena.chunk_bytes()});
    ASSERT_TRUE(choice);
    auto store =
        host.Store(MakeRegions(bytes), std::make_shared<FakeSource>(), {choice->slots, false});
    ASSERT_TRUE(store->Load(choice->resident, nullptr));
    const LedgerSnapshot snapshot = host.ledger.Snapshot();
    EXPECT_EQ(snapshot.by_owner[static_cast<size_t>(Owner::kWeights)], choice->home_bytes);
    EXPECT_EQ(snapshot.by_owner[static_cast<size_t>(Owner::kSlots)], choice->slot_bytes);
    EXPECT_EQ(snapshot.by_owner[static_cast<size_t>(Owner::kTables)], RegionStore::TableBytes(20));
  }
}

}  // namespace
}  // namespace mirage::memory
