// SPDX-License-Identifier: Apache-2.0
#include "platform/scratch_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "temp_folder.h"

namespace mirage::platform {
namespace {

constexpr size_t kBlock = ScratchFile::kAlignment;

// Memory as direct access wants it.
class Blocks {
 public:
  explicit Blocks(size_t count)
      : bytes_(count * kBlock),
        memory_(static_cast<std::byte*>(std::aligned_alloc(kBlock, bytes_)), std::free) {}
  [[nodiscard]] std::span<std::byte> all() const { return {memory_.get(), bytes_}; }
  [[nodiscard]] std::span<std::byte> at(size_t index, size_t count = 1) const {
    return all().subspan(index * kBlock, count * kBlock);
  }

 private:
  size_t bytes_;
  std::unique_ptr<std::byte, void (*)(void*)> memory_;
};

// Of a file system that refuses direct access nothing can be told here.
std::unique_ptr<ScratchFile> Create(const std::string& folder, uint64_t bytes) {
  auto file = ScratchFile::Create(folder, bytes);
  if (file) return *std::move(file);
  if (file.error().code != Code::kUnsupported &&
      file.error().message.find("Invalid argument") == std::string::npos)
    ADD_FAILURE() << file.error().message;
  return nullptr;
}

TEST(ScratchFile, GivesBackPartsAsTheyWereWritten) {
  const TempFolder folder;
  const auto file = Create(folder.path(), 1000 * kBlock);
  if (file == nullptr) GTEST_SKIP() << "direct access is refused";
  // More parts than one call takes, and some longer than others.
  constexpr size_t kBlocks = 701;
  const Blocks out(kBlocks);
  for (size_t i = 0; i < kBlocks; ++i)
    std::fill(out.at(i).begin(), out.at(i).end(), static_cast<std::byte>(i * 7));
  std::vector<std::span<std::byte>> parts;
  for (size_t i = 0; i < kBlocks; i += i % 3 == 0 ? 2 : 1)
    parts.push_back(out.at(i, i % 3 == 0 ? 2 : 1));
  const Status written = file->WriteAt(5 * kBlock, parts);
  ASSERT_TRUE(written) << written.error().message;
  const Blocks in(kBlocks);
  const std::array<std::span<std::byte>, 2> halves = {in.at(0, 350), in.at(350, kBlocks - 350)};
  ASSERT_TRUE(file->ReadAt(5 * kBlock, halves));
  EXPECT_TRUE(std::equal(in.all().begin(), in.all().end(), out.all().begin()));
}

TEST(ScratchFile, HasNoName) {
  const TempFolder folder;
  const auto file = Create(folder.path(), kBlock);
  if (file == nullptr) GTEST_SKIP() << "direct access is refused";
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ScratchFile, AFolderThatIsNotThereIsNamed) {
  const auto file = ScratchFile::Create("/no/such/folder", kBlock);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kNotFound);
  EXPECT_NE(file.error().message.find("/no/such/folder"), std::string::npos);
}

TEST(ScratchFile, MoreThanTheDiskHasIsRefusedWhenItIsMade) {
  const TempFolder folder;
  if (Create(folder.path(), kBlock) == nullptr) GTEST_SKIP() << "direct access is refused";
  const auto file = ScratchFile::Create(folder.path(), uint64_t{1} << 60);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kIo);
}

TEST(ScratchFile, ReadingPastTheEndFails) {
  const TempFolder folder;
  const auto file = Create(folder.path(), kBlock);
  if (file == nullptr) GTEST_SKIP() << "direct access is refused";
  const Blocks in(1);
  const std::array<std::span<std::byte>, 1> part = {in.all()};
  EXPECT_FALSE(file->ReadAt(100 * kBlock, part));
}

}  // namespace
}  // namespace mirage::platform
