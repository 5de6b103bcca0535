// SPDX-License-Identifier: Apache-2.0

// Files that are wrong on purpose, one way each. Where a way is the cause of a published
// vulnerability of another reader, its number stands beside the test.

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "format/gguf.h"
#include "tests/format/gguf_builder.h"

namespace mirage::format {
namespace {

using test::BytesSource;
using test::GgufBuilder;
using test::OneShard;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

void ExpectError(const std::vector<std::byte>& file, Code code,
                 std::initializer_list<std::string_view> named, const GgufLimits& limits = {}) {
  const auto result = ReadGguf(OneShard(file), limits);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code) << result.error().message;
  for (const std::string_view part : named)
    EXPECT_NE(result.error().message.find(part), std::string::npos)
        << "'" << part << "' not in: " << result.error().message;
}

// A right file with one key and one tensor, to be spoiled.
GgufBuilder Simple() {
  GgufBuilder builder;
  builder.AddKey("general.architecture", "llama").AddTensor("weight", {8}, std::vector<float>(8));
  return builder;
}

std::vector<std::byte> ArrayValue(ValueType element, uint64_t count, size_t payload_bytes = 0) {
  std::vector<std::byte> value;
  GgufBuilder::Put(static_cast<uint32_t>(element), value);
  GgufBuilder::Put(count, value);
  value.resize(value.size() + payload_bytes);
  return value;
}

constexpr uint32_t kArray = static_cast<uint32_t>(ValueType::kArray);
constexpr uint32_t kString = static_cast<uint32_t>(ValueType::kString);

// --- Head
// ------------------------------------------------------------------------------------------------------

TEST(HostileGguf, NoFileIsTheCallersMistake) {
  EXPECT_EQ(ReadGguf({}).error().code, Code::kInvalidArgument);
}

TEST(HostileGguf, OtherMagicIsRefused) {
  auto file = Simple().Build();
  file[0] = std::byte{'g'};
  ExpectError(file, Code::kCorrupt, {"magic", "byte 0"});
}

TEST(HostileGguf, Version1IsRefusedByName) {
  ExpectError(Simple().Version(1).Build(), Code::kUnsupported, {"version 1,"});
}

TEST(HostileGguf, AVersionOfTheFutureIsRefusedByName) {
  ExpectError(Simple().Version(4).Build(), Code::kUnsupported, {"version 4,"});
  ExpectError(Simple().Version(0).Build(), Code::kUnsupported, {"version 0,"});
}

TEST(HostileGguf, BigEndianIsRefusedByName) {
  ExpectError(Simple().Version(0x03000000).Build(), Code::kUnsupported,
              {"version 3", "big-endian"});
}

TEST(HostileGguf, EveryTruncationIsRefused) {
  const auto file = Simple()
                        .AddKey("list", std::vector<std::string>{"a", "bc"})
                        .AddKey("scores", std::vector<float>{1, 2})
                        .AddZeroTensor("second", tensor::DType::kQ8_0, {32, 2})
                        .Build();
  ASSERT_TRUE(ReadGguf(OneShard(file)));
  for (size_t bytes = 0; bytes < file.size(); ++bytes) {
    const auto result =
        ReadGguf(OneShard({file.begin(), file.begin() + static_cast<int64_t>(bytes)}));
    ASSERT_FALSE(result) << bytes;
    ASSERT_EQ(result.error().code, Code::kCorrupt) << bytes << ": " << result.error().message;
  }
}

// CVE-2024-23605: n_kv and n_tensors times the size of a struct wrapped.
TEST(HostileGguf, AKeyCountBeyondTheFileIsRefusedBeforeMemoryIsTaken) {
  ExpectError(Simple().ClaimKeys(kMost).Build(), Code::kCorrupt, {"18446744073709551615 keys"});
  ExpectError(Simple().ClaimKeys(uint64_t{1} << 60).Build(), Code::kCorrupt, {"keys"});
}

// CVE-2024-21836
TEST(HostileGguf, ATensorCountBeyondTheFileIsRefusedBeforeMemoryIsTaken) {
  ExpectError(Simple().ClaimTensors(kMost).Build(), Code::kCorrupt,
              {"18446744073709551615 tensors"});
  ExpectError(Simple().ClaimTensors(kMost / sizeof(TensorInfo) + 2).Build(), Code::kCorrupt,
              {"tensors"});
}

TEST(HostileGguf, CountsAboveTheLimitsAreRefused) {
  GgufLimits limits;
  limits.keys = 0;
  ExpectError(Simple().Build(), Code::kUnsupported, {"1 keys, the limit is 0"}, limits);
  limits = {};
  limits.tensors = 0;
  ExpectError(Simple().Build(), Code::kUnsupported, {"1 tensors, the limit is 0"}, limits);
}

TEST(HostileGguf, AHeaderAboveTheLimitIsRefused) {
  GgufLimits limits;
  limits.header_bytes = 60;
  ExpectError(Simple().Build(), Code::kCorrupt, {"limit of a header", "at 60"}, limits);
}

// --- Keys
// ------------------------------------------------------------------------------------------------------

TEST(HostileGguf, AnEmptyKeyIsRefused) {
  ExpectError(Simple().AddKey("", 1).Build(), Code::kCorrupt, {"key 1", "name of 0 bytes"});
}

TEST(HostileGguf, AKeyAboveTheLimitIsRefused) {
  ExpectError(Simple().AddKey(std::string(65536, 'k'), 1).Build(), Code::kCorrupt,
              {"name of 65536 bytes", "byte"});
}

TEST(HostileGguf, AKeyThatIsNotPrintableAsciiIsRefusedAndEscapedInTheMessage) {
  ExpectError(Simple().AddKey("bad\x1b[2J", 1).Build(), Code::kCorrupt, {"bad\\x1b[2J"});
  ExpectError(Simple().AddKey(std::string_view("nul\0", 4), 1).Build(), Code::kCorrupt,
              {"nul\\x00"});
  ExpectError(Simple().AddKey("\xc3\xa9", 1).Build(), Code::kCorrupt, {"not printable ASCII"});
}

TEST(HostileGguf, AKeyThatAppearsTwiceIsRefused) {
  ExpectError(Simple().AddKey("general.architecture", "gemma3").Build(), Code::kCorrupt,
              {"'general.architecture' appears twice"});
}

// CVE-2024-23496: length + 1 wrapped to a small allocation.
TEST(HostileGguf, AStringLengthOfAllOnesIsRefused) {
  std::vector<std::byte> value;
  GgufBuilder::Put(kMost, value);
  ExpectError(Simple().AddRawKey("text", kString, value).Build(), Code::kCorrupt,
              {"'text'", "string of 18446744073709551615 bytes"});
}

TEST(HostileGguf, AStringBeyondTheFileIsRefused) {
  std::vector<std::byte> value;
  GgufBuilder::Put(uint64_t{1} << 20, value);
  ExpectError(Simple().AddRawKey("text", kString, value).Build(), Code::kCorrupt,
              {"'text'", "1048576 bytes", "the end of the file"});
}

TEST(HostileGguf, AStringAboveTheLimitIsRefused) {
  GgufLimits limits;
  limits.string_bytes = 4;
  ExpectError(Simple().Build(), Code::kCorrupt,
              {"'general.architecture'", "string of 5 bytes", "limit is 4"}, limits);
}

TEST(HostileGguf, AnUnknownValueTypeIsRefused) {
  ExpectError(Simple().AddRawKey("odd", 13, {}).Build(), Code::kCorrupt,
              {"'odd'", "unknown value type 13"});
  ExpectError(Simple().AddRawKey("odd", 0xFFFFFFFF, {}).Build(), Code::kCorrupt, {"4294967295"});
}

TEST(HostileGguf, AnArraysBoolsAreZeroOrOneToo) {
  // Element type, count, elements.
  std::vector<std::byte> array(4 + 8 + 3);
  array[0] = static_cast<std::byte>(ValueType::kBool);
  array[4] = std::byte{3};
  array[12] = std::byte{1};
  array[14] = std::byte{2};
  ExpectError(Simple().AddRawKey("flags", static_cast<uint32_t>(ValueType::kArray), array).Build(),
              Code::kCorrupt, {"'flags'", "element 2", "bool 2"});
}

TEST(HostileGguf, ABoolThatIsNeitherZeroNorOneIsRefused) {
  const std::byte two{2};
  ExpectError(
      Simple().AddRawKey("flag", static_cast<uint32_t>(ValueType::kBool), {&two, 1}).Build(),
      Code::kCorrupt, {"'flag'", "bool 2"});
}

// CVE-2024-21825: array length times element size wrapped.
TEST(HostileGguf, AnArrayCountThatWrapsIsRefused) {
  for (const ValueType element :
       {ValueType::kU8, ValueType::kU32, ValueType::kF64, ValueType::kString})
    for (const uint64_t count : {kMost, kMost / 8 + 1, uint64_t{1} << 62, uint64_t{1} << 40})
      ExpectError(Simple().AddRawKey("list", kArray, ArrayValue(element, count, 64)).Build(),
                  Code::kCorrupt,
                  {"'list'", std::to_string(count) +
                                 (element == ValueType::kString ? " strings" : " elements")});
}

TEST(HostileGguf, AnArrayOfAnUnknownTypeIsRefused) {
  ExpectError(
      Simple().AddRawKey("list", kArray, ArrayValue(static_cast<ValueType>(77), 1, 8)).Build(),
      Code::kCorrupt, {"'list'", "unknown value type 77"});
}

TEST(HostileGguf, ArraysOfArraysAreRefused) {
  ExpectError(Simple().AddRawKey("list", kArray, ArrayValue(ValueType::kArray, 1, 64)).Build(),
              Code::kUnsupported, {"'list'", "array of arrays"});
}

TEST(HostileGguf, AStringInAnArrayIsBoundedAsAnyOther) {
  auto value = ArrayValue(ValueType::kString, 2);
  GgufBuilder::PutString("ok", value);
  GgufBuilder::Put(kMost - 7, value);
  ExpectError(Simple().AddRawKey("list", kArray, value).Build(), Code::kCorrupt,
              {"'list'", "element 1", "18446744073709551608 bytes"});
}

// llama.cpp 26690: token arrays were cast without a look at the element type.
TEST(HostileGguf, AnArrayOfAnotherElementTypeIsAnErrorWhereItIsRead) {
  const auto file =
      ReadGguf(OneShard(Simple().AddKey("tokenizer.ggml.scores", std::vector<bool>{true}).Build()));
  ASSERT_TRUE(file);
  const auto scores = file->metadata().Get<std::vector<float>>("tokenizer.ggml.scores");
  ASSERT_FALSE(scores);
  EXPECT_EQ(scores.error().code, Code::kCorrupt);
  EXPECT_NE(scores.error().message.find("tokenizer.ggml.scores"), std::string::npos);
}

TEST(HostileGguf, AFileThatShrinksAfterItWasOpenedIsAnErrorNotACrash) {
  class Shrinking final : public ByteSource {
   public:
    explicit Shrinking(std::vector<std::byte> data) : source_(std::move(data)) {}
    [[nodiscard]] const std::string& name() const override { return source_.name(); }
    [[nodiscard]] uint64_t bytes() const override { return source_.bytes(); }
    [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      if (shrunk) return Fail(Code::kIo, "read past the end");
      return source_.ReadAt(offset, out);
    }
    bool shrunk = false;

   private:
    BytesSource source_;
  };
  auto source = std::make_shared<Shrinking>(
      Simple().AddKey("words", std::vector<std::string>(1000, "word")).Build());
  const auto file = ReadGguf({source});
  ASSERT_TRUE(file) << file.error().message;
  source->shrunk = true;
  EXPECT_EQ(file->metadata().Get<StringTable>("words").error().code, Code::kIo);
  EXPECT_EQ(file->metadata().Preview(*file->metadata().Find("words"), 100).error().code, Code::kIo);
  std::byte data[32];
  EXPECT_EQ(file->ReadTensor(file->tensors()[0], 0, data).error().code, Code::kIo);
}

TEST(HostileGguf, AFileThatChangesAfterItWasOpenedIsReadWithinItsValue) {
  auto file = Simple().AddKey("words", std::vector<std::string>(1000, "word")).Build();
  class Mutable final : public ByteSource {
   public:
    explicit Mutable(std::vector<std::byte>& data) : memory_(data) {}
    [[nodiscard]] const std::string& name() const override { return memory_.name(); }
    [[nodiscard]] uint64_t bytes() const override { return memory_.bytes(); }
    [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      return memory_.ReadAt(offset, out);
    }

   private:
    MemorySource memory_;
  };
  const auto model = ReadGguf({std::make_shared<Mutable>(file)});
  ASSERT_TRUE(model) << model.error().message;
  const uint64_t at = model->metadata().Find("words")->offset;
  std::fill_n(file.begin() + static_cast<int64_t>(at), 8, std::byte{0xFF});
  const auto words = model->metadata().Get<StringTable>("words");
  ASSERT_FALSE(words);
  EXPECT_EQ(words.error().code, Code::kCorrupt);
  EXPECT_NE(words.error().message.find("key 'words'"), std::string::npos);
  EXPECT_NE(words.error().message.find("the end of the value"), std::string::npos);
}

// Endless zeros behind a head, as a sparse file has.
class SparseSource final : public ByteSource {
 public:
  SparseSource(std::vector<std::byte> head, uint64_t bytes)
      : head_(std::move(head)), bytes_(bytes) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    MIRAGE_TRY(CheckRange(offset, out.size()));
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = offset + i < head_.size() ? head_[offset + i] : std::byte{0};
    return {};
  }

