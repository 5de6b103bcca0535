// SPDX-License-Identifier: Apache-2.0
#include "memory/ledger.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace mirage::memory {
namespace {

uint64_t SumOfOwners(const LedgerSnapshot& snapshot) {
  return std::accumulate(snapshot.by_owner.begin(), snapshot.by_owner.end(), uint64_t{0});
}

TEST(Ledger, RefusesWhatIsNotThereAndSaysHowMuchIs) {
  Ledger ledger(1000);
  ASSERT_TRUE(ledger.Take(Owner::kWeights, 600, "homes"));
  const Status status = ledger.Take(Owner::kKv, 500, "pages");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  EXPECT_EQ(status.error().needed_bytes, 500u);
  EXPECT_EQ(status.error().available_bytes, 400u);
  EXPECT_EQ(status.error().message, "pages needs 500 bytes of KV, 400 of 1000 are available");
  EXPECT_EQ(ledger.Snapshot().used, 600u);
}

TEST(Ledger, SumsThatWouldWrapAreRefused) {
  Ledger ledger(UINT64_MAX);
  ASSERT_TRUE(ledger.Take(Owner::kKv, 10, "pages"));
  EXPECT_FALSE(ledger.Take(Owner::kKv, UINT64_MAX - 5, "pages"));
}

TEST(Ledger, ALimitBelowUseStandsAtOnceAndShowsTheExcess) {
  Ledger ledger(1000);
  ASSERT_TRUE(ledger.Take(Owner::kWeights, 800, "homes"));
  ledger.SetLimit(500);
  EXPECT_EQ(ledger.over_limit(), 300u);
  EXPECT_EQ(ledger.available(), 0u);
  EXPECT_FALSE(ledger.Take(Owner::kKv, 1, "a page"));
  EXPECT_TRUE(ledger.Take(Owner::kKv, 0, "nothing"));
  ledger.Give(Owner::kWeights, 400);
  EXPECT_EQ(ledger.over_limit(), 0u);
  EXPECT_EQ(ledger.available(), 100u);
  EXPECT_EQ(ledger.Snapshot().peak, 800u);
}

TEST(Ledger, HoldingsGiveBackOnceHoweverTheyMove) {
  Ledger ledger(100);
  {
    auto taken = Holding::Take(ledger, Owner::kTables, 60, "table");
    ASSERT_TRUE(taken);
    Holding moved = std::move(*taken);
    EXPECT_EQ(moved.bytes(), 60u);
    EXPECT_EQ(ledger.available(), 40u);
    EXPECT_FALSE(Holding::Take(ledger, Owner::kTables, 50, "table"));
    moved = Holding();
    EXPECT_EQ(ledger.available(), 100u);
    moved = Holding::Take(ledger, Owner::kTables, 10, "table").value();
  }
  EXPECT_EQ(ledger.available(), 100u);
}

TEST(Ledger, HoldingsGrowAndShrink) {
  Ledger ledger(100);
  const auto promise = Promise::Make(ledger, 50, "a model").value();
  const auto take = [&](uint64_t bytes) {
    return Holding::Take(ledger, Owner::kSessions, bytes, "text", promise.get());
  };
  {
    Holding text;
    text.Join(take(30).value());
    text.Join(take(40).value());
    EXPECT_EQ(text.bytes(), 70u);
    EXPECT_EQ(ledger.Snapshot().used, 70u);
    EXPECT_FALSE(take(31));
    text.Shrink(80);
    EXPECT_EQ(text.bytes(), 70u);
    text.Shrink(10);
    EXPECT_EQ(ledger.Snapshot().used, 10u);
    EXPECT_EQ(ledger.Snapshot().promised, 40u);
  }
  EXPECT_EQ(ledger.Snapshot().used, 0u);
  EXPECT_EQ(ledger.Snapshot().promised, 50u);
}

TEST(Promise, IsKeptFromEverybodyElseAndSaidInRefusals) {
  Ledger ledger(1000);
  const auto promise = Promise::Make(ledger, 600, "a model").value();
  EXPECT_EQ(ledger.Snapshot().used, 0u);
  EXPECT_EQ(ledger.Snapshot().promised, 600u);
  EXPECT_EQ(ledger.available(), 400u);
  EXPECT_EQ(ledger.available(promise.get()), 1000u);
  const Status refused = ledger.Take(Owner::kWeights, 401, "homes");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().available_bytes, 400u);
  EXPECT_EQ(refused.error().message,
            "homes needs 401 bytes of weights, 400 of 1000 are available; 600 more are promised");
  EXPECT_FALSE(Promise::Make(ledger, 401, "another"));
  ASSERT_TRUE(ledger.Take(Owner::kWeights, 400, "homes"));
  ASSERT_TRUE(ledger.Take(Owner::kKv, 600, "pages", promise.get()));
  EXPECT_FALSE(ledger.Take(Owner::kKv, 1, "pages", promise.get()));
  // What is given back is promised again.
  ledger.Give(Owner::kKv, 500, promise.get());
  EXPECT_EQ(ledger.available(), 0u);
  EXPECT_EQ(ledger.available(promise.get()), 500u);
  ledger.Give(Owner::kKv, 100, promise.get());
  ledger.Give(Owner::kWeights, 400);
}

