// SPDX-License-Identifier: Apache-2.0
// What the published tokenizers make of every text, ours make of it: for the vocabularies in the
// folder that MIRAGE_TEST_VOCABS names and for every family of pre-tokenizers.
//
// The goldens beside the vocabularies are checksums; tokenizer_make_goldens.py says how they are
// laid out, and differential.py shows by hand what differs.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "format/open.h"
#include "session/vocabulary.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace mirage::text {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kNotFollowed = 0xFFFFFFFF;

struct Checksum {
  uint32_t count, crc;
  bool operator==(const Checksum&) const = default;
};

uint32_t Crc32(std::span<const uint32_t> numbers) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFF;
  for (const uint32_t number : numbers)
    for (int shift = 0; shift < 32; shift += 8)
      crc = crc >> 8 ^ kTable[(crc ^ number >> shift) & 0xFF];
  return ~crc;
}

Checksum ChecksumOf(std::span<const uint32_t> numbers) {
  return {static_cast<uint32_t>(numbers.size()), Crc32(numbers)};
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<Checksum> ReadChecksums(const fs::path& path) {
  const std::string bytes = ReadAll(path);
  std::vector<Checksum> checksums(bytes.size() / sizeof(Checksum));
  std::memcpy(checksums.data(), bytes.data(), checksums.size() * sizeof(Checksum));
  return checksums;
}

class TokenizerGolden : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MIRAGE_TEST_VOCABS");
    if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_VOCABS is not set";
    folder_ = folder;
    if (!fs::exists(folder_ / "goldens"))
      GTEST_SKIP() << folder_ / "goldens is not there: tools/fetch_test_data.sh all makes it";
    joined_ = ReadAll(folder_ / "goldens/texts.bin");
    for (std::string_view rest = joined_; rest.size() >= 4;) {
      uint32_t bytes;
      std::memcpy(&bytes, rest.data(), sizeof bytes);
      texts_.push_back(rest.substr(4, bytes));
      rest.remove_prefix(4 + size_t{bytes});
    }
    ASSERT_GT(texts_.size(), 50000u);
  }

  // Compares numbers_of(text) with a file of goldens, and shows the first texts that differ.
  template <typename NumbersOf>
  void Compare(const fs::path& goldens, NumbersOf&& numbers_of) {
    const std::vector<Checksum> wanted = ReadChecksums(goldens);
    ASSERT_EQ(wanted.size(), texts_.size()) << goldens;
    size_t differing = 0, not_followed = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i].count == kNotFollowed) {
        ++not_followed;
        continue;
      }
      const std::vector<uint32_t> numbers = numbers_of(texts_[i]);
      if (ChecksumOf(numbers) == wanted[i] || differing++ >= 3) continue;
      ADD_FAILURE() << goldens.filename() << ", text " << i << ": " << texts_[i].substr(0, 60)
                    << ": " << numbers.size() << " of them, not " << wanted[i].count
                    << ", or others";
    }
    EXPECT_EQ(differing, 0u) << goldens.filename();
    // What is not followed is explained one by one, so it stays rare.
    EXPECT_LT(not_followed, texts_.size() / 20) << goldens.filename();
    compared_ += wanted.size() - not_followed;
  }

  fs::path folder_;
  std::string joined_;
  std::vector<std::string_view> texts_;
  size_t compared_ = 0;
};

TEST_F(TokenizerGolden, IdsAreThoseOfThePublishedTokenizers) {
  size_t vocabularies = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "goldens")) {
    if (entry.path().extension() != ".ids") continue;
    const fs::path path = folder_ / (entry.path().stem().string() + ".gguf");
    const std::string bytes = ReadAll(path);
    const auto source = std::make_shared<MemorySource>(std::as_bytes(std::span(bytes)), path);
    const auto file = format::OpenModel({source});
    ASSERT_TRUE(file) << path << ": " << file.error().message;
    auto vocabulary = session::ReadVocabulary(file->metadata());
    ASSERT_TRUE(vocabulary) << path << ": " << vocabulary.error().message;
    const auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
    ASSERT_TRUE(tokenizer) << path << ": " << tokenizer.error().message;
    Compare(entry.path(), [&](std::string_view text) {
      const auto ids =
          (*tokenizer)->Encode(text, {.add_special = false, .parse_special = false}).value();
      return std::vector<uint32_t>(ids.begin(), ids.end());
    });
    ++vocabularies;
  }
  EXPECT_GE(vocabularies, 17u);
  std::cout << vocabularies << " vocabularies, " << compared_ << " texts\n";
}

TEST_F(TokenizerGolden, PiecesAreThoseOfThePublishedPreTokenizers) {
  size_t families = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "goldens")) {
    if (entry.path().extension() != ".pieces") continue;
    const auto pre_tokenizer = PreTokenizer::Create(entry.path().stem().string());
    ASSERT_TRUE(pre_tokenizer && pre_tokenizer->known()) << entry.path();
    PreTokenizer::Scratch scratch;
    Compare(entry.path(), [&](std::string_view text) {
      std::vector<uint32_t> sizes;
      pre_tokenizer->Split(text, &scratch, [&](std::string_view piece) {
        sizes.push_back(static_cast<uint32_t>(piece.size()));
      });
      return sizes;
    });
    ++families;
  }
  EXPECT_GE(families, 29u);
  std::cout << families << " families, " << compared_ << " texts\n";
}

}  // namespace
}  // namespace mirage::text