 private:
  std::vector<std::byte> head_;
  uint64_t bytes_;
  std::string name_ = "sparse";
};

TEST(HostileGguf, AnArrayOfATebibyteIsRefusedWithoutBeingRead) {
  for (const ValueType element : {ValueType::kU8, ValueType::kF64, ValueType::kString}) {
    GgufBuilder builder;
    builder.AddRawKey("list", kArray, ArrayValue(element, 1ull << 36));
    const auto file = ReadGguf({std::make_shared<SparseSource>(builder.Build(), 1ull << 40)});
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().message.find("the limit of a header"), std::string::npos)
        << file.error().message;
  }
}

TEST(HostileGguf, AMillionEmptyStringsTakeNoMemory) {
  GgufBuilder builder;
  builder.AddRawKey("list", kArray, ArrayValue(ValueType::kString, 1 << 20));
  const auto file = ReadGguf({std::make_shared<SparseSource>(builder.Build(), 1ull << 40)});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().Find("list")->count, 1u << 20);
  EXPECT_LT(file->metadata().heap_bytes(), 1024u);
}

// --- Alignment
// -------------------------------------------------------------------------------------------------

// llama.cpp 26318: padding with an unchecked alignment wrapped; a key of another type hit an
// assert.
TEST(HostileGguf, AlignmentIsAPowerOfTwoWithinItsLimit) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 21, 1u << 31, 0xFFFFFFFFu}) {
    GgufBuilder builder;
    builder.AddKey("general.alignment", alignment);
    ExpectError(builder.Build(), Code::kCorrupt,
                {"'general.alignment' is " + std::to_string(alignment), "power of two"});
  }
  for (const uint32_t alignment : {8u, 32u, 4096u, 1u << 20}) {
    const auto file =
        ReadGguf(OneShard(GgufBuilder().Alignment(alignment).AddTensor("t", {1}, {1}).Build()));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->tensors()[0].extent.offset % alignment, 0u);
  }
}

