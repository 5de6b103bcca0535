// SPDX-License-Identifier: Apache-2.0
// Reads past the cache: every way in which a stretch can lie, many at once, and files that end.

#include "platform/direct_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "platform/file.h"
#include "temp_folder.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kPage = DirectReader::kAlignment;

// Memory that lies as a file's bytes from `offset` on.
class Aligned {
 public:
  Aligned(uint64_t offset, size_t bytes) : memory_(bytes + 2 * kPage) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    out_ = std::span(memory_).subspan((offset - address) % kPage, bytes);
  }
  [[nodiscard]] std::span<std::byte> out() const { return out_; }

 private:
  std::vector<std::byte> memory_;
  std::span<std::byte> out_;
};

class DirectReaderTest : public testing::Test {
 protected:
  DirectReaderTest() {
    std::mt19937 random(7);
    for (char& byte : content_) byte = static_cast<char>(random());
    file_ = *File::Open(folder_.Write("model", content_));
    Result<std::unique_ptr<DirectReader>> reader =
        DirectReader::Open(file_->descriptor(), file_->name());
    if (reader) reader_ = *std::move(reader);
  }
  // Of a file system in memory there is nothing to read directly.
  void SetUp() override {
    Aligned probe(0, kPage);
    if (reader_ == nullptr || !reader_->ReadAt(0, probe.out())) GTEST_SKIP() << "refused here";
  }
  // Into memory that lies as the file's bytes, and elsewhere.
  void ExpectRead(uint64_t offset, size_t bytes) const {
    for (const size_t shift : {size_t{0}, size_t{1}, size_t{64}, size_t{2048}, kPage - 1})
      ExpectReadTo(Aligned(offset, bytes + 3 * kPage).out().subspan(kPage), shift, offset, bytes);
  }
  // To memory[shift], and nowhere else.
  void ExpectReadTo(std::span<std::byte> memory, size_t shift, uint64_t offset,
                    size_t bytes) const {
    constexpr std::byte kUntouched{0x5A};
    std::fill(memory.begin(), memory.end(), kUntouched);
    const std::span<std::byte> out = memory.subspan(shift, bytes);
    const Status status = reader_->ReadAt(offset, out);
    ASSERT_TRUE(status) << offset << "+" << bytes << ": " << status.error().message;
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out.data()), bytes),
              std::string_view(content_).substr(offset, bytes))
        << offset << "+" << bytes << " to " << shift;
    const auto untouched = [&](std::span<const std::byte> part) {
      return std::all_of(part.begin(), part.end(), [&](std::byte b) { return b == kUntouched; });
    };
    EXPECT_TRUE(untouched(memory.first(shift))) << offset << "+" << bytes << " to " << shift;
    EXPECT_TRUE(untouched(memory.subspan(shift + bytes))) << offset << "+" << bytes;
  }

  const TempFolder folder_;
  std::string content_ = std::string((5 << 20) + 1234, '\0');  // many blocks, and a part of one
  std::unique_ptr<File> file_;
  std::unique_ptr<DirectReader> reader_;
};

TEST_F(DirectReaderTest, ReadsWhatIsThereHoweverItLies) {
  const uint64_t end = content_.size();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, kPage - 1, kPage, kPage + 32, 3 * kPage})
    for (const uint64_t bytes : {uint64_t{1}, uint64_t{100}, kPage - 1, kPage, kPage + 1, 2 * kPage,
                                 uint64_t{1} << 20, (uint64_t{4} << 20) + 77})
      ExpectRead(offset, bytes);
  ExpectRead(end - 1, 1);
  ExpectRead(end - 1234, 1234);
  ExpectRead(end - 3 * kPage - 5, 3 * kPage + 5);
  ExpectRead(0, end);
}

TEST_F(DirectReaderTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i)
    threads.emplace_back([this, i] {
      for (uint64_t n = 0; n < 8; ++n) ExpectRead(i * 100 + n * kPage, (uint64_t{1} << 20) + n);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(DirectReaderTest, WithoutRings) {
  reader_ = *DirectReader::Open(file_->descriptor(), file_->name(), DirectReader::Rings::kNone);
  ExpectRead(0, content_.size());
  ExpectRead(kPage + 32, (uint64_t{2} << 20) + 77);
}

TEST_F(DirectReaderTest, WhatAFileNoLongerHasIsForAnOrdinaryReadToTell) {
  ASSERT_EQ(truncate(file_->name().c_str(), 2 * kPage + 10), 0);
  for (const auto rings : {DirectReader::Rings::kWhereThereAre, DirectReader::Rings::kNone}) {
    reader_ = *DirectReader::Open(file_->descriptor(), file_->name(), rings);
    for (const uint64_t bytes : {3 * kPage, uint64_t{1} << 20, uint64_t{4} << 20}) {
      const Aligned memory(0, bytes);
      EXPECT_EQ(reader_->ReadAt(0, memory.out()).error().code, Code::kUnsupported) << bytes;
    }
    const Aligned memory(kPage, kPage + 11);
    EXPECT_EQ(reader_->ReadAt(kPage, memory.out()).error().code, Code::kUnsupported);
    ExpectRead(kPage, kPage + 10);
  }
  const Aligned memory(0, uint64_t{1} << 20);
  const Status status = file_->ReadUncached(0, memory.out());
  EXPECT_EQ(status.error().code, Code::kCorrupt);
  EXPECT_NE(status.error().message.find("ends at"), std::string::npos) << status.error().message;
}

TEST_F(DirectReaderTest, AFileReadsAtAnyAddress) {
  const Aligned memory(5000, (1 << 20) + 64);
  for (const size_t shift : {size_t{0}, size_t{1}, size_t{64}}) {
    const std::span<std::byte> out = memory.out().subspan(shift, 1 << 20);
    ASSERT_TRUE(file_->ReadUncached(5000, out));
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out.data()), out.size()),
              std::string_view(content_).substr(5000, out.size()));
  }
  EXPECT_EQ(file_->ReadUncached(content_.size() - 5, memory.out().first(10)).error().code,
            Code::kCorrupt);
}

}  // namespace
}  // namespace mirage::platform
