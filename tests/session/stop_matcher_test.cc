// SPDX-License-Identifier: Apache-2.0

#include "session/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace mirage::session {
namespace {

StopMatcher Make(const std::vector<std::string>& strings) {
  Result<StopMatcher> matcher = StopMatcher::Create(strings);
  EXPECT_TRUE(matcher.has_value());
  return *std::move(matcher);
}

TEST(StopMatcher, TextWithoutStopStringsPassesAtOnce) {
  StopMatcher matcher = Make({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.Flush(), "");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStopString) {
  StopMatcher matcher = Make({"END"});
  EXPECT_EQ(matcher.Push("oneE"), "one");
  EXPECT_EQ(matcher.Push("N"), "");
  EXPECT_EQ(matcher.Push("xt"), "ENxt");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, FindsAStopStringAcrossPieces) {
  StopMatcher matcher = Make({"END"});
  EXPECT_EQ(matcher.Push("oneE"), "one");
  EXPECT_EQ(matcher.Push("ND and more"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcher, GivesBackWhatIsUndecidedAtTheEnd) {
  StopMatcher matcher = Make({"END"});
  EXPECT_EQ(matcher.Push("EN"), "");
  EXPECT_EQ(matcher.Flush(), "EN");
}

TEST(StopMatcher, SeesAStopStringThatOverlapsItself) {
  StopMatcher matcher = Make({"aab"});
  EXPECT_EQ(matcher.Push("aaa"), "a");
  EXPECT_EQ(matcher.Push("b"), "");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, TheStringThatEndsFirstWins) {
  StopMatcher matcher = Make({"abcd", "bc"});
  EXPECT_EQ(matcher.Push("xabcd"), "xa");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, OfThoseEndingTogetherTheLongestWins) {
  StopMatcher matcher = Make({"c", "abc"});
  EXPECT_EQ(matcher.Push("xabc"), "x");
}

TEST(StopMatcher, RefusesEmptyLongAndMany) {
  EXPECT_EQ(StopMatcher::Create({""}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(StopMatcher::Create({std::string(StopMatcher::kMaxBytes + 1, 'a')}).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(
      StopMatcher::Create(std::vector<std::string>(StopMatcher::kMaxStrings + 1, "a")).error().code,
      Code::kInvalidArgument);
}

// The text before the first match, by looking at every end in order.
std::string Expected(const std::string& text, const std::vector<std::string>& strings,
                     bool* matched) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& string : strings)
      if (string.size() <= end && text.compare(end - string.size(), string.size(), string) == 0)
        longest = std::max(longest, string.size());
    if (longest == 0) continue;
    *matched = true;
    return text.substr(0, end - longest);
  }
  *matched = false;
  return text;
}

TEST(StopMatcher, AgreesWithPlainSearchHoweverTheTextIsCut) {
  std::mt19937 random(1);
  const auto draw = [&](size_t most_bytes) {
    std::string text;
    for (size_t i = random() % most_bytes + 1; i > 0; --i)
      text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    const std::vector<std::string> strings = {draw(5), draw(7)};
    const std::string text = draw(24);
    bool matched = false;
    const std::string expected = Expected(text, strings, &matched);
    StopMatcher matcher = Make(strings);
    std::string got;
    for (size_t at = 0; at < text.size();) {
      const size_t bytes = random() % 4 + 1;
      got += matcher.Push(std::string_view(text).substr(at, bytes));
      at += bytes;
    }
    got += matcher.Flush();
    ASSERT_EQ(got, expected) << text << " / " << strings[0] << " / " << strings[1];
    ASSERT_EQ(matcher.matched(), matched);
  }
}

}  // namespace
}  // namespace mirage::session