TEST(HostileGguf, AlignmentOfAnotherTypeIsRefused) {
  ExpectError(GgufBuilder().AddKey("general.alignment", "32").Build(), Code::kCorrupt,
              {"'general.alignment'", "holds string, expected integer"});
  ExpectError(GgufBuilder().AddKey("general.alignment", int64_t{-32}).Build(), Code::kCorrupt,
              {"'general.alignment'", "-32"});
}

// --- Tensors
// ---------------------------------------------------------------------------------------------------

TEST(HostileGguf, ATensorThatAppearsTwiceIsRefused) {
  ExpectError(Simple().AddTensor("weight", {1}, {1}).Build(), Code::kCorrupt,
              {"'weight'", "appears twice"});
}

TEST(HostileGguf, TensorNamesAreBoundedAndPrintable) {
  ExpectError(Simple().AddTensor("", {1}, {1}).Build(), Code::kCorrupt,
              {"tensor 1", "name of 0 bytes"});
  ExpectError(Simple().AddTensor(std::string(257, 't'), {1}, {1}).Build(), Code::kCorrupt,
              {"tensor 1", "name of 257 bytes"});
  ExpectError(Simple().AddTensor("t\n", {1}, {1}).Build(), Code::kCorrupt, {"'t\\n'"});
}

