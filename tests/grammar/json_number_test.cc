// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_number.h"

#include <gtest/gtest.h>

#include <string>

#include "grammar/utf8.h"

namespace mirage::grammar {
namespace {

Decimal Number(const std::string& text) { return ParseJson(text)->number; }
bool Has(const Dfa& numbers, const std::string& text) { return numbers.Matches(*CodePoints(text)); }

TEST(JsonValue, NumbersAreReadExactly) {
  EXPECT_EQ(Number("-12.50e3"), (Decimal{true, "12500", ""}));
  EXPECT_EQ(Number("0.1"), (Decimal{false, "", "1"}));
  EXPECT_EQ(Number("-0.0"), Decimal{});
  EXPECT_EQ(Number("1e-8"), (Decimal{false, "", "00000001"}));
  EXPECT_EQ(Number("123.4560e-1"), (Decimal{false, "12", "3456"}));
  EXPECT_EQ(Number("0.00123E2"), (Decimal{false, "", "123"}));
  EXPECT_EQ(Number("18446744073709551615"), (Decimal{false, "18446744073709551615", ""}));
}

TEST(JsonValue, MistakesAndHostileTextAreErrors) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":1,\"a\":2}", "1e999", "nul", "\"\xFF\""})
    EXPECT_EQ(ParseJson(text).error().code, Code::kInvalidArgument) << text;
  EXPECT_EQ(ParseJson(std::string(5000, '[')).error().code, Code::kUnsupported);
}

TEST(JsonNumber, ComparesEveryPairOfDecimals) {
  const std::string values[] = {"-100",   "-12.5", "-12",   "-1.05", "-1",   "-0.99", "-0.9",
                                "-0.001", "0",     "0.001", "0.1",   "0.11", "1",     "1.5",
                                "9",      "10",    "10.01", "99",    "100",  "101.25"};
  for (size_t b = 0; b < std::size(values); ++b) {
    const Dfa less = *Compared(Number(values[b]), true, false, false);
    const Dfa equal = *Compared(Number(values[b]), false, true, false);
    const Dfa greater = *Compared(Number(values[b]), false, false, true);
    for (size_t v = 0; v < std::size(values); ++v) {
      for (const char* more : {"", "0", "000"}) {
        std::string text = values[v];
        if (*more != '\0')
          text += (text.find('.') == std::string::npos ? "." : "") + std::string(more);
        EXPECT_EQ(Has(less, text), v < b) << text << " < " << values[b];
        EXPECT_EQ(Has(equal, text), v == b) << text << " = " << values[b];
        EXPECT_EQ(Has(greater, text), v > b) << text << " > " << values[b];
      }
    }
  }
  const Dfa zero = *Compared(Number("0"), false, true, false);
  EXPECT_TRUE(Has(zero, "-0"));
  EXPECT_TRUE(Has(zero, "-0.00"));
  for (const char* text : {"", "-", "00", "01", "1.", ".5", "+1", "1e0", "--1"})
    EXPECT_FALSE(Has(*Compared(Number("-5"), false, false, true), text)) << text;
}

TEST(JsonNumber, MultiplesAreExact) {
  const Dfa sevens = *MultiplesOf(Number("7"));
  const Dfa cents = *MultiplesOf(Number("0.01"));
  const Dfa halves = *MultiplesOf(Number("2.5"));
  for (int i = -50; i <= 50; ++i) {
    EXPECT_EQ(Has(sevens, std::to_string(i)), i % 7 == 0) << i;
    EXPECT_EQ(Has(sevens, std::to_string(i) + ".0"), i % 7 == 0) << i;
    EXPECT_EQ(Has(halves, std::to_string(i)), i % 5 == 0) << i;
  }
  EXPECT_FALSE(Has(sevens, "3.5"));
  for (const char* text : {"4.02", "4.020", "-17.5", "3"}) EXPECT_TRUE(Has(cents, text)) << text;
  EXPECT_FALSE(Has(cents, "4.021"));
  EXPECT_TRUE(Has(halves, "7.5"));
  EXPECT_FALSE(Has(halves, "7.51"));
  EXPECT_EQ(MultiplesOf(Number("123456789")).error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace mirage::grammar
