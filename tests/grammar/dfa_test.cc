// SPDX-License-Identifier: Apache-2.0
#include "grammar/dfa.h"

#include <gtest/gtest.h>

#include <string>

#include "grammar/char_set.h"

namespace mirage::grammar {
namespace {

TEST(CharSet, JoinsNeighboursAndLeavesSurrogatesOut) {
  CharSet set{{'c', 'd'}, {'a', 'b'}, {'x', 'x'}};
  EXPECT_EQ(set.ranges(), (std::vector<CharRange>{{'a', 'd'}, {'x', 'x'}}));
  EXPECT_EQ(CharSet::Any().ranges(),
            (std::vector<CharRange>{{0, 0xD7FF}, {0xE000, kMaxCodePoint}}));
  EXPECT_TRUE(CharSet::Any().Complement().empty());
  EXPECT_EQ(set.Complement().Complement().ranges(), set.ranges());
}

TEST(Dfa, LengthsCountCodePoints) {
  const Dfa two_to_three = *Dfa::Length(2, 3);
  EXPECT_FALSE(two_to_three.Matches(U"a"));
  EXPECT_TRUE(two_to_three.Matches(U"\u00e9\U0001F600"));
  EXPECT_TRUE(two_to_three.Matches(U"abc"));
  EXPECT_FALSE(two_to_three.Matches(U"abcd"));
  EXPECT_TRUE(Dfa::Length(3, UINT64_MAX)->Matches(U"abcdefgh"));
  EXPECT_FALSE(Dfa::Length(3, UINT64_MAX)->Matches(U"ab"));
  EXPECT_TRUE(Dfa::Length(3, 2)->empty());
}

TEST(Dfa, ALengthAboveTheStatesIsRefused) {
  const Result<Dfa> result = Dfa::Length(0, 1'000'000);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kUnsupported);
}

TEST(Dfa, AndOrNotAreThoseOfSets) {
  const Dfa cat = Dfa::Literal(U"cat"), car = Dfa::Literal(U"car");
  const Dfa either = *cat.Or(car);
  for (const std::u32string_view text : {U"cat", U"car"}) EXPECT_TRUE(either.Matches(text));
  for (const std::u32string_view text : {U"", U"ca", U"cats", U"dog"}) {
    EXPECT_FALSE(either.Matches(text));
    EXPECT_TRUE(either.Not().Matches(text));
  }
  EXPECT_TRUE(cat.And(car)->empty());
  EXPECT_TRUE(either.And(cat.Not())->Matches(U"car"));
  EXPECT_FALSE(either.And(cat.Not())->Matches(U"cat"));
  EXPECT_TRUE(Dfa::Any().Not().empty());
  EXPECT_TRUE(Dfa().Not().Matches(U"anything"));
}

TEST(Dfa, NothingIsKeptThatLeadsToNoEnd) {
  // "ab" and "ac" share a front; without "ab" its branch is gone.
  const Dfa left = *Dfa::Literal(U"ab").Or(Dfa::Literal(U"ac"))->And(Dfa::Literal(U"ac"));
  EXPECT_EQ(left.states().size(), 3u);
  EXPECT_EQ(left.states()[1].edges.size(), 1u);
}

TEST(Dfa, MinimizedMatchesTheSameInFewerStates) {
  const Dfa both = *Dfa::Literal(U"abx").Or(Dfa::Literal(U"cdx"));
  const Dfa small = both.Minimized();
  EXPECT_LT(small.states().size(), both.states().size());
  for (const std::u32string_view text : {U"abx", U"cdx"}) EXPECT_TRUE(small.Matches(text));
  for (const std::u32string_view text : {U"adx", U"ab", U"abxx"}) EXPECT_FALSE(small.Matches(text));
}

}  // namespace
}  // namespace mirage::grammar
