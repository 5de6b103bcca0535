// SPDX-License-Identifier: Apache-2.0
#include "grammar/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "grammar/utf8.h"

namespace mirage::grammar {
namespace {

bool Matches(const std::string& pattern, const std::string& text, Anchoring anchoring) {
  const Result<Dfa> dfa = CompileRegex(pattern, anchoring);
  if (!dfa) {
    ADD_FAILURE() << pattern << ": " << dfa.error().message;
    return false;
  }
  return dfa->Matches(*CodePoints(text));
}

struct Case {
  const char* pattern;
  std::vector<const char*> yes, no;
};

TEST(Regex, WholeTexts) {
  const std::vector<Case> cases = {
      {"abc", {"abc"}, {"", "ab", "abcd"}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"(ab)*c+d?", {"c", "ababccd", "cd"}, {"ab", "abd"}},
      {"a{2}b{1,2}c{2,}", {"aabcc", "aabbccc"}, {"abcc", "aabbbcc", "aabc"}},
      {"(?:a{0,2}){2}", {"", "a", "aaaa"}, {"aaaaa"}},
      {"a*?b+?", {"b", "aab"}, {"a"}},
      {"[a-c^-]+", {"a-^c"}, {"d"}},
      {"[^a-c]", {"d", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"a", "dd"}},
      {"\\d\\w\\s\\S", {"1_ x", "9z\xC2\xA0y"}, {"\xD9\xA1_ x", "1_x "}},
      {"[\\d\\-\\]]+", {"1-]"}, {"["}},
      {"\\x41\\u0042\\u{1F600}\\cA\\t", {"AB\xF0\x9F\x98\x80\x01\t"}, {"AB"}},
      {"\\ud83d\\ude00", {"\xF0\x9F\x98\x80"}, {"x"}},
      {"\\p{Lu}\\p{Letter}\\P{L}",
       {"\xC3\x89"
        "a1"},
       {"aaa", "Aaa"}},
      {"a.c",
       {"abc",
        "a\xE2\x82\xAC"
        "c"},
       {"a\nc", "ac"}},
      {"(?<year>[0-9]{4})", {"2024"}, {"24"}},
      {"a{,2}", {"a{,2}"}, {"aa"}},
      {"^ab$", {"ab"}, {"b"}},
      {"a^b", {}, {"ab", "a^b"}},
  };
  for (const Case& c : cases) {
    for (const char* text : c.yes)
      EXPECT_TRUE(Matches(c.pattern, text, Anchoring::kWhole)) << c.pattern << ' ' << text;
    for (const char* text : c.no)
      EXPECT_FALSE(Matches(c.pattern, text, Anchoring::kWhole)) << c.pattern << ' ' << text;
  }
}

TEST(Regex, SearchesUnlessAnchored) {
  const std::vector<Case> cases = {
      {"b+", {"b", "abc", "\nb\n"}, {"", "ac"}},
      {"^b", {"b", "bc"}, {"ab"}},
      {"b$", {"b", "ab"}, {"bc"}},
      {"^b$", {"b"}, {"ab", "bc", ""}},
      {"^a|b$", {"ax", "xb"}, {"xax"}},
      {"", {"", "x"}, {}},
      {"(^|x)a", {"a", "bxa"}, {"ba"}},
  };
  for (const Case& c : cases) {
    for (const char* text : c.yes)
      EXPECT_TRUE(Matches(c.pattern, text, Anchoring::kSearch)) << c.pattern << ' ' << text;
    for (const char* text : c.no)
      EXPECT_FALSE(Matches(c.pattern, text, Anchoring::kSearch)) << c.pattern << ' ' << text;
  }
}

TEST(Regex, WhatIsNotKnownIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a(?=b)", "look-ahead"},       {"a(?<!b)", "look-behind"}, {"(a)\\1", "back reference"},
      {"\\bword", "word boundary"},   {"(?i)a", "flags"},         {"a*+", "possessive"},
      {"\\p{Script=Greek}", "Greek"}, {"[[:alpha:]]", "POSIX"},   {"a{99999}", "99999"},
  };
  for (const auto& [pattern, word] : cases) {
    const Result<Dfa> dfa = CompileRegex(pattern, Anchoring::kSearch);
    ASSERT_FALSE(dfa) << pattern;
    EXPECT_EQ(dfa.error().code, Code::kUnsupported) << pattern;
    EXPECT_NE(dfa.error().message.find(word), std::string::npos) << dfa.error().message;
    EXPECT_NE(dfa.error().message.find("position "), std::string::npos) << dfa.error().message;
  }
}

TEST(Regex, MistakesAreErrorsWithAPosition) {
  for (const char* pattern : {"a)", "(a", "[a", "*a", "a**", "a{2}{3}", "[z-a]", "\\", "\\q",
                              "\\x4", "\\u{110000}", "\\ud800", "a{3,2}", "[\\d-z]", "(?<n"}) {
    const Result<Dfa> dfa = CompileRegex(pattern, Anchoring::kWhole);
    ASSERT_FALSE(dfa) << pattern;
    EXPECT_EQ(dfa.error().code, Code::kInvalidArgument) << pattern;
    EXPECT_NE(dfa.error().message.find("position "), std::string::npos) << dfa.error().message;
  }
  EXPECT_EQ(CompileRegex("\xFF", Anchoring::kWhole).error().code, Code::kInvalidArgument);
}

TEST(Regex, HostilePatternsEndInAnError) {
  for (const std::string& pattern :
       {std::string("((((a{999}){999}){999}){999})"), std::string(5000, '('),
        std::string("(a|b)*a(a|b){30}"),
        std::string("(()*){10000}{1}").substr(0, 12) + "|((){9999}){9999}"}) {
    const Result<Dfa> dfa = CompileRegex(pattern, Anchoring::kWhole);
    ASSERT_FALSE(dfa) << pattern.substr(0, 40);
    EXPECT_EQ(dfa.error().code, Code::kUnsupported) << dfa.error().message;
  }
}

}  // namespace
}  // namespace mirage::grammar
