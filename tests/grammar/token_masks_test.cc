// SPDX-License-Identifier: Apache-2.0
#include "grammar/token_masks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "grammar/trigger.h"

namespace mirage::grammar {
namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const TokenTrie> TrieOf(std::vector<std::string> tokens) {
  auto texts = std::make_shared<const std::vector<std::string>>(std::move(tokens));
  return std::make_shared<const TokenTrie>(texts->size(), [texts](int32_t token) {
    return std::string_view((*texts)[static_cast<size_t>(token)]);
  });
}

// What a mask must be: each token pushed as a whole.
BitSet Pushed(const TokenTrie& trie, const Matcher& matcher, bool drop_space) {
  BitSet allowed(trie.token_count());
  for (size_t token = 0; token < trie.token_count(); ++token) {
    std::string_view text = trie.Text(static_cast<int32_t>(token));
    if (text.empty()) continue;
    if (drop_space && text[0] == ' ') text.remove_prefix(1);
    Matcher copy = matcher;
    const Result<size_t> taken = copy.Push(text);
    if (taken && *taken == text.size()) allowed.Add(token);
  }
  return allowed;
}

// Every byte, and pieces that cross what grammars tell apart; a few twice and a few without text.
std::vector<std::string> Vocabulary(std::mt19937& random) {
  const std::vector<std::string> pieces = {
      "{",        "}",    "[",    "]",     "\"",    ":",  ",",    " ",    "\n",   "true",
      "fal",      "se",   "nu",   "ll",    "a",     "b",  "foo",  "bar",  "12",   "-",
      ".5",       "e3",   "\\",   "\\u",   "00",    "é",  "\xC3", "\xA9", "日本", "\xE6",
      "\xF0\x9F", "😀",    "\xF0", "x",     "y",     "  ", "\t",   "root", "()",   "(",
      ")",        "name", "\r\n", "value", "2020-", "@",  "/",    "T"};
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (int i = 0; i < 600; ++i) {
    std::string token;
    for (auto parts = random() % 4; parts > 0; --parts) token += pieces[random() % pieces.size()];
    tokens.push_back(token);
  }
  std::shuffle(tokens.begin(), tokens.end(), random);
  return tokens;
}

// Compares at every state along `walks` random texts.
void Compare(const Grammar& grammar, const std::shared_ptr<const TokenTrie>& trie,
             std::mt19937& random, int walks, size_t kept_bytes = TokenMasks::kMostKeptBytes) {
  TokenMasks masks(grammar, trie, kept_bytes);
  for (int walk = 0; walk < walks; ++walk) {
    Result<Matcher> matcher = grammar.Begin();
    ASSERT_TRUE(matcher);
    bool begins = true;  // nothing pushed yet: a grammar may be of no text
    for (int step = 0; step < 12; ++step) {
      const bool drop_space = step == 0 && walk % 2 == 0;
      const std::shared_ptr<const BitSet> mask = masks.After(*matcher, drop_space).value();
      ASSERT_EQ(*mask, Pushed(*trie, *matcher, drop_space)) << "walk " << walk << " step " << step;
      std::vector<int32_t> allowed;
      for (size_t token = 0; token < mask->size(); ++token)
        if (mask->Has(token)) allowed.push_back(static_cast<int32_t>(token));
      if (allowed.empty()) {
        EXPECT_TRUE(matcher->CanEnd() || begins) << "every byte is a token: a way leads on";
        break;
      }
      std::string_view text = trie->Text(allowed[random() % allowed.size()]);
      if (drop_space && text[0] == ' ') text.remove_prefix(1);
      ASSERT_EQ(*matcher->Push(text), text.size());
      begins &= text.empty();
    }
  }
}

TEST(TokenMasks, AreWhatPushingEachTokenSays) {
  std::mt19937 random(1);
  const char* const grammars[] = {
      "root ::= \"ab\" \"c\"?",
      "root ::= \"(\" root \")\" | \"x\" | \"\"",
      "root ::= item (\",\" item)*\nitem ::= [a-z]+ | \"é\"* [0-9]{2,4}",
      "root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"x\"",
      "root ::= [^\"\\\\]* \"\\\"\" char* \"\\\"\"\nchar ::= [^\"\\\\] | \"\\\\\" [nu]",
  };
  for (const char* text : grammars) {
    SCOPED_TRACE(text);
    Compare(*Grammar::FromGbnf(text), TrieOf(Vocabulary(random)), random, 8);
  }
  for (const char* text : {"", ".*", "(foo|bar)+", "[^b]{0,20}b", "\\p{L}+ ?\\d*"}) {
    SCOPED_TRACE(text);
    Compare(*Grammar::FromRegex(text), TrieOf(Vocabulary(random)), random, 8);
  }
}

TEST(TokenMasks, OfSchemasToo) {
  std::mt19937 random(2);
  const char* const schemas[] = {
      "true",
      "false",
      R"({"type":"object","properties":{"foo":{"type":"integer"},"name":{"type":"string"}},
          "required":["name"],"additionalProperties":false})",
      R"({"type":"object","properties":{"foo":{"enum":["a","é","foo"]}}})",
      R"({"type":"array","items":{"type":["number","null","boolean"]},"minItems":1,"maxItems":3})",
      R"({"type":"object","minProperties":2,"properties":{"foo":{"type":"null"}}})",
      R"({"type":"string","maxLength":5})",
      R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":
          {"a":{"$ref":"#/$defs/n"},"b":{"type":"string","format":"date"}}}}})",
  };
  for (const char* text : schemas)
    for (const Spelling spelling : {Spelling::kAny, Spelling::kBounded}) {
      SCOPED_TRACE(text);
      Compare(*Grammar::FromJsonSchema(text, spelling), TrieOf(Vocabulary(random)), random, 6);
    }
}

