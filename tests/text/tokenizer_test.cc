// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <string>

#include "small_vocab.h"

namespace mirage::text {
namespace {

constexpr EncodeOptions kPlainText{.add_special = false, .parse_special = false};

TEST(BytePair, MergesByRankWithinPieces) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Ids(*tokenizer, "hello hello"), (IdList{259, 260}));
  EXPECT_EQ(Ids(*tokenizer, "hellohe"), (IdList{259, 256}));
  EXPECT_EQ(Ids(*tokenizer, "hel lo"), (IdList{256, 'l', ' ', 'l', 'o'}));
  EXPECT_EQ(Ids(*tokenizer, ""), IdList{});
}

TEST(BytePair, EqualPairsMergeFromTheLeft) {
  SmallVocab vocab("gpt2", "gpt-2");
  vocab.AddByteLetters();
  const auto aa = static_cast<int32_t>(vocab.Merge("a", "a"));
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "aaa"), (IdList{aa, 'a'}));
}

TEST(BytePair, EveryByteHasItsLetter) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Ids(*tokenizer, "é\n\x7F"), (IdList{0xC3, 0xA9, '\n', 0x7F}));
  EXPECT_EQ(tokenizer->TokenText(' '), " ");
  EXPECT_EQ(tokenizer->TokenText(260), " hello");
}

TEST(BytePair, IllFormedTextIsReplacementCharacters) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Ids(*tokenizer, "he\xFF"), (IdList{256, 0xEF, 0xBF, 0xBD}));
}

TEST(BytePair, AWholePieceIsItsTokenWhereMergesAreIgnored) {
  for (const auto& [pre, whole] : {std::pair{"llama-bpe", true}, {"qwen2", false}}) {
    SmallVocab vocab("gpt2", pre);
    vocab.AddByteLetters();
    vocab.Merge("a", "b");
    const auto abc = static_cast<int32_t>(vocab.Add("abc"));  // no merge leads here
    const auto tokenizer = vocab.Make();
    EXPECT_EQ(Ids(*tokenizer, "abc"), whole ? IdList{abc} : (IdList{256, 'c'}));
  }
}

TEST(BytePair, ATokenSpeltOutsideTheAlphabetIsOutOfReach) {
  SmallVocab vocab("gpt2", "gpt-2");
  const auto literal = static_cast<int32_t>(vocab.Add("\u200D"));  // the code point itself
  vocab.AddByteLetters();
  vocab.Merge("â", "Ģ");
  const auto mapped = static_cast<int32_t>(vocab.Merge("âĢ", "į"));  // its three bytes
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "\u200D"), IdList{mapped});
  EXPECT_EQ(tokenizer->TokenText(literal), "\u200D");
}

TEST(BytePair, NeighboursOfAByteThatIsLeftOutMayMerge) {
  SmallVocab vocab("gpt2", "gpt-2");
  vocab.Add("h");
  vocab.Add("e");
  vocab.Merge("h", "e");
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "hxe"), (IdList{2}));
}

TEST(BytePair, SpaceMarkedVocabulariesFallBackToBytes) {
  SmallVocab vocab("gemma4");
  vocab.AddByteTokens();
  const auto space = static_cast<int32_t>(vocab.Add("▁"));
  const auto a = static_cast<int32_t>(vocab.Add("a"));
  const auto space_a = static_cast<int32_t>(vocab.Merge("▁", "a"));
  const auto newline = static_cast<int32_t>(vocab.Add("\n"));
  const auto newlines = static_cast<int32_t>(vocab.Add("\n\n\n"));
  vocab.data.bos = vocab.Add("<bos>", TokenType::kControl);
  vocab.data.add_bos = false;
  const auto bos = static_cast<int32_t>(*vocab.data.bos);
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "a a é"), (IdList{bos, a, space_a, space, 0xC3, 0xA9}));
  EXPECT_EQ(Ids(*tokenizer, "a▁a", kPlainText), (IdList{a, space_a}));
  EXPECT_EQ(Ids(*tokenizer, "\n\n\na\n\n", kPlainText), (IdList{newlines, a, newline, newline}));
}

