// SPDX-License-Identifier: Apache-2.0
// The pack's file format alone: what the writer writes the reader reads; hostile headers.

#include "format/pack_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "format/checksum.h"
#include "pack_file_generated.h"

namespace mirage::format {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;

constexpr uint64_t kRegionAt = 4096;
constexpr uint64_t kFileBytes = 3 * 4096;

// A file with this header whose checksums are right; the bytes behind it are zero.
std::vector<std::byte> FileWith(const Builder& builder) {
  std::vector<std::byte> file(kFileBytes + builder.GetSize());
  std::memcpy(file.data(), "MIRAGEPK", 8);
  const uint16_t version[2] = {1, 0};
  const uint32_t header_bytes = builder.GetSize();
  const std::span<const std::byte> header(
      reinterpret_cast<const std::byte*>(builder.GetBufferPointer()), header_bytes);
  const uint64_t checksum = ChecksumOf(header);
  std::memcpy(file.data() + 8, version, 4);
  std::memcpy(file.data() + 12, &header_bytes, 4);
  std::memcpy(file.data() + 16, &checksum, 8);
  std::copy(header.begin(), header.end(), file.begin() + 24);
  return file;
}

Result<ModelFile> Open(std::vector<std::byte> file) {
  struct Owned final : ByteSource {
    explicit Owned(std::vector<std::byte> b) : data(std::move(b)), source(data) {}
    const std::string& name() const override { return source.name(); }
    uint64_t bytes() const override { return source.bytes(); }
    Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      return source.ReadAt(offset, out);
    }
    std::vector<std::byte> data;
    MemorySource source;
  };
  return ReadPack({std::make_shared<Owned>(std::move(file))});
}

// A header with one region of two OS pages and these tensors.
template <typename AddTensors>
std::vector<std::byte> OneRegion(const AddTensors& add_tensors) {
  Builder builder;
  builder.ForceDefaults(true);
  std::vector<flatbuffers::Offset<pack::Tensor>> tensors;
  add_tensors(builder, &tensors);
  const uint64_t base = std::max<uint64_t>(kRegionAt, (builder.GetSize() + 8192) / 4096 * 4096);
  const std::vector<pack::Section> regions = {{base, 4096, 0}};
  const pack::Section keys(base, 0, ChecksumOf({}));
  const auto regions_offset = builder.CreateVectorOfStructs(regions);
  const auto tensors_offset = builder.CreateVector(tensors);
  builder.Finish(pack::CreatePack(builder, kPackLayout, &keys, 0, tensors_offset, regions_offset));
  std::vector<std::byte> file = FileWith(builder);
  file.resize(base + 4096);
  return file;
}

flatbuffers::Offset<pack::Tensor> Matrix(Builder& builder, const char* name,
                                         const std::vector<pack::Run>& runs) {
  const auto name_offset = builder.CreateString(name);
  const auto dims = builder.CreateVector(std::vector<uint64_t>{32, 16});
  const auto runs_offset = builder.CreateVectorOfStructs(runs);
  return pack::CreateTensor(builder, name_offset, 2 /* Q4_0 */, dims, runs_offset, 0);
}

void ExpectCorrupt(const Result<ModelFile>& file, const char* what) {
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kCorrupt) << file.error().message;
  EXPECT_NE(file.error().message.find(what), std::string::npos) << file.error().message;
}

TEST(PackFile, RunsThatAreNotAllRowsInOrderAreCorrupt) {
  const std::vector<std::vector<pack::Run>> bad = {
      {{8, 8, kRegionAt}},                      // does not begin
      {{0, 8, kRegionAt}},                      // does not end
      {{0, 8, kRegionAt}, {0, 8, kRegionAt}},   // twice
      {{0, 0, kRegionAt}, {0, 16, kRegionAt}},  // none
      {{0, ~0ull, kRegionAt}},
      {{~0ull, 1, kRegionAt}},
  };
  for (const auto& runs : bad) {
    const auto file = Open(OneRegion(
        [&](Builder& builder, auto* tensors) { tensors->push_back(Matrix(builder, "a", runs)); }));
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, Code::kCorrupt) << file.error().message;
    EXPECT_NE(file.error().message.find("'a'"), std::string::npos) << file.error().message;
  }
}

TEST(PackFile, TwoTensorsOfOneNameAreCorrupt) {
  const auto file = Open(OneRegion([](Builder& builder, auto* tensors) {
    tensors->push_back(Matrix(builder, "a", {{0, 16, 8192}}));
    tensors->push_back(Matrix(builder, "a", {{0, 16, 8192 + 288}}));
  }));
  ExpectCorrupt(file, "'a' appears twice");
}

// A vector that many tables name would become memory for each of them.
TEST(PackFile, RunsThatTensorsShareAreRefusedBeforeTheyTakeMemory) {
  constexpr uint64_t kRows = 8192;
  const auto file = Open(OneRegion([&](Builder& builder, auto* tensors) {
    std::vector<pack::Run> runs;
    for (uint64_t row = 0; row < kRows; ++row) runs.emplace_back(row, 1, kRegionAt);
    const auto dims = builder.CreateVector(std::vector<uint64_t>{32, kRows});
    const auto shared = builder.CreateVectorOfStructs(runs);
    const auto name = builder.CreateString("a");
    for (int i = 0; i < 1000; ++i)
      tensors->push_back(pack::CreateTensor(builder, name, 2, dims, shared, 0));
  }));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kCorrupt);
}

TEST(PackFile, ATensorOutsideOfTheSectionsIsCorrupt) {
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{4000}, uint64_t{8192 + 4096 - 287}, ~uint64_t{0}}) {
    const auto file = Open(OneRegion([&](Builder& builder, auto* tensors) {
      tensors->push_back(Matrix(builder, "a", {{0, 16, offset}}));
    }));
    ExpectCorrupt(file, "outside of the sections");
  }
}

TEST(PackFile, AnotherLayoutOfRowsIsRefused) {
  Builder builder;
  const pack::Section keys(4096, 0, ChecksumOf({}));
  builder.Finish(pack::CreatePack(builder, kPackLayout + 1, &keys));
  const auto file = Open(FileWith(builder));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kUnsupported);
  EXPECT_NE(file.error().message.find("layout 2"), std::string::npos) << file.error().message;
}

// As shards that begin with one are opened.
TEST(PackFile, ManyFilesAreNoPack) { EXPECT_EQ(ReadPack({}).error().code, Code::kUnsupported); }

}  // namespace
}  // namespace mirage::format
