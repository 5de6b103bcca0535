// SPDX-License-Identifier: Apache-2.0
#include "grammar/gbnf.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace mirage::grammar {
namespace {

bool Allows(const Grammar& grammar, const std::string& text) {
  Matcher matcher = *grammar.Begin();
  const Result<size_t> taken = matcher.Push(text);
  return taken && *taken == text.size() && matcher.CanEnd();
}

struct Case {
  const char* grammar;
  std::vector<std::string> yes, no;
};

TEST(Gbnf, TextsOfAGrammar) {
  const std::vector<Case> cases = {
      {"root ::= \"ab\" | \"c\"", {"ab", "c"}, {"", "a", "abc", "ac"}},
      {"root ::= (\"a\" | \"b\" \"c\")+ \"d\"?", {"a", "bcad"}, {"", "b", "add"}},
      {"root ::= [a-c^-] [^a-c\\n] .", {"-\xC3\xA9\n", "^zz"}, {"daz", "a\nz", "aaz"}},
      {"root ::= [\\]\\[] \"\\\"\\\\\\t\"", {"]\"\\\t", "[\"\\\t"}, {"a\"\\\t"}},
      {"root ::= \"\\x41\\u20AC\\U0001F600\"", {"A\xE2\x82\xAC\xF0\x9F\x98\x80"}, {"A"}},
      {"root ::= \"a\"{2} \"b\"{1,} \"c\"{0,2} \"d\"{0}", {"aab", "aabbcc"}, {"ab", "aabccc"}},
      {"root ::= [0-9] {1,2}", {"1", "12"}, {"", "123"}},
      {"# front\nroot ::=   # here\n  item |\n  \"x\"\n  | \"y\"\nitem ::= \"i\"\n",
       {"i", "x", "y"},
       {"ix", ""}},
      {"root ::= (\n \"a\"\n | \"b\" # in a group\n)\n", {"a", "b"}, {"ab"}},
      {"root ::= a b\na ::= \"a\"\n\nb ::= \"b\" |", {"a", "ab"}, {"b", ""}},
      {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())", ")("}},
      {"root ::= pair*\npair ::= \"x\" | \"[\" root \"]\"", {"", "x[x[]x]"}, {"x]", "[x"}},
      {"root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9]+ | \"(\" e \")\"",
       {"1", "1+(2+3)+45"},
       {"1+", "(1", "1)", ""}},
      {"root ::= opt opt \"z\"\nopt ::= \"a\"?", {"z", "az", "aaz"}, {"aaaz"}},
      {"root ::= (opt)* \"z\"\nopt ::= \"a\"?", {"z", "aaaz"}, {"a"}},
      {"root ::= \"a\" root | \"a\"", {"a", "aaaa"}, {"", "ab"}},
  };
  for (const Case& c : cases) {
    const Result<Grammar> grammar = Grammar::FromGbnf(c.grammar);
    ASSERT_TRUE(grammar) << c.grammar << ": " << grammar.error().message;
    for (const std::string& text : c.yes) EXPECT_TRUE(Allows(*grammar, text)) << c.grammar << text;
    for (const std::string& text : c.no) EXPECT_FALSE(Allows(*grammar, text)) << c.grammar << text;
  }
}

TEST(Gbnf, MistakesAreNamedWithLineAndColumn) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"root ::= \"a\"\n  missing ::= b\n", "2:15: rule 'b' is not defined"},
      {"root ::= \"a\"\nroot ::= \"b\"", "2:1: rule 'root' is defined twice"},
      {"a ::= \"a\"", "no rule 'root'"},
      {"", "no rule 'root'"},
      {"root = \"a\"", "1:6: '::=' is expected"},
      {"root ::= (\"a\"", "a ')' is expected"},
      {"root ::= \"a\")", "1:13: the end of the rule 'root'"},
      {"root ::= \"a", "1:10: the text that begins here does not end"},
      {"root ::= [a", "1:10: the class that begins here does not end"},
      {"root ::= *", "a repetition with nothing before it"},
      {"root ::= \"a\"{3,2}", "least is above its most"},
      {"root ::= \"a\"{x}", "a number is expected"},
      {"root ::= \"\\q\"", "unknown escape '\\q'"},
      {"root ::= [z-a]", "runs backwards"},
      {"root ::= \"\\uD800\"", "no such code point"},
      {"root ::= %", "'%' begins no item"},
      {"root ::= \"\xFF\"", "not UTF-8"},
  };
  for (const auto& [text, message] : cases) {
    const Result<Grammar> grammar = Grammar::FromGbnf(text);
    ASSERT_FALSE(grammar) << text;
    EXPECT_EQ(grammar.error().code, Code::kInvalidArgument) << text;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

TEST(Gbnf, RulesWithoutAnEndOrWithLeftRecursionAreRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"root ::= loop | \"a\"\nloop ::= \"a\" loop", "'loop' produces nothing"},
      {"root ::= \"a\" empty | \"b\"\nempty ::= []", "'empty' produces nothing"},
      {"root ::= root \"a\" | \"b\"", "'root' is left-recursive"},
      {"root ::= \"x\" a\na ::= b? c\nb ::= \"b\"\nc ::= a \"y\" | \"c\"", "left-recursive"},
      {"root ::= root | \"a\"", "'root' is left-recursive"},
  };
  for (const auto& [text, message] : cases) {
    const Result<Grammar> grammar = Grammar::FromGbnf(text);
    ASSERT_FALSE(grammar) << text;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

TEST(Gbnf, WhatIsTooLargeOrUnknownIsUnsupported) {
  const std::vector<std::string> cases = {"root ::= ((((\"a\"{999}){999}){999}){999})",
                                          "root ::= \"a\"{99999}",
                                          "root ::= " + std::string(5000, '('),
                                          "root ::= <[17]>",
                                          "root ::= ([ab])* \"a\" [ab]{30}",
                                          "#" + std::string(kMaxGbnfBytes, ' ')};
  for (const std::string& text : cases) {
    const Result<Grammar> grammar = Grammar::FromGbnf(text);
    ASSERT_FALSE(grammar) << text.substr(0, 40);
    EXPECT_EQ(grammar.error().code, Code::kUnsupported) << grammar.error().message;
  }
}

}  // namespace
}  // namespace mirage::grammar
