// SPDX-License-Identifier: Apache-2.0

// Models in several files.

#include <gtest/gtest.h>

#include "format/gguf.h"
#include "format/shards.h"
#include "tests/format/gguf_builder.h"

namespace mirage::format {
namespace {

using test::BytesSource;
using test::GgufBuilder;

using Sources = std::vector<std::shared_ptr<const ByteSource>>;

// Shard `no` of two, with the tensors of the names given.
GgufBuilder Shard(uint16_t no, const std::vector<std::string>& tensors) {
  GgufBuilder builder;
  builder.AddKey("general.architecture", "llama")
      .AddKey("split.no", no)
      .AddKey("split.count", uint16_t{2})
      .AddKey("split.tensors.count", int32_t{3});
  for (const std::string& name : tensors) builder.AddTensor(name, {2}, {static_cast<float>(no), 1});
  return builder;
}

Sources Both(const GgufBuilder& first, const GgufBuilder& second) {
  return {std::make_shared<BytesSource>(first.Build(), "one"),
          std::make_shared<BytesSource>(second.Build(), "two")};
}

void ExpectCorrupt(const Result<ModelFile>& file, std::initializer_list<std::string_view> named) {
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kCorrupt) << file.error().message;
  for (const std::string_view part : named)
    EXPECT_NE(file.error().message.find(part), std::string::npos) << file.error().message;
}

TEST(Split, ShardsMakeOneModel) {
  const auto file = ReadGguf(Both(Shard(0, {"a", "b"}), Shard(1, {"c"})));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->shards().size(), 2u);
  const TensorInfo* c = file->FindTensor("c");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->extent.shard, 1u);
  float values[2];
  ASSERT_TRUE(file->ReadTensor(*c, 0, std::as_writable_bytes(std::span(values))));
  EXPECT_EQ(values[0], 1.0f);
}

TEST(Split, ShardsMayHaveAlignmentsOfTheirOwn) {
  GgufBuilder second;
  second.Alignment(4096)
      .AddKey("split.no", uint16_t{1})
      .AddKey("split.count", uint16_t{2})
      .AddTensor("c", {1}, {9});
  const auto file = ReadGguf(Both(Shard(0, {"a", "b"}), second));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->alignment(), 32u);
  EXPECT_EQ(file->FindTensor("c")->extent.offset % 4096, 0u);
}

TEST(Split, ATensorInTwoShardsIsRefused) {
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a", "b"}), Shard(1, {"a"}))), {"'a'", "appears twice"});
}

TEST(Split, ShardsInTheWrongOrderAreRefused) {
  ExpectCorrupt(ReadGguf(Both(Shard(1, {"a", "b"}), Shard(0, {"c"}))),
                {"one: byte ", "shard 0", "'split.no' is 1, expected 0"});
}

TEST(Split, AMissingShardIsRefused) {
  Sources one = Both(Shard(0, {"a", "b"}), Shard(1, {"c"}));
  one.pop_back();
  ExpectCorrupt(ReadGguf(one), {"'split.count' is 2, expected 1", "1 file"});
}

TEST(Split, AFileThatIsNoShardIsRefusedAmongShards) {
  GgufBuilder plain;
  plain.AddTensor("c", {1}, {1});
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a", "b"}), plain)),
                {"two: shard 1", "'split.count' is missing"});
}

TEST(Split, ATensorCountThatDoesNotAddUpIsRefused) {
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a"}), Shard(1, {"c"}))),
                {"'split.tensors.count' is 3, expected 2"});
}

TEST(Split, AnotherArchitectureInALaterShardIsRefused) {
  GgufBuilder second;
  second.AddKey("general.architecture", "gemma3")
      .AddKey("split.no", uint16_t{1})
      .AddKey("split.count", uint16_t{2})
      .AddTensor("c", {1}, {1});
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a", "b"}), second)),
                {"two: byte ", "shard 1", "'gemma3'", "'llama'"});
}

TEST(Split, AnErrorNamesTheShardsFile) {
  auto second = Shard(1, {"c"});
  second.tensors()[0].offset = 1 << 20;
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a", "b"}), second)),
                {"two: byte ", "'c'", "passes the end of the file"});
  second.ClaimKeys(1000000);
  ExpectCorrupt(ReadGguf(Both(Shard(0, {"a", "b"}), second)), {"two: ", "1000000 keys"});
}

TEST(Split, LocateNamesTheFileThatHoldsTheTensor) {
  const auto file = ReadGguf(Both(Shard(0, {"a", "b"}), Shard(1, {"c"})));
  ASSERT_TRUE(file) << file.error().message;
  const auto place_of = [&](const char* tensor, uint64_t byte) {
    return file->Locate(TensorError(Code::kCorrupt, tensor, "is odd", byte).value()).message;
  };
  const uint64_t b = file->FindTensor("b")->extent.offset;
  const uint64_t c = file->FindTensor("c")->extent.offset;
  EXPECT_EQ(place_of("b", 4), "one: byte " + std::to_string(b + 4) + ": tensor 'b' is odd");
  EXPECT_EQ(place_of("c", 0), "two: byte " + std::to_string(c) + ": tensor 'c' is odd");
  EXPECT_EQ(place_of("d", 0), "one: tensor 'd' is odd");
  EXPECT_EQ(file->Locate(FileError(Code::kCorrupt, "all of it is odd").value()).message,
            "one: all of it is odd");
}

TEST(Split, TheTensorLimitIsForAllShardsTogether) {
  GgufLimits limits;
  limits.tensors = 2;
  const auto file = ReadGguf(Both(Shard(0, {"a", "b"}), Shard(1, {"c"})), limits);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kUnsupported);
}

TEST(Split, AMergedFileMayKeepASplitCountOfZeroOrOne) {
  for (const uint16_t count : {0, 1}) {
    GgufBuilder builder;
    builder.AddKey("split.count", count).AddKey("split.no", uint16_t{0}).AddTensor("a", {1}, {1});
    EXPECT_TRUE(ReadGguf({std::make_shared<BytesSource>(builder.Build())})) << count;
  }
}

TEST(ShardPaths, TheFirstShardGivesItsSiblings) {
  const std::vector<std::string> expected{"/m/x-00001-of-00003.gguf", "/m/x-00002-of-00003.gguf",
                                          "/m/x-00003-of-00003.gguf"};
  EXPECT_EQ(ShardPaths("/m/x-00001-of-00003.gguf").value(), expected);
}

TEST(ShardPaths, AnyOtherNameStandsAlone) {
  for (const char* path :
       {"model.gguf", "", "00001-of-00003.gguf", "x_00001-of-00003.gguf", "x-00001-of-00003.bin",
        "x-0001-of-00003.gguf", "x-00001-of-0000a.gguf", "x--0001-of-00003.gguf",
        "x-00001-or-00003.gguf", "x-000+1-of-00003.gguf"})
    EXPECT_EQ(ShardPaths(path).value(), std::vector<std::string>{path}) << path;
}

TEST(ShardPaths, ALaterShardIsNotAPlaceToStart) {
  for (const char* path :
       {"x-00002-of-00003.gguf", "x-00000-of-00003.gguf", "x-00001-of-00000.gguf"}) {
    const auto paths = ShardPaths(path);
    ASSERT_FALSE(paths) << path;
    EXPECT_EQ(paths.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace mirage::format
