// SPDX-License-Identifier: Apache-2.0
#include "format/session_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "format/checksum.h"

namespace mirage::format {
namespace {

using Bytes = std::vector<std::byte>;

// Pages of recognisable bytes.
class Pages {
 public:
  explicit Pages(const SavedSession& session) {
    for (size_t g = 0; g < session.groups.size(); ++g) {
      const SavedPages& group = session.groups[g];
      Bytes& bytes = groups_.emplace_back(group.page_bytes * group.layers * group.pages);
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + g);
      shapes_.push_back(group);
    }
  }
  [[nodiscard]] std::span<std::byte> Page(size_t group, uint64_t page, uint32_t layer) {
    const SavedPages& shape = shapes_[group];
    return std::span(groups_[group])
        .subspan((page * shape.layers + layer) * shape.page_bytes, shape.page_bytes);
  }
  [[nodiscard]] const Bytes& group(size_t index) const { return groups_[index]; }

 private:
  std::vector<Bytes> groups_;
  std::vector<SavedPages> shapes_;
};

SavedSession Example() {
  SavedSession session;
  session.model.fill(0x5a);
  session.content = SavedContent::kConversation;
  session.context = 4096;
  session.computed = 70;
  session.cached = 64;
  session.page_layout = 3;
  for (int32_t i = 0; i < 75; ++i) session.tokens.push_back(i * 3);
  session.conversation = R"({"messages":[{"role":"user","content":"Hi"}]})";
  session.groups = {{256, 3, 0, 2}, {128, 2, 32, 1}, {64, 5, 64, 1, 7}};
  return session;
}

Bytes Write(const SavedSession& session, Pages& pages) {
  Bytes bytes;
  const Status status = WriteSession(
      session,
      [&](size_t group, uint64_t page, uint32_t layer) { return pages.Page(group, page, layer); },
      [&](std::span<const std::byte> piece) -> Status {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        return {};
      });
  EXPECT_TRUE(status) << status.error().message;
  return bytes;
}

// Opens and reads all pages; the first error.
Status ReadAll(const Bytes& bytes) {
  const MemorySource source(bytes);
  MIRAGE_TRY_ASSIGN(const SessionFile file, SessionFile::Open(source));
  Bytes page;
  for (size_t g = 0; g < file.session().groups.size(); ++g) {
    page.resize(file.session().groups[g].page_bytes);
    MIRAGE_TRY(file.ReadPages(g, [&](uint64_t, uint32_t) { return std::span(page); }));
  }
  return {};
}

// The header's own checksum made right again.
void Seal(Bytes& bytes) {
  uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 12, sizeof header_bytes);
  const uint64_t checksum = ChecksumOf(std::span(bytes).subspan(24, header_bytes));
  std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
}

TEST(SessionFile, WhatIsWrittenIsRead) {
  const SavedSession session = Example();
  Pages pages(session);
  const Bytes bytes = Write(session, pages);
  EXPECT_EQ(bytes.size(), SessionFileBytes(session));

  const MemorySource source(bytes);
  const Result<SessionFile> file = SessionFile::Open(source);
  ASSERT_TRUE(file) << file.error().message;
  const SavedSession& read = file->session();
  EXPECT_EQ(read.model, session.model);
  EXPECT_EQ(read.content, session.content);
  EXPECT_EQ(read.context, session.context);
  EXPECT_EQ(read.computed, session.computed);
  EXPECT_EQ(read.cached, session.cached);
  EXPECT_EQ(read.page_layout, session.page_layout);
  EXPECT_EQ(read.tokens, session.tokens);
  EXPECT_EQ(read.conversation, session.conversation);
  ASSERT_EQ(read.groups.size(), session.groups.size());
  EXPECT_EQ(read.groups[1].first_position, 32u);
  EXPECT_EQ(read.groups[1].state_layout, 0u);
  EXPECT_EQ(read.groups[2].state_layout, 7u);
  Pages copy(read);
  for (size_t g = 0; g < read.groups.size(); ++g) {
    const SavedPages& shape = read.groups[g];
    for (uint64_t p = 0; p < shape.pages; ++p)
      for (uint32_t l = 0; l < shape.layers; ++l)
        std::memset(copy.Page(g, p, l).data(), 0, shape.page_bytes);
    const Status status = file->ReadPages(
        g, [&](uint64_t page, uint32_t layer) { return copy.Page(g, page, layer); });
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(copy.group(g), pages.group(g));
  }
}

TEST(SessionFile, AnEmptySessionIsReadToo) {
  const SavedSession session;
  Pages pages(session);
  const Bytes bytes = Write(session, pages);
  EXPECT_EQ(bytes.size(), SessionFileBytes(session));
  EXPECT_TRUE(ReadAll(bytes));
}

