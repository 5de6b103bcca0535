// SPDX-License-Identifier: Apache-2.0
// Caches of two pools on one ledger, driven at random and compared after every step with what they
// are meant to hold: each sequence its committed positions, nobody else's page, and every byte of
// the ledger accounted for.

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <utility>

#include "kv/sequence_cache.h"
#include "tests/kv/kv_host.h"

namespace mirage::kv {
namespace {

// A sequence as it should be, in plain numbers.
struct Expected {
  int64_t committed = 0;
  int64_t reserved = 0;
  std::vector<int64_t> first;  // per group: the first position still held
  uint64_t generation = 0;     // of its marks: cleared sequences write new ones
};

struct Subject {
  PagePool* pool;
  SequenceCache cache;
  Expected expected;
  uint64_t id;
};

class Driver {
 public:
  explicit Driver(uint64_t seed)
      : random_(seed),
        host_(uint64_t{90} * 4096),
        pools_{host_.Pool({Full({0, 2}), Window({1}, 40)}),
               host_.Pool({Full({0}, 64), Window({1, 2}, 100)})} {
    for (uint64_t i = 0; i < 6; ++i) {
      PagePool* pool = pools_[i % 2].get();
      subjects_.push_back({pool, SequenceCache(*pool), {}, i});
      subjects_.back().expected.first.resize(2);
    }
  }

