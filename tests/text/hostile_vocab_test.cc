// SPDX-License-Identifier: Apache-2.0

// One test for each way a vocabulary can be wrong: an Error that names the key.

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "small_vocab.h"
#include "text/charsmap.h"
#include "text/unigram.h"

namespace mirage::text {
namespace {

void ExpectFailure(SmallVocab vocab, Code code, std::string_view words) {
  const auto tokenizer = Tokenizer::Create(std::move(vocab.data));
  ASSERT_FALSE(tokenizer) << words;
  EXPECT_EQ(tokenizer.error().code, code);
  EXPECT_NE(tokenizer.error().message.find(words), std::string::npos) << tokenizer.error().message;
  EXPECT_EQ(tokenizer.error().part_kind(), FilePart::Kind::kKey) << tokenizer.error().message;
}

TEST(HostileVocab, AModelWithoutATokenizerIsUnsupportedByName) {
  for (const char* model : {"rwkv", "plamo2", "none", "no_vocab", "", "gpt3"})
    ExpectFailure(SmallVocab(model), Code::kUnsupported,
                  model[0] == '\0' ? "key 'tokenizer.ggml.model' is empty or missing"
                                   : std::string("key 'tokenizer.ggml.model' is '") + model + "'");
}

TEST(HostileVocab, NoTokens) {
  ExpectFailure(SmallVocab("gpt2"), Code::kCorrupt, "key 'tokenizer.ggml.tokens' is empty");
}

TEST(HostileVocab, CountsThatDiffer) {
  SmallVocab scores = Hello();
  scores.data.scores.pop_back();
  ExpectFailure(std::move(scores), Code::kCorrupt,
                "key 'tokenizer.ggml.scores' holds 263 values for 264 tokens");
  SmallVocab types = Hello();
  types.data.types.push_back(1);
  ExpectFailure(std::move(types), Code::kCorrupt, "key 'tokenizer.ggml.token_type' holds 265");
}

TEST(HostileVocab, ScoresThatAreNoNumbers) {
  for (const float score :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    SmallVocab vocab = Hello();
    vocab.data.scores[7] = score;
    ExpectFailure(std::move(vocab), Code::kCorrupt, "key 'tokenizer.ggml.scores'[7]");
  }
}

TEST(HostileVocab, AnUnknownType) {
  SmallVocab vocab = Hello();
  vocab.data.types[9] = 7;
  ExpectFailure(std::move(vocab), Code::kCorrupt, "key 'tokenizer.ggml.token_type'[9] is 7");
}

TEST(HostileVocab, TokensThatAreNotUtf8OrTooLong) {
  SmallVocab broken = Hello();
  broken.Add("a\xFF");
  ExpectFailure(std::move(broken), Code::kCorrupt,
                "key 'tokenizer.ggml.tokens'[264] is not UTF-8 at its byte 1");
  SmallVocab cut = Hello();
  cut.Add("\xE6\xBC");
  ExpectFailure(std::move(cut), Code::kCorrupt,
                "key 'tokenizer.ggml.tokens'[264] is not UTF-8 at its byte 0");
  SmallVocab longer = Hello();
  longer.Add(std::string(TokenTable::kMaxTokenBytes + 1, 'a'));
  ExpectFailure(std::move(longer), Code::kCorrupt, "the limit is 16384");
  SmallVocab special = Hello();
  special.Add(std::string(Tokenizer::kMaxSpecialTokenBytes + 1, 'a'), TokenType::kUserDefined);
  ExpectFailure(std::move(special), Code::kCorrupt, "special token of 513 bytes");
}

TEST(HostileVocab, ByteTokensThatSpellNoByte) {
  for (const char* spelling : {"<0x1>", "<0xfF>", "<0xGG>", "0x41", "<0x041>", ""}) {
    SmallVocab vocab = Hello();
    vocab.Add(spelling, TokenType::kByte);
    ExpectFailure(std::move(vocab), Code::kCorrupt, "key 'tokenizer.ggml.tokens'[264]");
  }
}

TEST(HostileVocab, IdsOutsideTheVocabulary) {
  SmallVocab bos = Hello();
  bos.data.bos = 264;
  ExpectFailure(std::move(bos), Code::kCorrupt, "key 'tokenizer.ggml.bos_token_id' is 264");
  SmallVocab pad = Hello();
  pad.data.fim_mid = 0x7FFFFFFF;
  ExpectFailure(std::move(pad), Code::kCorrupt, "tokenizer.ggml.fim_mid_token_id");
}

TEST(HostileVocab, MinusOneIsNoId) {
  SmallVocab vocab = Hello();
  vocab.data.pad = 0xFFFFFFFF;
  EXPECT_EQ(vocab.Make()->special().pad, kNoToken);
}

TEST(HostileVocab, AFlagForATokenThatHasNoId) {
  SmallVocab vocab = Hello();
  vocab.data.add_bos = true;
  ExpectFailure(std::move(vocab), Code::kCorrupt, "tokenizer.ggml.add_bos_token");
}

TEST(HostileVocab, MergesThatAreNotTwoTokens) {
  for (const std::string merge : {"", " ", "ab", "a ", " a", "a\xFF b"}) {
    SmallVocab vocab = Hello();
    ASSERT_TRUE(vocab.data.merges.Append(merge));
    ExpectFailure(std::move(vocab), Code::kCorrupt, "key 'tokenizer.ggml.merges'[5]");
  }
  SmallVocab none = Hello();
  none.data.merges = {};
  ExpectFailure(std::move(none), Code::kCorrupt, "tokenizer.ggml.merges");
}

TEST(HostileVocab, WhatAModelCannotDoWithout) {
  SmallVocab scores("llama");
  scores.Add("a");
  scores.data.scores.clear();
  ExpectFailure(std::move(scores), Code::kCorrupt, "key 'tokenizer.ggml.scores' is missing");
  SmallVocab bert("bert");
  bert.Add("a");
  ExpectFailure(std::move(bert), Code::kCorrupt, "tokenizer.ggml.unknown_token_id");
  SmallVocab unigram("t5");
  unigram.Add("a");
  ExpectFailure(std::move(unigram), Code::kCorrupt, "tokenizer.ggml.unknown_token_id");
}

TEST(HostileVocab, UnigramTokensAreShorter) {
  SmallVocab vocab("t5");
  vocab.data.unk = vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add(std::string(UnigramModel::kMaxTokenBytes + 1, 'a'));
  ExpectFailure(std::move(vocab), Code::kCorrupt,
                "key 'tokenizer.ggml.tokens' holds a token of 513 bytes");
}

TEST(HostileVocab, EmptyAndRepeatedTokensAreHarmless) {
  SmallVocab vocab = Hello();
  vocab.Add("");
  vocab.Add("", TokenType::kUserDefined);
  vocab.Add("", TokenType::kControl);
  vocab.Add("<tool>", TokenType::kUserDefined);
  vocab.Add("hello");
  EXPECT_EQ(Ids(*vocab.Make(), "hello<tool>"), (IdList{259, 263}));
}

std::vector<std::byte> Bytes(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

std::string Little(uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(value >> 8 * i));
  return bytes;
}

// A trie that maps "a" to the replacement at `value`: the root's base is 256, node 256^'a' has the
// label 'a', a value and the base 1, so that its value is at (256^'a')^1.
std::string TrieOfA(uint32_t value) {
  std::vector<uint32_t> nodes(512, 0x80000000);
  nodes[0] = 256u << 10;
  nodes[256 ^ 'a'] = 1u << 10 | 1u << 8 | 'a';
  nodes[(256 ^ 'a') ^ 1] = 0x80000000 | value;
  std::string trie = Little(static_cast<uint32_t>(nodes.size() * 4));
  for (const uint32_t node : nodes) trie += Little(node);
  return trie;
}

TEST(Charsmap, ReplacesTheLongestKey) {
  const auto map = Charsmap::Create(Bytes(TrieOfA(0) + std::string("xyz\0", 4)));
  ASSERT_TRUE(map) << map.error().message;
  const auto match = map->Match("ab");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->bytes, 1u);
  EXPECT_EQ(match->text, "xyz");
  EXPECT_FALSE(map->Match("b"));
  EXPECT_FALSE(map->Match(""));
}

TEST(Charsmap, OffsetsThatPointNowhereAreNoMatch) {
  for (const uint32_t value : {1u, 3u, 4u, 1000u, 0x7FFFFFFFu}) {
    const auto map = Charsmap::Create(Bytes(TrieOfA(value) + std::string("xyz\0", 4)));
    ASSERT_TRUE(map);
    EXPECT_FALSE(map->Match("a")) << value;
  }
}

TEST(Charsmap, NodesOutsideTheTrieAreNoMatch) {
  const auto map = Charsmap::Create(Bytes(Little(4) + Little(0x7FFFFFFF)));
  ASSERT_TRUE(map);
  EXPECT_FALSE(map->Match("a"));
}

TEST(Charsmap, BrokenBytesAreCorrupt) {
  for (const std::string& bytes :
       {std::string("abc"), Little(8) + Little(0), Little(3) + "abc", Little(0xFFFFFFFF),
        Little(0) + "unended",
        Little(0) + std::string(Charsmap::kMaxReplacementBytes + 1, 'a') + std::string(1, '\0'),
        Little(0) + std::string("\xFF\0", 2)}) {
    const auto map = Charsmap::Create(Bytes(bytes));
    ASSERT_FALSE(map);
    EXPECT_EQ(map.error().code, Code::kCorrupt);
    EXPECT_NE(map.error().message.find("tokenizer.ggml.precompiled_charsmap"), std::string::npos);
  }
}

}  // namespace
}  // namespace mirage::text
