// SPDX-License-Identifier: Apache-2.0
// Sequences that fork, branch, go back and find each other's pages at random, short of memory.
// After every step each holds what its own tokens say, every page has exactly the holders that hold
// it, and the ledger has exactly the bytes of the pages held.

#include <gtest/gtest.h>

#include <random>
#include <tuple>
#include <utility>

#include "tests/kv/token_host.h"

namespace mirage::kv {
namespace {

struct Subject {
  SequenceCache cache;
  Tokens tokens;  // computed
  std::string salt;
};

class Driver {
 public:
  Driver(uint64_t seed, Geometry geometry, uint64_t pages)
      : random_(seed),
        host_(pages * 4096),
        pool_(host_.Pool(std::move(geometry))),
        prefixes_(*pool_) {
    for (int i = 0; i < 5; ++i)
      subjects_.push_back({SequenceCache(*pool_), {}, i == 4 ? "other" : ""});
  }

  void Step() {
    ++now_;
    Subject& subject = subjects_[Below(subjects_.size())];
    switch (Below(12)) {
      case 0: {  // a fork takes the place of another
        const Subject& of = subjects_[Below(subjects_.size())];
        if (&of == &subject) return;
        subject.cache = of.cache.Fork();
        subject.tokens = of.tokens;
        subject.salt = of.salt;
        ++forks;
        return;
      }
      case 1:
        Truncate(subject);
        return;
      case 2:
        subject.cache.Clear();
        subject.tokens.clear();
        return;
      case 3:
        if (Below(4) > 0) {
          evicted += prefixes_.Evict(Below(20) * 4096, now_);
          return;
        }
        // All of it leaves nothing that nobody else holds.
        evicted += prefixes_.Evict(UINT64_MAX, now_);
        ASSERT_EQ(prefixes_.EvictableBytes(), 0u);
        return;
      case 4:
        prefixes_.ForgetTail(subject.cache);
        if (Below(4) == 0) subject.cache.DropSnapshots();
        return;
      default:
        Run(subject);
    }
  }

  void Check() {
    HoldCounts counts(pool_->geometry().size());
    for (const Subject& subject : subjects_) {
      ASSERT_EQ(subject.cache.length(), static_cast<int64_t>(subject.tokens.size()));
      ASSERT_EQ(FirstWrong(*pool_, subject.tokens, subject.cache), -1);
      const Status status = subject.cache.CheckInvariants();
      ASSERT_TRUE(status) << status.error().message;
      subject.cache.CountHolds(&counts);
    }
    ASSERT_EQ(host_.used(), pool_->Stats().bytes_held);
    for (const Status& status : {pool_->CheckInvariants(), prefixes_.CheckHolders(counts, true),
                                 prefixes_.CheckInvariants()})
      ASSERT_TRUE(status) << status.error().message;
  }

  int64_t found = 0;
  uint64_t evicted = 0;
  int forks = 0;
  int refused = 0;

 private:
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  // Grows along one of a few texts, from wherever it is: some tokens equal others', some branch
  // off.
  void Run(Subject& subject) {
    if (subject.tokens.size() > 400) return Truncate(subject);
    Tokens tokens = subject.tokens;
    const Tokens text = Text(static_cast<int32_t>(Below(3)), 600);
    const size_t more = 1 + Below(90);
    for (size_t i = 0; i < more; ++i) tokens.push_back(text[tokens.size()]);
    found += prefixes_.Find(subject.salt, tokens, now_, &subject.cache);
    subject.tokens.assign(tokens.begin(), tokens.begin() + subject.cache.length());
    const auto end = static_cast<int64_t>(tokens.size());
    if (subject.cache.length() == end) return;
    const int64_t guesses = Below(4) == 0 ? static_cast<int64_t>(Below(more)) : 0;
    const int64_t settled = std::max(end - guesses, subject.cache.length() + 1);
    Snapshots snapshots = Below(8) == 0 ? Snapshots::kSkip : Snapshots::kTake;
    // Pages are looked for where they may be had, in the engine's order.
    while (!Compute(*pool_, tokens, &subject.cache, settled, snapshots)) {
      ++refused;
      if (prefixes_.Evict(1, now_) != 0 || prefixes_.ForgetTail(subject.cache) ||
          std::exchange(snapshots, Snapshots::kSkip) == Snapshots::kTake)
        continue;
      return;
    }
    if (Below(6) == 0) return subject.cache.Rollback();
    tokens.resize(static_cast<size_t>(settled) + Below(static_cast<size_t>(end - settled) + 1));
    const auto committed = static_cast<int64_t>(tokens.size());
    prefixes_.Insert(subject.salt, tokens, Below(3) == 0, now_, &subject.cache);
    subject.cache.Commit(committed, Below(2) == 0 ? committed : settled);
    if (committed < end) subject.cache.Rollback();
    subject.tokens = tokens;
  }

  void Truncate(Subject& subject) {
    const int64_t left =
        subject.cache.Truncate(static_cast<int64_t>(Below(subject.tokens.size() + 1)));
    subject.tokens.resize(static_cast<size_t>(left));
  }

  std::mt19937_64 random_;
  KvHost host_;
  std::unique_ptr<PagePool> pool_;
  PrefixCache prefixes_;
  std::vector<Subject> subjects_;
  int64_t now_ = 0;
};

// Both are short of the pages that five sequences would need.
const Geometry kAttention = {Full({0, 2}), Window({1}, 40), Window({3}, 100)};
const Geometry kHybrid = {State({1}, 3), Full({0, 2}), Window({3}, 60), State({4}, 2)};
const Geometry kStates = {State({0, 1}, 3), State({2}, 4, 8000)};

class Sharing : public testing::TestWithParam<std::tuple<uint64_t, const Geometry*, uint64_t>> {};

TEST_P(Sharing, EverybodyHoldsTheirOwnAfterEveryStep) {
  const auto& [seed, geometry, pages] = GetParam();
  Driver driver(seed, *geometry, pages);
  for (int step = 0; step < 1500; ++step) {
    driver.Step();
    driver.Check();
    if (HasFatalFailure()) {
      ADD_FAILURE() << "seed " << seed << ", step " << step;
      return;
    }
  }
  EXPECT_GT(driver.found, 500);
  EXPECT_GT(driver.evicted, 100u * 4096);
  EXPECT_GT(driver.forks, 50);
  EXPECT_GT(driver.refused, 20);
}

using testing::Combine;
using testing::Range;
using testing::Values;
INSTANTIATE_TEST_SUITE_P(Attention, Sharing,
                         Combine(Range<uint64_t>(1, 9), Values(&kAttention), Values(110u)));
INSTANTIATE_TEST_SUITE_P(Hybrid, Sharing,
                         Combine(Range<uint64_t>(1, 6), Values(&kHybrid), Values(130u)));
INSTANTIATE_TEST_SUITE_P(States, Sharing,
                         Combine(Range<uint64_t>(1, 6), Values(&kStates), Values(60u)));

}  // namespace
}  // namespace mirage::kv