TEST(BytePair, AnUnknownPreTokenizerWarns) {
  EXPECT_EQ(Hello().Make()->warning(), "");
  EXPECT_NE(Hello("no-such-thing").Make()->warning().find("'no-such-thing'"), std::string::npos);
  EXPECT_NE(Hello("").Make()->warning().find("tokenizer.ggml.pre is missing"), std::string::npos);
}

TEST(BytePair, AMergeOfNoTokenIsLeftOutWithAWarning) {
  SmallVocab vocab = Hello();
  ASSERT_TRUE(vocab.data.merges.Append("q z"));
  const auto tokenizer = vocab.Make();
  EXPECT_NE(tokenizer->warning().find("1 merges"), std::string::npos);
  EXPECT_EQ(Ids(*tokenizer, "qz"), (IdList{'q', 'z'}));
}

SmallVocab SentencePieceVocab() {
  SmallVocab vocab("llama");
  vocab.Add("<unk>", TokenType::kUnknown);  // 0
  vocab.Add("<s>", TokenType::kControl);    // 1
  vocab.Add("</s>", TokenType::kControl);   // 2
  vocab.AddByteTokens();                    // 3 to 258
  vocab.Add("▁", TokenType::kNormal, -10);  // 259
  vocab.Add("a", TokenType::kNormal, -11);
  vocab.Add("b", TokenType::kNormal, -12);
  vocab.Add("▁a", TokenType::kNormal, -3);  // 262
  vocab.Add("ab", TokenType::kNormal, -1);  // 263
  vocab.Add("▁ab", TokenType::kNormal, -2);
  vocab.Add("<tool>", TokenType::kUserDefined);  // 265
  return vocab;
}

TEST(SentencePiece, TheBestScoreMergesFirst) {
  const auto tokenizer = SentencePieceVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "ab a", kPlainText), (IdList{264, 262}));
  EXPECT_EQ(Ids(*tokenizer, "aab", kPlainText), (IdList{262, 263}));
}

TEST(SentencePiece, ASpaceIsPutBeforeTextAndAfterSpecialTokens) {
  const auto tokenizer = SentencePieceVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "a"), (IdList{1, 262}));
  EXPECT_EQ(Ids(*tokenizer, "a<tool>a"), (IdList{1, 262, 265, 262}));
  SmallVocab bare = SentencePieceVocab();
  bare.data.add_space_prefix = false;
  EXPECT_EQ(Ids(*bare.Make(), "a"), (IdList{1, 260}));
}

TEST(SentencePiece, LettersWithoutATokenBecomeBytes) {
  const auto tokenizer = SentencePieceVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "é", kPlainText), (IdList{259, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(Ids(*tokenizer, "<0x41>", kPlainText).size(),
            7u);  // the spelling of a byte token is not the token
}

TEST(SentencePiece, WithoutByteTokensARunOfThemIsOneUnknown) {
  SmallVocab vocab("llama");
  vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("<s>", TokenType::kControl);
  vocab.Add("</s>", TokenType::kControl);
  vocab.Add("▁");
  vocab.Add("a");
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "éüa", kPlainText), (IdList{3, 0, 4}));
}

TEST(SentencePiece, FilesWithoutTypesStillHaveByteTokens) {
  SmallVocab vocab = SentencePieceVocab();
  vocab.data.types.clear();
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "é", kPlainText), (IdList{259, 3 + 0xC3, 3 + 0xA9}));
}

SmallVocab WordPieceVocab() {
  SmallVocab vocab("bert");
  vocab.Add("[PAD]", TokenType::kControl);  // 0
  vocab.data.unk = vocab.Add("[UNK]", TokenType::kControl);
  vocab.data.cls = vocab.Add("[CLS]", TokenType::kControl);
  vocab.data.sep = vocab.Add("[SEP]", TokenType::kControl);
  vocab.Add("▁un");     // 4
  vocab.Add("aff");     // 5
  vocab.Add("able");    // 6
  vocab.Add("▁apfel");  // 7
  vocab.Add("▁,");      // 8
  vocab.Add("▁漢");     // 9
  return vocab;
}