TEST(TokenMasks, OfTheSuitesSchemas) {
  const char* const folder = std::getenv("MIRAGE_TEST_JSON_SCHEMA");
  if (folder == nullptr || !std::filesystem::exists(folder))
    GTEST_SKIP() << "MIRAGE_TEST_JSON_SCHEMA names no test suite: see tools/fetch_test_data.sh";
  std::mt19937 random(3);
  const auto trie = TrieOf(Vocabulary(random));
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    for (const Json& group : Json::parse(file)) {
      const auto grammar = Grammar::FromJsonSchema(group["schema"].dump(), Spelling::kBounded);
      if (!grammar) continue;
      SCOPED_TRACE(group["schema"].dump());
      Compare(*grammar, trie, random, 2);
      ++compared;
    }
  }
  EXPECT_GT(compared, 150);
}

TEST(TokenMasks, DoNotDependOnHowMuchIsKept) {
  std::mt19937 random(4);
  // Every beginning is a matcher of its own: more of them than are kept.
  const Grammar stacks = *Grammar::FromGbnf("root ::= [a-c] root [a-z] | \"d\" root \"e\" | \"x\"");
  std::vector<std::string> tokens;
  for (int i = 0; i < 4000; ++i) {
    std::string token;
    for (int bytes = 0; bytes < 9; ++bytes) token += "abcde"[random() % 5];
    tokens.push_back(token);
  }
  Compare(stacks, TrieOf(tokens), random, 2, 0);
  Compare(*Grammar::FromJsonSchema("true"), TrieOf(Vocabulary(random)), random, 10, 0);
}

TEST(TokenMasks, TooMuchWorkIsAnErrorNotAnAnswer) {
  // Each letter doubles the ways to read the text, and they are other ways for other letters.
  const Grammar grammar = *Grammar::FromGbnf(
      "root ::= \"a\" p \"1\" | \"a\" q \"2\" | \"b\" p \"1\" | \"b\" q \"3\" | \"x\"\n"
      "p ::= root\nq ::= root \"\"");
  std::vector<std::string> tokens;
  for (size_t letters = 0; letters < 256; ++letters) {
    std::string token;
    for (size_t bit = 0; bit < 8; ++bit) token += ((letters >> bit) & 1) != 0 ? 'b' : 'a';
    tokens.push_back(token);
  }
  const std::vector<std::string> few(tokens.begin(), tokens.begin() + 4);
  for (const size_t kept_bytes : {size_t{0}, TokenMasks::kMostKeptBytes}) {
    TokenMasks possible(grammar, TrieOf(few), kept_bytes);
    EXPECT_TRUE(possible.After(*grammar.Begin(), false));
    TokenMasks masks(grammar, TrieOf(tokens), kept_bytes);
    const auto mask = masks.After(*grammar.Begin(), false);
    ASSERT_FALSE(mask);
    EXPECT_EQ(mask.error().code, Code::kUnsupported);
  }
}