TEST(SessionFile, EveryChangedByteIsNoticed) {
  const SavedSession session = Example();
  Pages pages(session);
  const Bytes good = Write(session, pages);
  for (size_t i = 0; i < good.size(); ++i) {
    Bytes bytes = good;
    bytes[i] ^= std::byte{0x10};
    const Status status = ReadAll(bytes);
    ASSERT_FALSE(status) << i;
    EXPECT_TRUE(status.error().code == Code::kCorrupt || status.error().code == Code::kUnsupported)
        << status.error().message;
  }
}

TEST(SessionFile, BytesAfterTheLastSectionAreNoticed) {
  for (const SavedSession& session : {Example(), SavedSession()}) {
    Pages pages(session);
    Bytes bytes = Write(session, pages);
    const std::string end = std::to_string(bytes.size());
    bytes.resize(bytes.size() + 3);
    const Status status = ReadAll(bytes);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kCorrupt);
    EXPECT_NE(status.error().message.find("byte " + end + ": 3 bytes after the last section"),
              std::string::npos)
        << status.error().message;
  }
}

TEST(SessionFile, EveryTruncationIsNoticed) {
  const SavedSession session = Example();
  Pages pages(session);
  const Bytes good = Write(session, pages);
  for (size_t length = 0; length < good.size(); ++length) {
    const Status status = ReadAll(Bytes(good.begin(), good.begin() + static_cast<long>(length)));
    ASSERT_FALSE(status) << length;
    EXPECT_EQ(status.error().code, Code::kCorrupt) << status.error().message;
  }
}

// A forged header passes its checksum; nothing else may be believed.
TEST(SessionFile, AForgedHeaderIsRefusedOrHarmless) {
  const SavedSession session = Example();
  Pages pages(session);
  const Bytes good = Write(session, pages);
  uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, good.data() + 12, sizeof header_bytes);
  for (size_t i = 24; i < 24 + header_bytes; ++i) {
    for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      Bytes bytes = good;
      bytes[i] = static_cast<std::byte>(value);
      Seal(bytes);
      const Status status = ReadAll(bytes);
      if (!status) {
        EXPECT_TRUE(status.error().code == Code::kCorrupt ||
                    status.error().code == Code::kUnsupported)
            << status.error().message;
      }
    }
  }
}

TEST(SessionFile, OtherFilesAndLaterVersionsAreNamed) {
  const Bytes other(100, std::byte{'x'});
  EXPECT_NE(ReadAll(other).error().message.find("not a saved session"), std::string::npos);
  const SavedSession session = Example();
  Pages pages(session);
  Bytes later = Write(session, pages);
  later[8] = std::byte{3};
  const Status status = ReadAll(later);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnsupported);
  EXPECT_NE(status.error().message.find("version 3"), std::string::npos);
}

// Only files that a reader of version 1 would misread are of version 2.
TEST(SessionFile, ThoseOfAdaptersAreOfALaterVersion) {
  SavedSession session = Example();
  Pages pages(session);
  EXPECT_EQ(Write(session, pages)[8], std::byte{1});
  session.adapters.fill(0x3c);
  const Bytes bytes = Write(session, pages);
  EXPECT_EQ(bytes[8], std::byte{2});
  EXPECT_EQ(bytes.size(), SessionFileBytes(session));
  const MemorySource source(bytes);
  const Result<SessionFile> file = SessionFile::Open(source);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->session().adapters, session.adapters);
  EXPECT_TRUE(ReadAll(bytes));
}

TEST(SessionFile, AFailedWriteStopsAtOnce) {
  const SavedSession session = Example();
  Pages pages(session);
  int calls = 0;
  const Status status = WriteSession(
      session,
      [&](size_t group, uint64_t page, uint32_t layer) { return pages.Page(group, page, layer); },
      [&](std::span<const std::byte>) -> Status {
        return ++calls == 3 ? Fail(Code::kIo, "disk full") : Status();
      });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "disk full");
  EXPECT_EQ(calls, 3);
}

TEST(Checksum, PiecesGiveWhatTheWholeGives) {
  Bytes bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  for (const size_t size : {0, 1, 17, 240, 241, 1024, 5000}) {
    const std::span<const std::byte> all = std::span(bytes).first(size);
    Checksum pieces;
    for (size_t at = 0; at < size; at += 13)
      pieces.Add(all.subspan(at, std::min<size_t>(13, size - at)));
    EXPECT_EQ(pieces.Value(), ChecksumOf(all)) << size;
  }
}

// Of the algorithm's own specification: a file written today is read by every later build.
TEST(Checksum, IsXxh3) { EXPECT_EQ(ChecksumOf({}), 0x2d06800538d394c2u); }

}  // namespace
}  // namespace mirage::format