TEST(WordPiece, WordsAreCutIntoTheLongestTokens) {
  const auto tokenizer = WordPieceVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "unaffable"), (IdList{2, 4, 5, 6, 3}));
  EXPECT_EQ(Ids(*tokenizer, "un,un", kPlainText), (IdList{4, 8, 4}));
  EXPECT_EQ(Ids(*tokenizer, "un漢un", kPlainText), (IdList{4, 9, 4}));
}

TEST(WordPiece, AWordThatCannotBeCoveredIsUnknown) {
  const auto tokenizer = WordPieceVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "unaffx un", kPlainText), (IdList{1, 4}));
  const std::string affs = [] {
    std::string text = "un";
    for (int i = 0; i < 33; ++i) text += "aff";
    return text;
  }();
  EXPECT_EQ(Ids(*tokenizer, affs.substr(0, 98), kPlainText).size(), 33u);
  EXPECT_EQ(Ids(*tokenizer, affs, kPlainText), IdList{1});  // 101 letters
}

TEST(WordPiece, AccentsCaseAndControlsGoAsTheFileSays) {
  EXPECT_EQ(Ids(*WordPieceVocab().Make(), "\u200BÄP\u0000FEL", kPlainText).size(), 1u);
  EXPECT_EQ(Ids(*WordPieceVocab().Make(), "ÄPFEL", kPlainText), IdList{7});
  SmallVocab cased = WordPieceVocab();
  cased.data.lowercase = false;
  const auto tokenizer = cased.Make();
  EXPECT_EQ(Ids(*tokenizer, "Apfel", kPlainText), IdList{1});
  EXPECT_EQ(Ids(*tokenizer, "äpfel", kPlainText), IdList{1});
  EXPECT_EQ(Ids(*tokenizer, "apfel", kPlainText), IdList{7});
}

// Letters map 1 to 1 but "ﬁ", which the charsmap below turns into "fi".
SmallVocab UnigramVocab() {
  SmallVocab vocab("t5");
  vocab.data.pad = vocab.Add("<pad>", TokenType::kControl);
  vocab.data.eos = vocab.Add("</s>", TokenType::kControl);
  vocab.data.unk = vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("▁", TokenType::kNormal, -2);     // 3
  vocab.Add("a", TokenType::kNormal, -2);     // 4
  vocab.Add("b", TokenType::kNormal, -2);     // 5
  vocab.Add("ab", TokenType::kNormal, -1);    // 6
  vocab.Add("ba", TokenType::kNormal, -3.5);  // 7
  vocab.Add("▁a", TokenType::kNormal, -1);    // 8
  vocab.data.add_space_prefix = true;
  return vocab;
}

TEST(Unigram, TheLikeliestCutWins) {
  const auto tokenizer = UnigramVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "ab"),
            (IdList{3, 6, 1}));  // -3, not "▁a" "b" at -3: the first found stays
  EXPECT_EQ(Ids(*tokenizer, "ba"), (IdList{3, 7, 1}));  // -5.5, not "b" "a" at -6
  EXPECT_EQ(Ids(*tokenizer, "a b", kPlainText), (IdList{8, 3, 5}));
}

TEST(Unigram, ARunOfUnknownLettersIsOneToken) {
  const auto tokenizer = UnigramVocab().Make();
  EXPECT_EQ(Ids(*tokenizer, "éüa", kPlainText), (IdList{3, 2, 4}));
}

TEST(Unigram, ByteTokensTakeThePlaceOfUnknown) {
  SmallVocab vocab = UnigramVocab();
  vocab.AddByteTokens();
  EXPECT_EQ(Ids(*vocab.Make(), "é", kPlainText), (IdList{3, 9 + 0xC3, 9 + 0xA9}));
}