  void Step() {
    Subject& subject = subjects_[Below(subjects_.size())];
    switch (Below(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        Reserve(subject);
        break;
      case 4:
      case 5:
      case 6:
        Commit(subject);
        break;
      case 7:
        subject.cache.Rollback();
        subject.expected.reserved = subject.expected.committed;
        break;
      case 8:
        Truncate(subject);
        break;
      default:
        Disturb(subject);
    }
  }

  // Everything that must hold between steps.
  void Check() {
    std::map<std::pair<const PagePool*, size_t>, std::map<PageNumber, int>> owners;
    uint64_t bytes = pressure_.bytes();
    for (const Subject& subject : subjects_) {
      ASSERT_EQ(subject.cache.length(), subject.expected.committed);
      for (size_t group = 0; group < 2; ++group) {
        const LayerGroup& shape = subject.pool->geometry()[group];
        const kernels::SequenceView view = subject.cache.View(group, 0, 0);
        const int64_t first = subject.expected.first[group];
        ASSERT_EQ(view.first_position, first);
        const int64_t end = subject.expected.reserved;
        const int64_t pages = end > first ? (end - first + 31) / 32 : 0;
        bytes += static_cast<uint64_t>(pages) * shape.bytes_per_page();
        for (int64_t i = 0; i < pages; ++i) ++owners[{subject.pool, group}][view.pages[i]];
        for (int64_t position = first; position < subject.expected.committed; ++position)
          for (const int32_t layer : shape.layers)
            ASSERT_EQ(MarkAt(*subject.pool, layer, view.pages[(position - first) / 32], position),
                      MarkOf(subject, layer, position));
      }
    }
    for (const auto& [where, pages] : owners)
      for (const auto& [page, count] : pages) {
        ASSERT_EQ(count, 1) << "page " << page << " of group " << where.second << " is held twice";
        ASSERT_EQ(where.first->holders(where.second, page), 1);
      }
    ASSERT_EQ(host_.used(), bytes);
    for (const auto& pool : pools_) {
      const Status status = pool->CheckInvariants();
      ASSERT_TRUE(status) << status.error().message;
    }
  }

  int refused = 0;
  int truncated_to_nothing = 0;

 private:
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  static uint64_t MarkOf(const Subject& subject, int32_t layer, int64_t position) {
    return (subject.id << 56) ^ (subject.expected.generation << 32) ^
           (static_cast<uint64_t>(layer) << 24) ^ static_cast<uint64_t>(position);
  }

  void Reserve(Subject& subject) {
    const int64_t end = subject.expected.reserved + 1 + static_cast<int64_t>(Below(120));
    const uint64_t used = host_.used();
    const Status status = subject.cache.Reserve(end);
    if (status) {
      subject.expected.reserved = end;
      return;
    }
    ++refused;
    ASSERT_EQ(status.error().code, Code::kOutOfMemory);
    ASSERT_EQ(host_.used(), used) << "a refused reservation changed something";
  }

  void Commit(Subject& subject) {
    Expected& expected = subject.expected;
    if (expected.reserved == expected.committed) return;
    const int64_t end =
        expected.committed + 1 +
        static_cast<int64_t>(Below(static_cast<size_t>(expected.reserved - expected.committed)));
    for (size_t group = 0; group < 2; ++group) {
      const kernels::SequenceView view = subject.cache.View(group, 0, 0);
      for (int64_t position = expected.committed; position < end; ++position)
        for (const int32_t layer : subject.pool->geometry()[group].layers)
          Mark(*subject.pool, layer, view.pages[(position - view.first_position) / 32], position,
               MarkOf(subject, layer, position));
    }
    subject.cache.Commit(end);
    expected.committed = end;
    for (size_t group = 0; group < 2; ++group) {
      const LayerGroup& shape = subject.pool->geometry()[group];
      if (shape.kind != CacheKind::kWindow) continue;
      const int64_t oldest = std::max<int64_t>(0, end - shape.window + 1);
      expected.first[group] = std::max(expected.first[group], oldest / 32 * 32);
    }
  }

  void Truncate(Subject& subject) {
    Expected& expected = subject.expected;
    const auto tokens = static_cast<int64_t>(Below(static_cast<size_t>(expected.committed) + 20));
    int64_t left = std::min(tokens, expected.committed);
    for (size_t group = 0; group < 2; ++group) {
      const LayerGroup& shape = subject.pool->geometry()[group];
      if (shape.kind == CacheKind::kWindow &&
          expected.first[group] > std::max<int64_t>(0, left - shape.window + 1))
        left = 0;
    }
    ASSERT_EQ(subject.cache.Truncate(tokens), left);
    truncated_to_nothing += left == 0 && tokens > 0 && expected.committed > 0 ? 1 : 0;
    if (left == 0) Forget(subject);
    expected.committed = left;
    expected.reserved = left;
  }

  void Forget(Subject& subject) {
    subject.expected.first.assign(2, 0);
    subject.expected.committed = 0;
    subject.expected.reserved = 0;
    ++subject.expected.generation;
  }

  // Somebody else's bytes come and go, a cache is cleared, moved or made anew.
  void Disturb(Subject& subject) {
    switch (Below(4)) {
      case 0: {
        pressure_.Reset();
        auto taken = memory::Holding::Take(host_.ledger, memory::Owner::kSessions,
                                           Below(host_.ledger.available() / 2 + 1), "pressure");
        ASSERT_TRUE(taken);
        pressure_ = std::move(*taken);
        break;
      }
      case 1:
        subject.cache.Clear();
        Forget(subject);
        break;
      case 2: {
        SequenceCache moved(std::move(subject.cache));
        subject.cache = std::move(moved);
        break;
      }
      default:
        subject.cache = SequenceCache(*subject.pool);
        Forget(subject);
    }
  }

  std::mt19937_64 random_;
  KvHost host_;
  std::array<std::unique_ptr<PagePool>, 2> pools_;
  memory::Holding pressure_;
  std::vector<Subject> subjects_;
};

class RandomCaches : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomCaches, HoldWhatTheyShouldAfterEveryStep) {
  Driver driver(GetParam());
  for (int step = 0; step < 3000; ++step) {
    driver.Step();
    if (!HasFatalFailure()) driver.Check();
    if (HasFatalFailure()) {
      ADD_FAILURE() << "seed " << GetParam() << ", step " << step;
      return;
    }
  }
  // The run met both kinds of trouble.
  EXPECT_GT(driver.refused, 20);
  EXPECT_GT(driver.truncated_to_nothing, 5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCaches, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace mirage::kv
