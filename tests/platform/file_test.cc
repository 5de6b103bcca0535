// SPDX-License-Identifier: Apache-2.0
#include "platform/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "temp_folder.h"

namespace mirage::platform {
namespace {

std::string TextAt(const ByteSource& source, uint64_t offset, size_t count) {
  std::string text(count, '\0');
  const Status status = source.ReadAt(offset, std::as_writable_bytes(std::span(text)));
  return status ? text : "failed: " + status.error().message;
}

TEST(File, ReadsWhatIsThere) {
  const TempFolder folder;
  const std::string path = folder.Write("model", "0123456789");
  const auto file = File::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->bytes(), 10u);
  EXPECT_EQ((*file)->name(), path);
  EXPECT_EQ(TextAt(**file, 3, 4), "3456");
  EXPECT_EQ(TextAt(**file, 10, 0), "");
}

TEST(File, PastTheEndIsCorrupt) {
  const TempFolder folder;
  const auto file = File::Open(folder.Write("model", "0123456789"));
  ASSERT_TRUE(file);
  std::array<std::byte, 4> out;
  EXPECT_EQ((*file)->ReadAt(8, out).error().code, Code::kCorrupt);
  EXPECT_EQ((*file)->ReadAt(UINT64_MAX - 1, out).error().code, Code::kCorrupt);
}

TEST(File, ThatBecameShorterIsCorruptAndNamesTheByte) {
  const TempFolder folder;
  const std::string path = folder.Write("model", "0123456789");
  const auto file = File::Open(path);
  ASSERT_TRUE(file);
  ASSERT_EQ(truncate(path.c_str(), 5), 0);
  std::array<std::byte, 8> out;
  const Status status = (*file)->ReadAt(0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kCorrupt);
  EXPECT_NE(status.error().message.find("ends at 5, had 10 bytes"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(MappedFile::Map((*file)->descriptor(), (*file)->name(), (*file)->bytes()).error().code,
            Code::kCorrupt);
}

TEST(File, MissingIsNotFoundAndNamed) {
  const auto file = File::Open("/nowhere/model.gguf");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kNotFound);
  EXPECT_NE(file.error().message.find("/nowhere/model.gguf"), std::string::npos);
}

TEST(File, WhatIsNotAFileIsRefusedByItsKind) {
  const TempFolder folder;
  const std::string pipe = folder.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const auto refusal = [](const std::string& path) {
    const auto file = File::Open(path);
    if (file) return std::string("opened");
    EXPECT_EQ(file.error().code, Code::kUnsupported);
    return file.error().message.substr(path.size());
  };
  EXPECT_EQ(refusal(folder.path()), " is a folder, not a file");
  EXPECT_EQ(refusal(pipe), " is a pipe, not a file");
  EXPECT_EQ(refusal("/dev/null"), " is a device, not a file");
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const auto file = File::FromDescriptor(sockets[0], "fd");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message, "fd is a socket, not a file");
  close(sockets[0]);
  close(sockets[1]);
}

TEST(File, FromADescriptorOutlivesItAndLeavesItsOffsetAlone) {
  const TempFolder folder;
  const int fd = open(folder.Write("model", "0123456789").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(lseek(fd, 6, SEEK_SET), 6);
  const auto file = File::FromDescriptor(fd, "given");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(TextAt(**file, 0, 3), "012");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 6);
  close(fd);
  EXPECT_EQ(TextAt(**file, 7, 3), "789");
}

TEST(File, FromADescriptorOfMemoryWorks) {
  const int fd = memfd_create("model", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "abcdef", 6), 6);
  const auto file = File::FromDescriptor(fd, "memfd");
  close(fd);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(TextAt(**file, 2, 3), "cde");
}

TEST(File, FromNoDescriptorFails) {
  const auto file = File::FromDescriptor(-1, "fd");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kIo);
}

TEST(MappedFile, ShowsTheFilesBytesAlsoAfterADrop) {
  const TempFolder folder;
  const std::string text(3 * 4096 + 17, 'm');
  const auto file = File::Open(folder.Write("pack", text));
  ASSERT_TRUE(file);
  auto mapped = MappedFile::Map((*file)->descriptor(), (*file)->name(), (*file)->bytes());
  ASSERT_TRUE(mapped) << mapped.error().message;
  ASSERT_EQ(mapped->data().size(), text.size());
  EXPECT_EQ(std::memcmp(mapped->data().data(), text.data(), text.size()), 0);
  mapped->Drop(0, UINT64_MAX);
  mapped->Drop(UINT64_MAX, 1);
  EXPECT_EQ(std::memcmp(mapped->data().data(), text.data(), text.size()), 0);
}

TEST(File, IsMappedAndTellsWhenItBecameShorter) {
  const TempFolder folder;
  const std::string path = folder.Write("f", std::string(10000, 'x'));
  const auto file = File::Open(path);
  ASSERT_TRUE(file);
  const auto mapping = (*file)->Mapping();
  ASSERT_EQ(mapping.size(), 10000u);
  EXPECT_EQ(mapping[9999], std::byte{'x'});
  EXPECT_EQ((*file)->Mapping().data(), mapping.data());
  EXPECT_TRUE((*file)->CheckMapping());
  (*file)->DropMapping(0, 10000);
  EXPECT_EQ(mapping[5000], std::byte{'x'});
  ASSERT_EQ(truncate(path.c_str(), 100), 0);
  EXPECT_EQ((*file)->CheckMapping().error().code, Code::kCorrupt);
}

TEST(File, TwoPathsMayBeOneFile) {
  const TempFolder folder;
  const std::string a = folder.Write("a", "x");
  const std::string b = folder.Write("b", "x");
  EXPECT_TRUE(SameFile(a, folder.path() + "/./a"));
  EXPECT_FALSE(SameFile(a, b));
  EXPECT_FALSE(SameFile(a, folder.path() + "/none"));
}

TEST(MappedFile, OfAnEmptyFileIsEmpty) {
  const TempFolder folder;
  const auto file = File::Open(folder.Write("empty", ""));
  ASSERT_TRUE(file);
  const auto mapped = MappedFile::Map((*file)->descriptor(), (*file)->name(), (*file)->bytes());
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(mapped->data().empty());
}

}  // namespace
}  // namespace mirage::platform