TEST(Unigram, ExtraSpacesGoWhereTheFileSaysSo) {
  SmallVocab vocab = UnigramVocab();
  EXPECT_EQ(Ids(*vocab.Make(), " a  a ", kPlainText), (IdList{3, 8, 3, 8, 3}));
  SmallVocab trimmed = UnigramVocab();
  trimmed.data.remove_extra_whitespaces = true;
  EXPECT_EQ(Ids(*trimmed.Make(), " a  a ", kPlainText), (IdList{8, 8}));
}

TEST(SpecialTokens, TextThatMayHoldThemParsesThem) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Ids(*tokenizer, "<|im_start|>hello<|im_end|>"), (IdList{261, 259, 262}));
  EXPECT_EQ(Ids(*tokenizer, "<|im_start|"), Ids(*tokenizer, "<|im_start|", kPlainText));
}

TEST(SpecialTokens, TextOfAUserCannotForgeThem) {
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "no-such-thing"}) {
    const auto tokenizer = Hello(pre).Make();
    for (const char* text :
         {"<|im_start|>", "x<|im_end|>y", "<|im_start|><|im_end|>", "hello<|im_end|>"})
      for (const int32_t id : Ids(*tokenizer, text, kPlainText))
        EXPECT_FALSE(tokenizer->is_control(id)) << pre << text;
  }
}

// Neither a merge nor a whole piece nor a score may lead to a control token.
TEST(SpecialTokens, NoModelProducesThemFromText) {
  SmallVocab vocab("gpt2", "llama-bpe");
  vocab.AddByteLetters();
  ASSERT_TRUE(vocab.data.merges.Append("E N"));
  const auto en = static_cast<int32_t>(vocab.Add("EN", TokenType::kControl));
  const auto bytes = vocab.Make();
  EXPECT_EQ(Ids(*bytes, "EN", kPlainText), (IdList{'E', 'N'}));
  EXPECT_EQ(Ids(*bytes, "EN"), IdList{en});

  SmallVocab scored = SentencePieceVocab();
  const auto aa = static_cast<int32_t>(scored.Add("aa", TokenType::kControl, 100));
  for (const int32_t id : Ids(*scored.Make(), "aa", kPlainText)) EXPECT_NE(id, aa);
}

TEST(SpecialTokens, UserDefinedOnesMatchEverywhere) {
  const auto tokenizer = Hello().Make();
  EXPECT_EQ(Ids(*tokenizer, "hello<tool>he", kPlainText), (IdList{259, 263, 256}));
}

TEST(SpecialTokens, TheLeftmostAndThenTheLongestMatches) {
  SmallVocab vocab = Hello();
  const auto shorter = static_cast<int32_t>(vocab.Add("<x", TokenType::kUserDefined));
  const auto longer = static_cast<int32_t>(vocab.Add("<x><y>", TokenType::kUserDefined));
  const auto other = static_cast<int32_t>(vocab.Add("><y>zzzzzz", TokenType::kUserDefined));
  const auto tokenizer = vocab.Make();
  EXPECT_EQ(Ids(*tokenizer, "<x><y>zzzzzz"), (IdList{longer, 'z', 'z', 'z', 'z', 'z', 'z'}));
  EXPECT_EQ(Ids(*tokenizer, "<x!"), (IdList{shorter, '!'}));
  EXPECT_EQ(Ids(*tokenizer, "><y>zzzzzz"), IdList{other});
}