TEST(Promise, WhatIsTakenBeyondItIsEverybodys) {
  Ledger ledger(1000);
  const auto promise = Promise::Make(ledger, 300, "a model").value();
  const auto other = Promise::Make(ledger, 200, "another").value();
  ASSERT_TRUE(ledger.Take(Owner::kKv, 800, "pages", promise.get()));
  EXPECT_FALSE(ledger.Take(Owner::kKv, 1, "pages", promise.get()));
  EXPECT_EQ(promise->committed(), 800u);
  EXPECT_EQ(ledger.Freeable(promise.get(), other.get()), 500u);
  ledger.Give(Owner::kKv, 500, promise.get());
  EXPECT_EQ(ledger.available(), 500u);
  // What is left is its own.
  EXPECT_EQ(ledger.Freeable(promise.get(), other.get()), 0u);
  EXPECT_EQ(ledger.Freeable(promise.get(), promise.get()), UINT64_MAX);
  EXPECT_EQ(ledger.Freeable(nullptr, other.get()), UINT64_MAX);
  ledger.Give(Owner::kKv, 300, promise.get());
}

TEST(Promise, EndsWithItsHolderAndPartsEndAlone) {
  Ledger ledger(1000);
  {
    auto whole = Promise::Make(ledger, 600, "a model").value();
    const auto part = whole->Split(200);
    ASSERT_TRUE(ledger.Take(Owner::kWeights, 100, "homes", whole.get()));
    EXPECT_EQ(ledger.available(), 400u);
    whole->End();
    EXPECT_EQ(ledger.available(), 700u);
    ledger.Give(Owner::kWeights, 100, whole.get());
    EXPECT_EQ(ledger.available(), 800u);
    EXPECT_EQ(ledger.available(part.get()), 1000u);
  }
  EXPECT_EQ(ledger.available(), 1000u);
  EXPECT_EQ(ledger.Snapshot().promised, 0u);
}

TEST(Promise, UnderALoweredLimitGoesToWhoComesFirst) {
  Ledger ledger(1000);
  const auto first = Promise::Make(ledger, 500, "a model").value();
  const auto second = Promise::Make(ledger, 500, "another").value();
  ledger.SetLimit(600);
  EXPECT_EQ(ledger.Freeable(first.get(), second.get()), UINT64_MAX);
  ASSERT_TRUE(ledger.Take(Owner::kKv, 400, "pages", first.get()));
  EXPECT_EQ(ledger.available(second.get()), 200u);
  ASSERT_TRUE(ledger.Take(Owner::kKv, 200, "pages", second.get()));
  EXPECT_FALSE(ledger.Take(Owner::kKv, 1, "pages", first.get()));
  ledger.Give(Owner::kKv, 400, first.get());
  ledger.Give(Owner::kKv, 200, second.get());
}

TEST(Ledger, NeverPassesItsLimitUnderThreads) {
  constexpr uint64_t kLimit = 10000;
  Ledger ledger(kLimit);
  std::atomic<bool> wrong{false};
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<Owner, uint64_t>> held;
    for (int i = 0; i < 5000; ++i) {
      if (random() % 2 == 0) {
        const Owner owner = static_cast<Owner>(random() % static_cast<unsigned>(Owner::kCount));
        const uint64_t bytes = random() % 3000;
        if (ledger.Take(owner, bytes, "test")) held.emplace_back(owner, bytes);
      } else if (!held.empty()) {
        auto& [owner, bytes] = held[random() % held.size()];
        ledger.Give(owner, std::exchange(bytes, 0));
      }
      const LedgerSnapshot snapshot = ledger.Snapshot();
      if (snapshot.used > kLimit || SumOfOwners(snapshot) != snapshot.used ||
          snapshot.peak < snapshot.used)
        wrong = true;
    }
    for (const auto& [owner, bytes] : held) ledger.Give(owner, bytes);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wrong);
  EXPECT_EQ(ledger.Snapshot().used, 0u);
}

}  // namespace
}  // namespace mirage::memory
