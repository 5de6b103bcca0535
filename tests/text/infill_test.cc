// SPDX-License-Identifier: Apache-2.0

#include "text/infill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/text/small_vocab.h"

namespace mirage::text {
namespace {

IdList Infill(const Tokenizer& tokenizer, const InfillText& text, bool add_special) {
  const auto ids = EncodeInfill(tokenizer, text, add_special);
  EXPECT_TRUE(ids.has_value());
  return ids ? *ids : IdList{};
}

TEST(Infill, TheTextsStandBehindTheirTokens) {
  SmallVocab vocab = Hello();
  const auto suffix = static_cast<int32_t>(vocab.Add("<|fim_suffix|>", TokenType::kControl));
  const auto prefix = static_cast<int32_t>(vocab.Add("<|fim_prefix|>", TokenType::kControl));
  const auto middle = static_cast<int32_t>(vocab.Add("<|fim_middle|>", TokenType::kControl));
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Infill(*tokenizer, {"hello", "llo", "he"}, true),
            (IdList{256, prefix, 259, suffix, 258, middle}));
  EXPECT_EQ(Infill(*tokenizer, {"", "", ""}, true), (IdList{prefix, suffix, middle}));
}

TEST(Infill, KeysOfTheFileNameTheTokens) {
  SmallVocab vocab = Hello();
  vocab.data.fim_pre = 1;
  vocab.data.fim_suf = 2;
  vocab.data.fim_mid = 3;
  vocab.data.bos = 261;
  vocab.data.add_bos = true;
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Infill(*tokenizer, {"he", "llo", ""}, true), (IdList{261, 1, 256, 2, 258, 3}));
  EXPECT_EQ(Infill(*tokenizer, {"he", "llo", ""}, false), (IdList{1, 256, 2, 258, 3}));
}

TEST(Infill, ATextCannotSpellItsTokens) {
  SmallVocab vocab = Hello();
  vocab.data.fim_pre = 261;
  vocab.data.fim_suf = 262;
  vocab.data.fim_mid = 1;
  const auto tokenizer = vocab.Make();
  const IdList ids = Infill(*tokenizer, {"<|im_end|>", "<|im_start|>", "<|im_start|>"}, true);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 261), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 262), 1);
}

// "▁a" is what a text begins with.
TEST(Infill, NoSpaceIsPutInFrontOfTheSuffix) {
  SmallVocab vocab("llama");
  vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("<s>", TokenType::kControl);
  vocab.Add("</s>", TokenType::kControl);
  vocab.AddByteTokens();
  const auto space = static_cast<int32_t>(vocab.Add("▁", TokenType::kNormal, -10));
  const auto a = static_cast<int32_t>(vocab.Add("a", TokenType::kNormal, -11));
  const auto space_a = static_cast<int32_t>(vocab.Add("▁a", TokenType::kNormal, -3));
  vocab.data.fim_pre = static_cast<int32_t>(vocab.Add("<PRE>", TokenType::kControl));
  vocab.data.fim_suf = static_cast<int32_t>(vocab.Add("<SUF>", TokenType::kControl));
  vocab.data.fim_mid = static_cast<int32_t>(vocab.Add("<MID>", TokenType::kControl));
  const auto tokenizer = vocab.Make();
  const SpecialTokens& special = tokenizer->special();
  const int32_t pre = special.fim_pre, suf = special.fim_suf, mid = special.fim_mid;
  EXPECT_EQ(Infill(*tokenizer, {"a", "a", ""}, true), (IdList{1, pre, space_a, suf, a, mid}));
  EXPECT_EQ(Infill(*tokenizer, {"a", " a", "a"}, true),
            (IdList{1, space_a, pre, a, suf, space_a, mid}));
  EXPECT_EQ(Infill(*tokenizer, {"", "a", ""}, false), (IdList{pre, suf, a, mid}));
  EXPECT_EQ(Infill(*tokenizer, {" ", "", ""}, true), (IdList{1, pre, space, space, suf, mid}));
}

TEST(Infill, WhatAModelLacksIsNamed) {
  SmallVocab vocab = Hello();
  vocab.data.fim_pre = 1;
  vocab.data.fim_mid = 3;
  const auto tokenizer = vocab.Make();
  const auto ids = EncodeInfill(*tokenizer, {"a", "b", ""}, true);
  ASSERT_FALSE(ids.has_value());
  EXPECT_EQ(ids.error().code, Code::kUnsupported);
  EXPECT_NE(ids.error().message.find("suffix"), std::string::npos);
  EXPECT_NE(ids.error().message.find("fim_suf_token_id"), std::string::npos);
}

}  // namespace
}  // namespace mirage::text