TEST(SpecialTokens, PiecesOfATemplateParseOnlyTheTemplatesOwn) {
  const auto tokenizer = Hello().Make();
  const auto encode = [&](std::vector<TextPiece> pieces) {
    const auto ids = tokenizer->Encode(pieces, false);
    EXPECT_TRUE(ids);
    return ids ? *ids : IdList{};
  };
  EXPECT_EQ(encode({{"<|im_start|>", true}, {"hello", false}, {"<|im_end|>", true}}),
            (IdList{261, 259, 262}));
  // A user's spelling stays text, wherever the pieces are cut.
  const IdList forged = Ids(*tokenizer, "<|im_end|>", kPlainText);
  EXPECT_EQ(encode({{"<|im_end|>", false}}), forged);
  const std::string spelling = "<|im_end|>";
  for (size_t cut = 1; cut < spelling.size(); ++cut) {
    EXPECT_EQ(encode({{spelling.substr(0, cut), true}, {spelling.substr(cut), false}}), forged)
        << cut;
    EXPECT_EQ(encode({{spelling.substr(0, cut), false}, {spelling.substr(cut), true}}), forged)
        << cut;
    EXPECT_EQ(encode({{spelling.substr(0, cut), true}, {spelling.substr(cut), true}}), IdList{262})
        << cut;
  }
  EXPECT_EQ(encode({{"a", true}, {"<tool>", false}, {"b", true}}), (IdList{'a', 263, 'b'}));
}

TEST(SpecialTokens, PiecesMergeAcrossTheirBorders) {
  const auto tokenizer = Hello().Make();
  const TextPiece pieces[] = {{"he", true}, {"llo", false}};
  EXPECT_EQ(*tokenizer->Encode(pieces, false), IdList{259});
}

TEST(SpecialTokens, BytesOfTwoAuthorsMakeNoLetter) {
  const auto tokenizer = Hello().Make();
  const TextPiece pieces[] = {{"\xC3", true}, {"\xA9", false}};
  EXPECT_EQ(pieces[0].text.size() + pieces[1].text.size(), 2u);
  EXPECT_EQ(*tokenizer->Encode(pieces, false), (IdList{0xEF, 0xBF, 0xBD, 0xEF, 0xBF, 0xBD}));
}

TEST(SpecialTokens, BosAndEosComeAsTheFileSays) {
  SmallVocab vocab = Hello();
  vocab.data.bos = 261;
  vocab.data.eos = 262;
  vocab.data.add_bos = true;
  vocab.data.add_eos = true;
  const auto tokenizer = vocab.Make();
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(Ids(*tokenizer, "he"), (IdList{261, 256, 262}));
  EXPECT_EQ(Ids(*tokenizer, "he", kPlainText), IdList{256});
  EXPECT_EQ(tokenizer->bos(), 261);
  EXPECT_EQ(tokenizer->eos(), 262);
}

TEST(SpecialTokens, StripRulesSwallowWhiteSpace) {
  SmallVocab vocab = Hello();
  vocab.data.model_name = "Phi-3 mini";
  EXPECT_EQ(Ids(*vocab.Make(), "he<|im_end|> \n he"), (IdList{256, 262, 256}));
  SmallVocab masked = Hello("jina-v2-code");
  const auto mask = static_cast<int32_t>(masked.Add("<mask>", TokenType::kControl));
  EXPECT_EQ(Ids(*masked.Make(), "he  <mask> he"), (IdList{256, mask, ' ', 256}));
}

TEST(EndOfGeneration, HoldsTheFilesRolesAndTheKnownNames) {
  SmallVocab vocab = Hello();
  const auto end_of_text = static_cast<int32_t>(vocab.Add("<|endoftext|>", TokenType::kControl));
  vocab.data.eos = 263;
  const auto tokenizer = vocab.Make();
  EXPECT_TRUE(tokenizer->is_end_of_generation(262));
  EXPECT_TRUE(tokenizer->is_end_of_generation(263));
  EXPECT_TRUE(tokenizer->is_end_of_generation(end_of_text));
  EXPECT_FALSE(tokenizer->is_end_of_generation(261));
  EXPECT_FALSE(tokenizer->is_end_of_generation(kNoToken));
}

TEST(EndOfGeneration, AnOrdinaryTokenWithSuchANameIsTakenAsControl) {
  SmallVocab vocab = Hello();
  const auto end = static_cast<int32_t>(vocab.Add("<|eot_id|>"));
  const auto tokenizer = vocab.Make();
  EXPECT_TRUE(tokenizer->is_control(end));
  EXPECT_NE(tokenizer->warning().find("<|eot_id|>"), std::string::npos);
}

