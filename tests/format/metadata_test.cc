// SPDX-License-Identifier: Apache-2.0

#include "format/metadata.h"

#include <gtest/gtest.h>

#include <limits>

#include "format/gguf.h"
#include "tests/format/gguf_builder.h"

namespace mirage::format {
namespace {

using test::GgufBuilder;
using test::OneShard;

Metadata Read(const GgufBuilder& builder, const GgufLimits& limits = {}) {
  auto file = ReadGguf(OneShard(builder.Build()), limits);
  EXPECT_TRUE(file) << file.error().message;
  return file ? file->metadata() : Metadata();
}

template <typename T>
void ExpectCorrupt(const Result<T>& result, std::string_view named) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCorrupt) << result.error().message;
  EXPECT_NE(result.error().message.find(named), std::string::npos) << result.error().message;
}

TEST(Metadata, EveryScalarTypeIsReadAsItself) {
  GgufBuilder builder;
  builder.AddKey("u8", uint8_t{200})
      .AddKey("i8", int8_t{-100})
      .AddKey("u16", uint16_t{60000})
      .AddKey("i16", int16_t{-30000})
      .AddKey("u32", uint32_t{4000000000})
      .AddKey("i32", int32_t{-2000000000})
      .AddKey("u64", uint64_t{1} << 63)
      .AddKey("i64", int64_t{-1} << 62)
      .AddKey("f32", 0.1f)
      .AddKey("f64", 0.1)
      .AddKey("bool", true)
      .AddKey("string", "text");
  const Metadata metadata = Read(builder);
  EXPECT_EQ(metadata.Get<uint32_t>("u8").value(), 200u);
  EXPECT_EQ(metadata.Get<int32_t>("i8").value(), -100);
  EXPECT_EQ(metadata.Get<uint32_t>("u16").value(), 60000u);
  EXPECT_EQ(metadata.Get<int32_t>("i16").value(), -30000);
  EXPECT_EQ(metadata.Get<uint32_t>("u32").value(), 4000000000u);
  EXPECT_EQ(metadata.Get<int32_t>("i32").value(), -2000000000);
  EXPECT_EQ(metadata.Get<uint64_t>("u64").value(), uint64_t{1} << 63);
  EXPECT_EQ(metadata.Get<int64_t>("i64").value(), int64_t{-1} << 62);
  EXPECT_EQ(metadata.Get<float>("f32").value(), 0.1f);
  EXPECT_EQ(metadata.Get<double>("f64").value(), 0.1);
  EXPECT_EQ(metadata.Get<bool>("bool").value(), true);
  EXPECT_EQ(metadata.Get<std::string>("string").value(), "text");
}

TEST(Metadata, IntegersComeFromAnyIntegerTypeThatHoldsTheValue) {
  GgufBuilder builder;
  builder.AddKey("big", uint64_t{1} << 32)
      .AddKey("minus", int32_t{-1})
      .AddKey("small", uint64_t{7});
  const Metadata metadata = Read(builder);
  EXPECT_EQ(metadata.Get<uint32_t>("small").value(), 7u);
  EXPECT_EQ(metadata.Get<int32_t>("small").value(), 7);
  ExpectCorrupt(metadata.Get<uint32_t>("big"), "4294967296");
  ExpectCorrupt(metadata.Get<uint32_t>("minus"), "'minus'");
  ExpectCorrupt(metadata.Get<uint64_t>("minus"), "-1");
}

TEST(Metadata, FloatsComeFromAnyNumberThatFits) {
  GgufBuilder builder;
  builder.AddKey("int", int32_t{-3})
      .AddKey("huge", 1e300)
      .AddKey("infinite", std::numeric_limits<double>::infinity());
  const Metadata metadata = Read(builder);
  EXPECT_EQ(metadata.Get<float>("int").value(), -3.0f);
  EXPECT_EQ(metadata.Get<double>("huge").value(), 1e300);
  ExpectCorrupt(metadata.Get<float>("huge"), "'huge'");
  EXPECT_EQ(metadata.Get<float>("infinite").value(), std::numeric_limits<float>::infinity());
}

TEST(Metadata, AnotherTypeIsAnErrorThatNamesKeyAndTypes) {
  GgufBuilder builder;
  builder.AddKey("number", 1.5f)
      .AddKey("flag", false)
      .AddKey("text", "1")
      .AddKey("numbers", std::vector<uint32_t>{1})
      .AddKey("texts", std::vector<std::string>{"1"});
  const Metadata metadata = Read(builder);
  ExpectCorrupt(metadata.Get<uint32_t>("number"), "'number'");
  ExpectCorrupt(metadata.Get<uint32_t>("number"), "f32, expected integer");
  ExpectCorrupt(metadata.Get<uint32_t>("flag"), "holds bool");
  ExpectCorrupt(metadata.Get<float>("text"), "holds string, expected number");
  ExpectCorrupt(metadata.Get<uint32_t>("numbers"), "array of u32");
  ExpectCorrupt(metadata.Get<bool>("number"), "expected bool");
  ExpectCorrupt(metadata.Get<std::string>("number"), "expected string");
  ExpectCorrupt(metadata.Get<std::string>("texts"), "array of string");
  ExpectCorrupt(metadata.Get<StringTable>("text"), "expected array of string");
  ExpectCorrupt(metadata.Get<StringTable>("numbers"), "array of u32");
  ExpectCorrupt(metadata.Get<std::vector<float>>("texts"), "expected array of number");
  ExpectCorrupt(metadata.Get<std::vector<int32_t>>("number"), "expected array of integer");
  ExpectCorrupt(metadata.Get<std::vector<bool>>("numbers"), "expected array of bool");
  ExpectCorrupt(metadata.Get<std::vector<std::byte>>("numbers"), "expected array of u8 or i8");
  ExpectCorrupt(metadata.GetOr<bool>("number", true), "'number'");
}

