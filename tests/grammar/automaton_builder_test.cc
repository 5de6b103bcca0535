// SPDX-License-Identifier: Apache-2.0
#include "grammar/automaton_builder.h"

#include <gtest/gtest.h>

#include <string>

#include "grammar/regex.h"

namespace mirage::grammar {
namespace {

// The bytes of a pattern's texts, between nothing or between the quotes' insides.
class Bytes {
 public:
  Bytes(const std::string& pattern, Encoding encoding) {
    const Dfa dfa = *CompileRegex(pattern, Anchoring::kWhole);
    AutomatonBuilder builder;
    const uint32_t start = *builder.EmitRule(dfa, encoding);
    automaton_ = *builder.Finish(start);
  }
  [[nodiscard]] bool Match(const std::string& bytes) const {
    uint32_t at = automaton_.start;
    for (const char byte : bytes) {
      at = automaton_.Next(automaton_.nodes[at], static_cast<uint8_t>(byte));
      if (at == kNoState) return false;
    }
    return automaton_.nodes[at].accepts;
  }

 private:
  Automaton automaton_;
};

TEST(AutomatonBuilder, CodePointsBecomeUtf8) {
  const Bytes any(".", Encoding::kPlain);
  for (const char* text :
       {"a", "\"", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(any.Match(text)) << text;
  for (const char* text :
       {"", "\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xE2\x82\xAC\xAC"})
    EXPECT_FALSE(any.Match(text)) << text;
}

TEST(AutomatonBuilder, PartsOfALeadsRangeAreExact) {
  const Bytes some("[\\u0085-\\u0412\\u20AC\\u{1F600}-\\u{1F64F}]", Encoding::kPlain);
  for (const char* text :
       {"\xC2\x85", "\xD0\x92", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF0\x9F\x99\x8F"})
    EXPECT_TRUE(some.Match(text)) << text;
  for (const char* text :
       {"\xC2\x84", "\xD0\x93", "\xE2\x82\xAB", "\xF0\x9F\x97\xBF", "\xF0\x9F\x99\x90"})
    EXPECT_FALSE(some.Match(text)) << text;
}

TEST(AutomatonBuilder, JsonStringsEscapeWhatMustBe) {
  const Bytes any("[^x]{1}", Encoding::kJsonString);
  for (const char* text : {"a", "/", "\\/", "\\\"", "\\\\", "\\n", "\\u000a", "\\u001F", "\\u007f",
                           "\\u00e9", "\\u00E9", "\xC3\xA9", "\\ud7ff", "\\uE000", "\\uffff",
                           "\\ud83d\\ude00", "\\uDBFF\\uDFFF", "\xF0\x9F\x98\x80", "\x7F"})
    EXPECT_TRUE(any.Match(text)) << text;
  for (const char* text : {"x", "\"", "\\", "\n", "\\x", "\\ud800", "\\udc00\\ud800",
                           "\\ud83d\\u0041", "\\u0041", "\\u00g0", "\\u00e", "ab", "\\n\\n"})
    EXPECT_FALSE(any.Match(text)) << text;
}

TEST(AutomatonBuilder, JsonStringsMayEscapeWhatNeedNotBe) {
  const Bytes any("[^x]{1}", Encoding::kJsonStringAnyhow);
  for (const char* text :
       {"a", "\\u0041", "\\u007E", "\\u0020", "\\u0022", "\\ud83d\\ude00", "\\/"})
    EXPECT_TRUE(any.Match(text)) << text;
  for (const char* text : {"x", "\\u0078", "\\ud800", "\\u00g0", "\\u0041a", "\\a"})
    EXPECT_FALSE(any.Match(text)) << text;
}

}  // namespace
}  // namespace mirage::grammar