TEST(TokenMasks, FreeTextGoesOnToTheGrammar) {
  std::mt19937 random(5);
  const Grammar grammar = *Grammar::FromRegex("[0-9]+");
  for (const std::vector<std::string>& triggers :
       {std::vector<std::string>{}, {"foo"}, {"(foo", "()", "oo)"}, {"aab", "ab", "b"}}) {
    const Grammar lazy = *grammar.AfterTriggers(triggers);
    Compare(lazy, TrieOf(Vocabulary(random)), random, 20);
    // Against looking for the triggers in the text.
    for (int i = 0; i < 2000; ++i) {
      std::string text;
      for (auto bytes = random() % 9; bytes > 0; --bytes) text += "abfo()17"[random() % 8];
      size_t begin = std::string::npos;
      for (const std::string& trigger : triggers)
        if (const size_t at = text.find(trigger); at != std::string::npos)
          begin = std::min(begin, at + trigger.size());
      bool valid = true;
      if (begin != std::string::npos) {
        Matcher rest = *grammar.Begin();
        valid = *rest.Push(std::string_view(text).substr(begin)) == text.size() - begin &&
                rest.CanEnd();
      }
      Matcher matcher = *lazy.Begin();
      const bool taken = *matcher.Push(text) == text.size() && matcher.CanEnd();
      EXPECT_EQ(taken, valid) << text;
      if (taken) {
        EXPECT_EQ(matcher.InFreeText(), begin == std::string::npos) << text;
      }
    }
  }
  EXPECT_EQ(*grammar.AfterTriggers({})->BeginTriggered()->Push("12x"), 2u);
}

TEST(Trigger, BoundsAreSaid) {
  EXPECT_EQ(CheckTriggers({"a", ""}).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(CheckTriggers({std::string(kMostTriggerBytes, 'a')}));
  EXPECT_FALSE(CheckTriggers({std::string(kMostTriggerBytes + 1, 'a')}));
  EXPECT_FALSE(CheckTriggers(std::vector<std::string>(kMostTriggers + 1, "a")));
}

TEST(TokenTrie, LongestPrefixIsTheLowestOfTheLongest) {
  const auto trie = TrieOf({"", "a", "ab", "abc", "ab", "b", "abcd"});
  EXPECT_EQ(trie->LongestPrefix("abx"), 2);
  EXPECT_EQ(trie->LongestPrefix("abc"), 3);
  EXPECT_EQ(trie->LongestPrefix("ba"), 5);
  EXPECT_EQ(trie->LongestPrefix("c"), -1);
  EXPECT_EQ(trie->LongestPrefix(""), -1);
  EXPECT_TRUE(trie->without_text().Has(0));
  EXPECT_FALSE(trie->without_text().Has(1));
}

TEST(TokenTrie, TakesNoMoreMemoryThanWasSaid) {
  std::mt19937 random(6);
  const std::vector<std::string> tokens = Vocabulary(random);
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  EXPECT_LE(TrieOf(tokens)->heap_bytes(), TokenTrie::BytesFor(tokens.size(), bytes));
}

TEST(JsonSchema, BoundedWhiteSpaceEnds) {
  const Grammar grammar = *Grammar::FromJsonSchema("true", Spelling::kBounded);
  const auto taken = [&](const std::string& text) {
    Matcher matcher = *grammar.Begin();
    return *matcher.Push(text) == text.size();
  };
  const auto complete = [&](const std::string& text) {
    Matcher matcher = *grammar.Begin();
    return *matcher.Push(text) == text.size() && matcher.CanEnd();
  };
  EXPECT_TRUE(complete(Json::parse(R"({"a":[1,{"b":[]}],"c":{}})").dump(4)));
  EXPECT_TRUE(complete(Json::parse(R"({"a":[1,{"b":[]}],"c":{}})").dump(1, '\t')));
  EXPECT_TRUE(complete(" { \"a\" : [ 1 , 2 ] }"));
  EXPECT_FALSE(taken("[  "));
  EXPECT_FALSE(taken("[] "));
  EXPECT_FALSE(taken("[\n\n"));
  EXPECT_TRUE(taken("[\n" + std::string(kMostIndent, ' ')));
  EXPECT_FALSE(taken("[\n" + std::string(kMostIndent + 1, ' ')));
}

TEST(JsonSchema, BoundedNumbersAreReadAsTheyAreMeant) {
  const auto taken = [](const char* schema, const std::string& text) {
    Matcher matcher = *Grammar::FromJsonSchema(schema, Spelling::kBounded)->Begin();
    return *matcher.Push(text) == text.size() && matcher.CanEnd();
  };
  const std::string sixteen(16, '1');
  EXPECT_TRUE(taken("true", sixteen + "." + sixteen + "e-99"));
  EXPECT_TRUE(taken("true", "-0.5"));
  EXPECT_FALSE(taken("true", sixteen + "1"));
  EXPECT_FALSE(taken("true", "0." + sixteen + "1"));
  EXPECT_FALSE(taken("true", "1e100"));
  EXPECT_TRUE(taken(R"({"type":"integer","minimum":3})", sixteen));
  EXPECT_FALSE(taken(R"({"type":"integer","minimum":3})", sixteen + "1"));
  // Where no such number is allowed.
  EXPECT_TRUE(taken(R"({"type":"integer","minimum":100000000000000000})", "1" + sixteen + "9"));
}

}  // namespace
}  // namespace mirage::grammar