TEST(Metadata, OnlyAnAbsentKeyHasADefault) {
  GgufBuilder builder;
  builder.AddKey("there", uint32_t{5});
  const Metadata metadata = Read(builder);
  EXPECT_TRUE(metadata.Has("there"));
  EXPECT_FALSE(metadata.Has("absent"));
  EXPECT_EQ(metadata.GetOr<uint32_t>("there", 9).value(), 5u);
  EXPECT_EQ(metadata.GetOr<uint32_t>("absent", 9).value(), 9u);
  ExpectCorrupt(metadata.Get<uint32_t>("absent"), "key 'absent' is missing");
}

TEST(Metadata, ArraysReadTheSameFromMemoryAndFromTheFile) {
  const std::vector<std::string> words{"", "a", std::string("nul\0inside", 10),
                                       "longer than a buffer", std::string(100000, 'x')};
  GgufBuilder builder;
  builder.AddKey("ints", std::vector<int32_t>{-1, 0, 1})
      .AddKey("floats", std::vector<float>{0.5f, -2.0f})
      .AddKey("bools", std::vector<bool>{true, false, true})
      .AddKey("blob", std::vector<uint8_t>{0, 128, 255})
      .AddKey("signed blob", std::vector<int8_t>{-1})
      .AddKey("words", words)
      .AddKey("empty", std::vector<std::string>{})
      .AddKey("text", "chat template");
  for (const uint64_t resident_bytes : {0, 1 << 20}) {
    GgufLimits limits;
    limits.resident_bytes = resident_bytes;
    const Metadata metadata = Read(builder, limits);
    EXPECT_EQ(metadata.Find("words")->resident(), resident_bytes > 0);
    EXPECT_EQ(metadata.Get<std::vector<int32_t>>("ints").value(), (std::vector<int32_t>{-1, 0, 1}));
    EXPECT_EQ(metadata.Get<std::vector<float>>("floats").value(),
              (std::vector<float>{0.5f, -2.0f}));
    EXPECT_EQ(metadata.Get<std::vector<float>>("ints").value(), (std::vector<float>{-1, 0, 1}));
    EXPECT_EQ(metadata.Get<std::vector<bool>>("bools").value(),
              (std::vector<bool>{true, false, true}));
    EXPECT_EQ(metadata.Get<std::vector<std::byte>>("blob").value(),
              (std::vector<std::byte>{std::byte{0}, std::byte{128}, std::byte{255}}));
    EXPECT_EQ(metadata.Get<std::vector<std::byte>>("signed blob").value(),
              std::vector<std::byte>{std::byte{255}});
    ExpectCorrupt(metadata.Get<std::vector<uint32_t>>("ints"), "key 'ints'[0] is -1");
    const StringTable table = metadata.Get<StringTable>("words").value();
    ASSERT_EQ(table.count(), words.size());
    for (size_t i = 0; i < words.size(); ++i) EXPECT_EQ(table[i], words[i]);
    EXPECT_TRUE(metadata.Get<StringTable>("empty").value().empty());
    EXPECT_EQ(metadata.Get<std::string>("text").value(), "chat template");
  }
}

TEST(Metadata, AnElementOutOfRangeIsNamedByItsByteInTheFile) {
  GgufBuilder builder;
  builder.AddKey("k", std::vector<int32_t>{0, 0, -7});
  // magic, version, two counts: 24; name 8 + 1; type 4; element type 4, count 8; two elements
  constexpr int kByte = 24 + 9 + 4 + 12 + 8;
  for (const uint64_t resident_bytes : {0, 4096}) {
    GgufLimits limits;
    limits.resident_bytes = resident_bytes;
    const Metadata metadata = Read(builder, limits);
    const auto values = metadata.Get<std::vector<uint32_t>>("k");
    ASSERT_FALSE(values);
    EXPECT_EQ(metadata.Locate(values.error()).message,
              "test.gguf: byte " + std::to_string(kByte) + ": key 'k'[2] is -7, out of range");
  }
}

