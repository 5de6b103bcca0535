// SPDX-License-Identifier: Apache-2.0
#include "platform/output_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "temp_folder.h"

namespace mirage::platform {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

size_t FilesIn(const std::filesystem::path& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

std::string TextOf(const std::string& path) {
  const auto file = File::Open(path);
  if (!file) return "failed: " + file.error().message;
  std::string text((*file)->bytes(), '\0');
  const Status status = (*file)->ReadAt(0, std::as_writable_bytes(std::span(text)));
  return status ? text : "failed: " + status.error().message;
}

TEST(OutputFile, IsThereAfterCommitAndNotBefore) {
  const TempFolder folder;
  const std::string path = (folder.path() + "/" + "out");
  auto file = OutputFile::Create(path);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->Write(Bytes("one ")));
  ASSERT_TRUE(file->Write(Bytes("two")));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(TextOf(path), "one two");
  EXPECT_EQ(FilesIn((folder.path() + "/" + "")), 1u);
}

TEST(OutputFile, DestroyedUncommittedLeavesTheOldFile) {
  const TempFolder folder;
  const std::string path = folder.Write("out", "old");
  {
    auto file = OutputFile::Create(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write(Bytes("new")));
  }
  EXPECT_EQ(TextOf(path), "old");
  EXPECT_EQ(FilesIn((folder.path() + "/" + "")), 1u);
}

TEST(OutputFile, IsReadableByItsOwnerAlone) {
  const TempFolder folder;
  const std::string path = (folder.path() + "/" + "out");
  auto file = OutputFile::Create(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Commit());
  struct stat facts;
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST(OutputFile, MayBeReadByOthersWhereThatIsWanted) {
  const TempFolder folder;
  const std::string path = folder.path() + "/out";
  auto file = OutputFile::Create(path, OutputFile::Readers::kAsUsual);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Commit());
  const mode_t mask = umask(0);
  umask(mask);
  struct stat facts;
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0666u & ~mask);
}

TEST(OutputFile, IsWrittenAnywhereAndReadBeforeItIsThere) {
  const TempFolder folder;
  const std::string path = folder.path() + "/out";
  auto file = OutputFile::Create(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->WriteAt(3, Bytes("b")));
  ASSERT_TRUE(file->WriteAt(0, Bytes("a")));
  const auto read = file->Reopen();
  ASSERT_TRUE(read);
  std::string text(4, '?');
  ASSERT_TRUE((*read)->ReadAt(0, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, std::string("a\0\0b", 4));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(OutputFile, OfAProcessThatIsKilledLeavesTheOldFile) {
  const TempFolder folder;
  const std::string path = folder.Write("out", "old");
  const pid_t child = fork();
  if (child == 0) {
    auto file = OutputFile::Create(path);
    if (file) static_cast<void>(file->Write(Bytes("new")));
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(TextOf(path), "old");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(OutputFile, FollowsASymbolicLink) {
  const TempFolder folder;
  const std::string target = folder.Write("target", "old");
  const std::string link = folder.path() + "/link";
  std::filesystem::create_symlink(target, link);
  auto file = OutputFile::Create(link);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write(Bytes("new")));
  ASSERT_TRUE(file->Commit());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(TextOf(target), "new");
}

TEST(OutputFile, ReservesItsRoomOrSaysThatThereIsNone) {
  const TempFolder folder;
  auto file = OutputFile::Create(folder.path() + "/out");
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->Reserve(1 << 20));
  const Status most = file->Reserve(uint64_t{1} << 60);
  ASSERT_FALSE(most);
  EXPECT_EQ(most.error().code, Code::kIo) << most.error().message;
}

TEST(OutputFile, WhereItCannotBeIsNamed) {
  const TempFolder folder;
  const auto nowhere = OutputFile::Create((folder.path() + "/" + "no/such/out"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Code::kNotFound);
  EXPECT_NE(nowhere.error().message.find("no/such/out"), std::string::npos);
  const auto over_folder = OutputFile::Create((folder.path() + "/" + ""));
  ASSERT_FALSE(over_folder);
  EXPECT_EQ(over_folder.error().code, Code::kUnsupported);
  EXPECT_EQ(OutputFile::Create("").error().code, Code::kInvalidArgument);
}

TEST(OutputFile, APathThatIsADeviceIsRefused) {
  const auto device = OutputFile::Create("/dev/null");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace mirage::platform