TEST(EndOfGeneration, EndOfAChannelIsNotEndOfTheAnswer) {
  SmallVocab vocab = Hello();
  const auto end = static_cast<int32_t>(vocab.Add("<|end|>", TokenType::kControl));
  EXPECT_TRUE(SmallVocab(vocab).Make()->is_end_of_generation(end));
  vocab.Add("<|return|>", TokenType::kControl);
  vocab.Add("<|call|>", TokenType::kControl);
  vocab.data.eot = 262;
  EXPECT_FALSE(vocab.Make()->is_end_of_generation(end));
}

TEST(EndOfGeneration, AnHtmlTagThatIsAnOrdinaryTokenIsText) {
  SmallVocab vocab = Hello();
  const auto tag = static_cast<int32_t>(vocab.Add("</s>"));
  const auto tokenizer = vocab.Make();
  EXPECT_FALSE(tokenizer->is_end_of_generation(tag));
  EXPECT_FALSE(tokenizer->is_control(tag));
}

TEST(Tokenizer, OfEqualTokensTheLowestIdIsUsed) {
  SmallVocab vocab = Hello();
  vocab.Add("hello");
  EXPECT_EQ(Ids(*vocab.Make(), "hello"), IdList{259});
}

TEST(Tokenizer, TextWithinTheLimitOnly) {
  const auto tokenizer = Hello().Make();
  const std::string text(1 << 20, ' ');
  const std::vector<TextPiece> pieces(Tokenizer::kMaxTextBytes / text.size() + 1,
                                      TextPiece{text, false});
  const auto ids = tokenizer->Encode(pieces, false);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, Code::kInvalidArgument);
}

TEST(Tokenizer, TakesAtMostHalfAsMuchAgainAsTheFile) {
  SmallVocab vocab("gpt2", "gpt-2");
  vocab.AddByteLetters();
  uint64_t file_bytes = 256 * (8 + 2 + 4);
  // Words of four letters in a chain of merges, like a trained vocabulary's.
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'z'; ++b) {
      const std::string pair{a, b};
      vocab.Merge(std::string(1, a), std::string(1, b));
      file_bytes += 8 + 2 + 4 + 8 + 3;
      for (char c = 'a'; c <= 'z'; ++c) {
        vocab.Merge(pair, std::string(1, c));
        file_bytes += 8 + 3 + 4 + 8 + 4;
      }
    }
  vocab.data.scores.clear();
  const auto tokenizer = vocab.Make();
  EXPECT_LE(tokenizer->heap_bytes(), file_bytes * 3 / 2);
}

// A quadratic step anywhere would take hours on these.
TEST(Tokenizer, AMegabyteOfOneLetterIsQuick) {
  const std::string text(1 << 20, 'a');
  SmallVocab bytes("gpt2", "gpt-2");
  bytes.AddByteLetters();
  for (std::string a = "a"; a.size() < 64; a += a) bytes.Merge(a, a);
  EXPECT_EQ(Ids(*bytes.Make(), text).size(), text.size() / 64);

  SmallVocab scored("llama");
  scored.Add("<unk>", TokenType::kUnknown);
  scored.Add("<s>", TokenType::kControl);
  scored.Add("</s>", TokenType::kControl);
  for (std::string a = "a"; a.size() < 64; a += a)
    scored.Add(a, TokenType::kNormal, static_cast<float>(a.size()));
  scored.data.add_space_prefix = false;
  EXPECT_EQ(Ids(*scored.Make(), text, kPlainText).size(), text.size() / 32);

  EXPECT_EQ(Ids(*WordPieceVocab().Make(), text, kPlainText), IdList{1});
  EXPECT_EQ(Ids(*UnigramVocab().Make(), text, kPlainText).size(), text.size());
}

}  // namespace
}  // namespace mirage::text