TEST(HostileGguf, RanksOutsideOneToFourAreRefused) {
  auto builder = Simple();
  builder.tensors()[0].dims = {};
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "0 dimensions", "byte"});
  builder.tensors()[0].dims = {1, 1, 1, 1, 8};
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "5 dimensions", "byte"});
}

TEST(HostileGguf, ADimensionOfZeroIsRefused) {
  auto builder = Simple();
  builder.tensors()[0].dims = {8, 0};
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "dimension 1 is 0"});
}

// CVE-2024-21802, CVE-2025-53630, CVE-2026-27940: sizes from dimensions wrapped to small
// allocations.
TEST(HostileGguf, DimensionsWhoseProductWrapsAreRefused) {
  const std::vector<std::vector<uint64_t>> wrapping{
      {1ull << 63},
      {kMost},
      {1ull << 32, 1ull << 32},
      {1ull << 16, 1ull << 16, 1ull << 16, 1ull << 16},
      {3, 0x5555555555555556ull},
      {1ull << 31, 1ull << 31, 1, 1},  // elements fit, bytes do not lie in any file
      {1ull << 31, 1ull << 31, 2, 1},
  };
  for (const auto& dims : wrapping) {
    auto builder = Simple();
    builder.tensors()[0].dims = dims;
    ExpectError(builder.Build(), Code::kCorrupt, {"'weight'"});
  }
}

