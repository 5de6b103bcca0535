// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <string>

#include "small_vocab.h"

namespace mirage::text {
namespace {

IdList BytesOf(std::string_view text) {
  IdList ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TEST(Detokenizer, EveryTokenOfEveryTextGivesWholeLettersOnly) {
  const auto tokenizer = Hello().Make();
  const std::string text = "aé漢🚀 \xED\x9F\xBF\xF4\x8F\xBF\xBF z";
  Detokenizer detokenizer(*tokenizer);
  std::string all;
  for (const int32_t id : BytesOf(text)) {
    std::string step;
    ASSERT_TRUE(detokenizer.Push(id, &step));
    EXPECT_FALSE(RepairUtf8(step));
    EXPECT_LE(step.size(), 4u);
    all += step;
    EXPECT_TRUE(text.starts_with(all));
    EXPECT_LT(text.substr(0, all.size()).size(), text.size() + 1);
  }
  detokenizer.Flush(&all);
  EXPECT_EQ(all, text);
}

// The stream's text is that of the ids at once, wherever a reader stops and for every cut of the
// bytes.
TEST(Detokenizer, TheTextDoesNotDependOnTheSplit) {
  const auto tokenizer = Hello().Make();
  const std::string texts[] = {"漢🚀é",
                               "\xE6\xBC",
                               "\xFF\xE6\xBC"
                               "a",
                               "\xF0\x9F\x9A\xF0\x9F\x9A\x80",
                               "a\xC3",
                               "\xED\xA0\x80",
                               "\xC0\xAF"};
  for (const std::string& text : texts) {
    const std::string want = RepairUtf8(text).value_or(text);
    EXPECT_EQ(Text(*tokenizer, BytesOf(text)), want);
    std::string streamed;
    Detokenizer detokenizer(*tokenizer);
    for (const int32_t id : BytesOf(text)) {
      std::string step;
      ASSERT_TRUE(detokenizer.Push(id, &step));
      streamed += step;
    }
    detokenizer.Flush(&streamed);
    EXPECT_EQ(streamed, want);
  }
}

TEST(Detokenizer, FlushReplacesAnIncompleteTailOnce) {
  const auto tokenizer = Hello().Make();
  Detokenizer detokenizer(*tokenizer);
  std::string text;
  ASSERT_TRUE(detokenizer.Push(0xE6, &text));
  ASSERT_TRUE(detokenizer.Push(0xBC, &text));
  EXPECT_EQ(text, "");
  detokenizer.Flush(&text);
  detokenizer.Flush(&text);
  EXPECT_EQ(text, "\uFFFD");
}

TEST(Detokenizer, ControlTokensAreWrittenOnlyOnRequest) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Text(*tokenizer, {261, 259, 263, 262}), "hello<tool>");
  EXPECT_EQ(Text(*tokenizer, {261, 259, 263, 262}, {.special = true}),
            "<|im_start|>hello<tool><|im_end|>");
}

TEST(Detokenizer, AnIdOutsideTheVocabularyIsAnError) {
  const auto tokenizer = Hello().Make();
  for (const int32_t id : {-1, 264, 1 << 30}) {
    std::string text;
    const Status status = tokenizer->Decode(std::span(&id, 1), {}, &text);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kInvalidArgument);
    EXPECT_NE(status.error().message.find(std::to_string(id)), std::string::npos);
    EXPECT_EQ(text, "");
  }
}

TEST(Detokenizer, TheSpaceThatEncodingPutInFrontGoes) {
  SmallVocab vocab("llama");
  vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("<s>", TokenType::kControl);
  vocab.Add("</s>", TokenType::kControl);
  vocab.AddByteTokens();
  vocab.Add("▁a");
  vocab.Add("▁");
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Text(*tokenizer, {1, 259, 259}), "a a");
  EXPECT_EQ(Text(*tokenizer, {259, 259}, {.text_start = false}), " a a");
  EXPECT_EQ(Text(*tokenizer, {3 + 0xC3, 3 + 0xA9, 259}), "é a");
  for (const char* text : {"a", " a", "  a", "é", ""})
    EXPECT_EQ(Text(*tokenizer, Ids(*tokenizer, text)), text);
}

}  // namespace
}  // namespace mirage::text
