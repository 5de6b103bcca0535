// SPDX-License-Identifier: Apache-2.0
// What is saved of a cache is what is read again, with pages, windows and states alike.

#include "session/saved_pages.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/kv/token_host.h"

namespace mirage::session {
namespace {

using kv::Full;
using kv::State;
using kv::Text;
using kv::Window;
using kv::operator+;
using Bytes = std::vector<std::byte>;

const kv::Geometry kHybrid = {State({0, 2}, 3, 5000), Full({1}), Window({3}, 40), State({4}, 1)};

Bytes Save(const kv::Geometry& geometry, const kv::SequenceCache& cache, const kv::Tokens& tokens) {
  format::SavedSession saved;
  saved.tokens = tokens;
  saved.computed = tokens.size();
  saved.cached = static_cast<uint64_t>(cache.length());
  DescribePages(geometry, cache, &saved);
  Bytes bytes;
  const Status written = format::WriteSession(
      saved, ReaderOf(cache, saved), [&](std::span<const std::byte> piece) -> Status {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        return {};
      });
  EXPECT_TRUE(written) << written.error().message;
  return bytes;
}

// A cache that has grown step by step, so that it has states to go back to.
kv::SequenceCache Computed(kv::PagePool& pool, const kv::Tokens& tokens) {
  kv::SequenceCache cache(pool);
  while (cache.length() < static_cast<int64_t>(tokens.size())) {
    const auto end = std::min<int64_t>(cache.length() + 45, static_cast<int64_t>(tokens.size()));
    EXPECT_TRUE(kv::Compute(pool, kv::Tokens(tokens.begin(), tokens.begin() + end), &cache));
    cache.Commit(end);
  }
  return cache;
}

void ExpectReadAsItWas(const kv::Geometry& geometry, int64_t length) {
  SCOPED_TRACE(testing::Message() << geometry.size() << " groups, " << length << " tokens");
  const kv::Tokens tokens = Text(1, length);
  Bytes bytes;
  {
    kv::KvHost host;
    auto pool = host.Pool(geometry);
    bytes = Save(geometry, Computed(*pool, tokens), tokens);
  }
  const MemorySource source(bytes);
  const auto file = format::SessionFile::Open(source);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(PagesFit(geometry, file->session()));
  kv::KvHost host;
  auto pool = host.Pool(geometry);
  Result<kv::SequenceCache> cache = ReadPages(*pool, *file);
  ASSERT_TRUE(cache) << cache.error().message;
  EXPECT_EQ(cache->length(), length);
  EXPECT_TRUE(cache->CheckInvariants());
  EXPECT_EQ(FirstWrong(*pool, tokens, *cache), -1);
  const kv::Tokens longer = tokens + Text(2, 50);
  ASSERT_TRUE(kv::Compute(*pool, longer, &*cache));
  cache->Commit(length + 50);
  EXPECT_EQ(FirstWrong(*pool, longer, *cache), -1);
}

// Of a page that is not full the rest is saved as zeros, where a page of keys and values has it and
// these marks have not: whole pages.
TEST(SavedPages, AreReadAsTheyWere) {
  for (const kv::Geometry& geometry : {kv::Geometry{Full({0, 1})}, kHybrid})
    for (const int64_t length : {0, 32, 64, 224}) ExpectReadAsItWas(geometry, length);
  for (const int64_t length : {0, 1, 32, 33, 100, 200}) ExpectReadAsItWas({State({0, 1})}, length);
}

TEST(SavedPages, OfAnotherShapeAreNotTakenOver) {
  kv::KvHost host;
  auto pool = host.Pool(kHybrid);
  format::SavedSession saved;
  DescribePages(kHybrid, kv::SequenceCache(*pool), &saved);
  EXPECT_TRUE(PagesFit(kHybrid, saved));
  const auto fits = [&](auto&& change) {
    kv::Geometry other = kHybrid;
    change(other);
    return PagesFit(other, saved);
  };
  EXPECT_FALSE(fits([](kv::Geometry& g) { g[0].state_layout = 2; }));
  EXPECT_FALSE(fits([](kv::Geometry& g) { g[0].state_bytes = 9000; }));
  EXPECT_FALSE(fits([](kv::Geometry& g) { g[1].type = kv::KvType::kQ8_0; }));
  EXPECT_FALSE(fits([](kv::Geometry& g) { g[3].layers.push_back(5); }));
  EXPECT_FALSE(fits([](kv::Geometry& g) { g.pop_back(); }));
  EXPECT_FALSE(fits([](kv::Geometry& g) { g[3] = Full({4}); }));
  EXPECT_TRUE(fits([](kv::Geometry& g) { g[0].snapshots = 9; }));
}

TEST(SavedPages, WithoutRoomForAllTakeNone) {
  const kv::Tokens tokens = Text(1, 100);
  kv::KvHost host;
  auto pool = host.Pool(kHybrid);
  const Bytes bytes = Save(kHybrid, Computed(*pool, tokens), tokens);
  const MemorySource source(bytes);
  const auto file = format::SessionFile::Open(source);
  ASSERT_TRUE(file);
  for (uint64_t pages = 0; pages < 12; ++pages) {  // 4 of two states, 4, 3 and 1
    kv::KvHost small(pages * 4096);
    auto other = small.Pool(kHybrid);
    const auto cache = ReadPages(*other, *file);
    ASSERT_FALSE(cache) << pages;
    EXPECT_EQ(cache.error().code, Code::kOutOfMemory);
    EXPECT_EQ(small.used(), 0u);
  }
  kv::KvHost enough(12 * 4096);
  auto other = enough.Pool(kHybrid);
  EXPECT_TRUE(ReadPages(*other, *file));
}

}  // namespace
}  // namespace mirage::session