TEST(HostileGguf, TensorsWhoseSizesSumPast64BitsAreRefused) {
  GgufBuilder builder;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    builder.AddTensor(name, {1}, {1});
    builder.tensors().back().dims = {1ull << 60};
    builder.tensors().back().offset = (builder.tensors().size() - 1) << 62;
  }
  ExpectError(builder.Build(), Code::kCorrupt, {"'a'", "passes the end"});
}

TEST(HostileGguf, ARowThatIsNotWholeBlocksIsRefused) {
  GgufBuilder builder;
  builder.AddZeroTensor("q", tensor::DType::kQ4_K, {256, 2});
  builder.tensors()[0].dims = {128, 4};
  ExpectError(builder.Build(), Code::kCorrupt, {"'q'", "128", "Q4_K", "256"});
}

TEST(HostileGguf, RemovedTypesAreRefusedByName) {
  auto builder = Simple();
  builder.tensors()[0].type = 4;
  ExpectError(builder.Build(), Code::kUnsupported, {"'weight'", "Q4_2", "removed", "byte"});
  builder.tensors()[0].type = 31;
  ExpectError(builder.Build(), Code::kUnsupported, {"Q4_0_4_4"});
}

TEST(HostileGguf, UnknownTypesAreRefusedByNumber) {
  for (const uint32_t type : {43u, 255u, 256u, 0x80000000u, 0xFFFFFFFFu}) {
    auto builder = Simple();
    builder.tensors()[0].type = type;
    ExpectError(builder.Build(), Code::kUnsupported,
                {"'weight'", "unknown type " + std::to_string(type), "byte"});
  }
}

TEST(HostileGguf, AnOffsetThatIsNotAlignedIsRefused) {
  auto builder = Simple();
  builder.tensors()[0].offset = 8;
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "offset 8", "multiple of 32"});
}

TEST(HostileGguf, AnOffsetThatWrapsIsRefused) {
  auto builder = Simple();
  builder.tensors()[0].offset = kMost - 31;
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "18446744073709551584"});
}

// CVE-2026-7482: data past the end of the file was read from the heap.
TEST(HostileGguf, DataPastTheEndOfTheFileAreRefused) {
  auto builder = Simple();
  builder.tensors()[0].offset = 1 << 20;
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight'", "passes the end", "truncated"});
  builder.tensors()[0].offset = 0;
  builder.tensors()[0].dims = {9};
  ExpectError(builder.Build(), Code::kCorrupt, {"'weight' of 36 bytes", "passes the end"});
}

TEST(HostileGguf, TensorsThatOverlapAreRefused) {
  GgufBuilder builder;
  builder.AddTensor("a", {16}, std::vector<float>(16)).AddTensor("b", {8}, std::vector<float>(8));
  builder.tensors()[1].offset = 32;
  ExpectError(builder.Build(), Code::kCorrupt, {"'b'", "overlaps", "'a'"});
}

TEST(HostileGguf, GapsBetweenTensorsAndAnyOrderOfThemAreAccepted) {
  GgufBuilder builder;
  builder.AddTensor("a", {8}, std::vector<float>(8))
      .AddTensor("b", {8}, std::vector<float>(8))
      .AddTensor("c", {8}, std::vector<float>(8));
  std::swap(builder.tensors()[0].offset, builder.tensors()[2].offset);
  EXPECT_TRUE(ReadGguf(OneShard(builder.Build())));
}

TEST(HostileGguf, QuantizedBlocksOfAnotherLayoutAreRefused) {
  GgufBuilder builder;
  builder.AddKey("general.quantization_version", uint32_t{1})
      .AddZeroTensor("q", tensor::DType::kQ4_0, {32});
  ExpectError(builder.Build(), Code::kUnsupported, {"'general.quantization_version' is 1"});
}

}  // namespace
}  // namespace mirage::format
