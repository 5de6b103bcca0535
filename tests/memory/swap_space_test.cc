// SPDX-License-Identifier: Apache-2.0
#include "memory/swap_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "tests/platform/temp_folder.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kBlock = platform::ScratchFile::kAlignment;

TEST(ExtentList, TakesTheLowestStretchThatIsLongEnough) {
  ExtentList list(10);
  const auto a = list.Take(2);
  const auto b = list.Take(5);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->offset, 0u);
  EXPECT_EQ(b->offset, 2u);
  list.Give(*a);
  EXPECT_EQ(list.Take(3)->offset, 7u);
  EXPECT_EQ(list.Take(1)->offset, 0u);
  EXPECT_EQ(list.free_bytes(), 1u);
  EXPECT_FALSE(list.Take(2));
}

TEST(ExtentList, WhatComesBackJoinsItsNeighbours) {
  ExtentList list(9);
  std::vector<SwapSpace::Extent> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(*list.Take(3));
  EXPECT_FALSE(list.Take(1));
  list.Give(taken[0]);
  list.Give(taken[2]);
  EXPECT_FALSE(list.Take(4));
  list.Give(taken[1]);
  EXPECT_EQ(list.Take(9)->offset, 0u);
}

struct Memory {
  explicit Memory(size_t blocks)
      : bytes(blocks * kBlock), data(std::aligned_alloc(kBlock, bytes)) {}
  ~Memory() { std::free(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] std::span<std::byte> all() const { return {static_cast<std::byte*>(data), bytes}; }
  [[nodiscard]] SwapSpace::Pages pages() const {
    SwapSpace::Pages pages;
    for (size_t at = 0; at < bytes; at += kBlock) pages.push_back(all().subspan(at, kBlock));
    return pages;
  }
  size_t bytes;
  void* data;
};

TEST(FileSwapSpace, GivesBackWhatWasWrittenInManyJobs) {
  const platform::TempFolder folder;
  auto file = platform::ScratchFile::Create(folder.path(), 4000 * kBlock);
  if (!file) GTEST_SKIP() << file.error().message;
  const auto transfer = MakeHostTransferEngine(2);
  const auto space = MakeFileSwapSpace(*std::move(file), *transfer, {});
  const Memory out(2000);  // 8 MiB
  for (size_t i = 0; i < out.bytes; ++i) out.all()[i] = static_cast<std::byte>(i * 31 >> 8);
  ASSERT_TRUE(space->Take(kBlock));
  const auto extent = space->Take(out.bytes);
  ASSERT_TRUE(extent);
  const auto written = space->Write(*extent, out.pages());
  ASSERT_TRUE(written);
  written->Await();
  EXPECT_TRUE(written->done());
  ASSERT_TRUE(written->outcome());
  EXPECT_GT(written->took_ns(), 0);
  const Memory in(2000);
  const auto read = space->Read(*extent, in.pages());
  ASSERT_TRUE(read);
  read->Await();
  ASSERT_TRUE(read->outcome());
  EXPECT_TRUE(std::equal(in.all().begin(), in.all().end(), out.all().begin()));
}

TEST(FileSwapSpace, AFailureIsSaidAndLogged) {
  const platform::TempFolder folder;
  auto file = platform::ScratchFile::Create(folder.path(), kBlock);
  if (!file) GTEST_SKIP() << file.error().message;
  const auto transfer = MakeHostTransferEngine(1);
  std::mutex mutex;
  std::string logged;
  const auto space =
      MakeFileSwapSpace(*std::move(file), *transfer,
                        LogSink(
                            [&](LogLevel, std::string_view, std::string_view message) {
                              const std::lock_guard lock(mutex);
                              logged += message;
                            },
                            LogLevel::kWarning));
  const Memory in(1);
  const auto read = space->Read({uint64_t{1} << 40, kBlock}, in.pages());  // past its end
  ASSERT_TRUE(read);
  read->Await();
  EXPECT_FALSE(read->outcome());
  const std::lock_guard lock(mutex);
  EXPECT_NE(logged.find("computed again"), std::string::npos);
}

}  // namespace
}  // namespace mirage::memory