TEST(Metadata, LocateNamesTheFileAndTheByteOfTheKeyOrItsElement) {
  GgufBuilder builder;
  builder.AddKey("a", uint32_t{7}).AddKey("s", std::vector<std::string>{"one", "", "three"});
  const auto place_of = [&](const Metadata& metadata, const char* key, uint64_t element) {
    Error error = KeyError(Code::kCorrupt, key, "is odd", element).value();
    return metadata.Locate(std::move(error)).message;
  };
  // The head 24; name 8 + 1, type 4, value 4; name 8 + 1, type 4, element type 4, count 8.
  constexpr uint64_t kValue = 24 + 9 + 4;
  constexpr uint64_t kStrings = kValue + 4 + 9 + 4 + 12;
  for (const uint64_t resident_bytes : {0, 4096}) {
    GgufLimits limits;
    limits.resident_bytes = resident_bytes;
    const Metadata metadata = Read(builder, limits);
    const auto expect = [&](const char* key, uint64_t element, uint64_t byte) {
      EXPECT_EQ(place_of(metadata, key, element),
                "test.gguf: byte " + std::to_string(byte) + ": key '" + key + "' is odd");
    };
    expect("a", 0, kValue);
    expect("a", 5, kValue);  // of a value that is no array
    expect("s", 0, kStrings + 8);
    expect("s", 1, kStrings + 8 + 3 + 8);
    expect("s", 2, kStrings + 8 + 3 + 8 + 8);
    expect("s", 3, kStrings);  // there is no such element
    EXPECT_EQ(place_of(metadata, "absent", 0), "test.gguf: key 'absent' is odd");
    EXPECT_EQ(metadata.Locate(Error{Code::kIo, "another"}).message, "another");
    // Once is enough.
    const Error once = metadata.Locate(KeyError(Code::kCorrupt, "a", "is odd").value());
    EXPECT_EQ(metadata.Locate(once).message, once.message);
  }
}

TEST(Metadata, PerLayerValuesAreAScalarForAllOrOneEach) {
  GgufBuilder builder;
  builder.AddKey("same", uint32_t{8}).AddKey("each", std::vector<uint32_t>{1, 2, 3});
  const Metadata metadata = Read(builder);
  EXPECT_EQ(metadata.GetPerLayer<uint32_t>("same", 2).value(), (std::vector<uint32_t>{8, 8}));
  EXPECT_EQ(metadata.GetPerLayer<uint32_t>("each", 3).value(), (std::vector<uint32_t>{1, 2, 3}));
  ExpectCorrupt(metadata.GetPerLayer<uint32_t>("each", 4), "3 elements for 4 layers");
  ExpectCorrupt(metadata.GetPerLayer<uint32_t>("absent", 4), "'absent' is missing");
}

TEST(Metadata, PreviewsAreShortAndPrintable) {
  GgufBuilder builder;
  builder.AddKey("number", -7)
      .AddKey("float", 0.1f)
      .AddKey("double", 0.1)
      .AddKey("flag", true)
      .AddKey("escape", "a\x1b[2Jb\n\\\xff\xe4\xb8\xad")
      .AddKey("long", std::string(1000, 'x'))
      .AddKey("many", std::vector<uint32_t>(1000, 5))
      .AddKey("words", std::vector<std::string>{"a", "b"})
      .AddKey("none", std::vector<uint32_t>{});
  for (const uint64_t resident_bytes : {0, 4096}) {
    GgufLimits limits;
    limits.resident_bytes = resident_bytes;
    const Metadata metadata = Read(builder, limits);
    const auto preview = [&](std::string_view key) {
      return metadata.Preview(*metadata.Find(key), 20).value();
    };
    EXPECT_EQ(preview("number"), "-7");
    EXPECT_EQ(preview("float"), "0.1");
    EXPECT_EQ(preview("double"), "0.1");
    EXPECT_EQ(preview("flag"), "true");
    EXPECT_EQ(metadata.Preview(*metadata.Find("escape"), 40).value(),
              "\"a\\x1b[2Jb\\n\\\\\\xff\xe4\xb8\xad\"");
    EXPECT_EQ(preview("long"), '"' + std::string(20, 'x') + "...\"");
    EXPECT_EQ(preview("many"), "[5, 5, 5, 5, 5, 5, 5, ...]");
    EXPECT_EQ(preview("words"), "[\"a\", \"b\"]");
    EXPECT_EQ(preview("none"), "[]");
  }
}

TEST(Metadata, EntriesKeepTheFilesOrder) {
  GgufBuilder builder;
  builder.AddKey("z", 1).AddKey("a", std::vector<std::string>{"x"}).AddKey("m", "text");
  const Metadata metadata = Read(builder);
  ASSERT_EQ(metadata.entries().size(), 3u);
  EXPECT_EQ(metadata.entries()[0].key, "z");
  EXPECT_EQ(metadata.entries()[1].key, "a");
  EXPECT_TRUE(metadata.entries()[1].is_array());
  EXPECT_EQ(Name(metadata.entries()[1].element_type), "string");
  EXPECT_EQ(metadata.entries()[1].count, 1u);
  EXPECT_EQ(Name(metadata.entries()[2].type), "string");
}

}  // namespace
}  // namespace mirage::format
