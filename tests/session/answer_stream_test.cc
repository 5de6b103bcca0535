// SPDX-License-Identifier: Apache-2.0

// Answers of every format from their tokens, cut anywhere: what comes is what the whole text is
// read as.

#include "session/answer_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "session/answer_message.h"
#include "tests/text/small_vocab.h"
#include "text/answer/answer_format.h"
#include "text/unicode.h"

namespace mirage::session {
namespace {

using text::AnswerPiece;
using text::CallFormat;

struct Sample {
  CallFormat format;
  std::vector<std::string_view> controls;  // spelled by tokens of their own
  std::string_view text;
};

const std::vector<Sample>& Samples() {
  static const std::vector<Sample> samples = {
      {CallFormat::kNone, {}, "Just wörds <b>."},
      {CallFormat::kHermes,
       {},
       "<think>\nHm, 2 < 3 — no.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"f\", "
       "\"arguments\": {\"città\": \"</tool_call>\"}}\n</tool_call>\n<tool_call>{\"name\":\"g\"}"
       "</tool_call>"},
      {CallFormat::kHermes, {}, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\""},
      {CallFormat::kQwenXml,
       {},
       "Look.\n\n<tool_call>\n<function=f>\n<parameter=a>\nParis\n</parameter>\n<parameter=b>\n3\n"
       "</parameter>\n</function>\n</tool_call>"},
      {CallFormat::kLlama3, {}, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}"},
      {CallFormat::kLlama3,
       {"<|python_tag|>"},
       "Run.\n<|python_tag|>{\"name\": \"f\", \"parameters\": {}}"},
      {CallFormat::kMistral,
       {"[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"},
       "[THINK]so[/THINK]Well.[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}"},
      {CallFormat::kMistral,
       {"[TOOL_CALLS]"},
       "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": \"]\"}}]"},
      {CallFormat::kFunctionaryTags, {}, "<function=f>{\"a\": 1}</function>"},
      {CallFormat::kFunctionary, {}, ">>>all\nI look.\n>>>f\n{\"a\": \">>>g\"}>>>g\n{}"},
      {CallFormat::kDeepSeek,
       {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>"},
       "<think>a</think>b\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}"
       "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
      {CallFormat::kHarmony,
       {"<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|constrain|>"},
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
       "to=functions.f <|constrain|>json<|message|>{\"a\": 1}"},
      {CallFormat::kKimi,
       {"<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
        "<|tool_call_end|>", "<|tool_calls_section_end|>"},
       "Look.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
       "<|tool_call_argument_begin|>{\"a\": 1}<|tool_call_end|><|tool_calls_section_end|>"},
  };
  return samples;
}

text::AnswerOptions Options(CallFormat format) {
  text::AnswerOptions options;
  options.format = text::AnswerFormatOf(format);
  return options;
}

// An answer as its tokens, in many ways.
class Tokens {
 public:
  explicit Tokens(const Sample& sample) : vocab_("gpt2", "gpt-2") {
    vocab_.AddByteLetters();
    vocab_.Merge("q", "q");  // there must be one
    for (const std::string_view control : sample.controls)
      ids_[std::string(control)] =
          static_cast<int32_t>(vocab_.Add(control, text::TokenType::kControl));
    Cut(sample, 1, sample.text.size());
    for (size_t at = 1; at < sample.text.size(); ++at) Cut(sample, at, at);
    tokenizer_ = vocab_.Make();
  }

  [[nodiscard]] const std::vector<std::vector<int32_t>>& ways() const { return ways_; }
  [[nodiscard]] std::shared_ptr<const text::Tokenizer> tokenizer() const { return tokenizer_; }

 private:
  // Cut before the bytes [first, last], and around control tokens.
  void Cut(const Sample& sample, size_t first, size_t last) {
    std::vector<int32_t> way;
    std::string held;
    const auto put = [&] {
      if (!held.empty()) way.push_back(Of(held));
      held.clear();
    };
    for (size_t at = 0; at < sample.text.size();) {
      const auto control = std::find_if(
          sample.controls.begin(), sample.controls.end(),
          [&](std::string_view spelling) { return sample.text.substr(at).starts_with(spelling); });
      if (control != sample.controls.end()) {
        put();
        way.push_back(ids_.at(std::string(*control)));
        at += control->size();
        continue;
      }
      if (at >= first && at <= last) put();
      held += sample.text[at++];
    }
    put();
    ways_.push_back(std::move(way));
  }
  // The token of these bytes, spelled in GPT-2's alphabet: that of one byte is its number.
  int32_t Of(const std::string& text) {
    if (text.size() == 1) return static_cast<unsigned char>(text[0]);
    const auto [entry, is_new] = ids_.try_emplace(text, 0);
    if (!is_new) return entry->second;
    std::string spelled;
    for (const char byte : text) spelled += vocab_.data.tokens[static_cast<unsigned char>(byte)];
    return entry->second = static_cast<int32_t>(vocab_.Add(spelled));
  }

  text::SmallVocab vocab_;
  std::map<std::string, int32_t> ids_;
  std::vector<std::vector<int32_t>> ways_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
};

AnswerStream Stream(const Tokens& tokens, std::optional<text::AnswerOptions> options,
                    const std::vector<std::string>& stop_strings) {
  Result<StopMatcher> matcher = StopMatcher::Create(stop_strings);
  EXPECT_TRUE(matcher.has_value());
  TextStream text(tokens.tokenizer(), {}, *std::move(matcher), 0, options.has_value());
  return {std::move(text), tokens.tokenizer(), std::move(options)};
}

std::string Read(AnswerStream stream, const std::vector<int32_t>& tokens, bool whole = true) {
  AnswerMessage message;
  for (const int32_t token : tokens)
    for (const AnswerPiece& piece : stream.Push(token)) message.Add(piece);
  for (const AnswerPiece& piece : stream.Flush(whole)) message.Add(piece);
  return message.ToJson();
}

TEST(AnswerStream, WhateverTheTokensTheAnswerIsThatOfTheWholeText) {
  for (const Sample& sample : Samples()) {
    const Tokens tokens(sample);
    const std::string whole = ReadAnswer(sample.text, Options(sample.format)).ToJson();
    for (const std::vector<int32_t>& way : tokens.ways())
      ASSERT_EQ(Read(Stream(tokens, Options(sample.format), {}), way), whole) << sample.text;
  }
}

// Text is held back that a stop string could begin in, and the control tokens in it with it.
TEST(AnswerStream, StopStringsThatDoNotComeChangeNothing) {
  for (const Sample& sample : Samples()) {
    const Tokens tokens(sample);
    const std::string whole = ReadAnswer(sample.text, Options(sample.format)).ToJson();
    for (const std::vector<int32_t>& way : tokens.ways())
      ASSERT_EQ(
          Read(Stream(tokens, Options(sample.format), {"\n\nZ", ".f!", "{\"a\": 1}?", "f{?"}), way),
          whole)
          << sample.text;
  }
}

TEST(AnswerStream, AStopStringEndsTheAnswerWhereverItBegins) {
  for (const Sample& sample : Samples()) {
    if (!sample.controls.empty()) continue;
    const Tokens tokens(sample);
    for (size_t at = 0; at + 5 <= sample.text.size(); ++at) {
      const std::string stop(sample.text.substr(at, 5));
      if (text::RepairUtf8(stop).has_value()) continue;  // it cuts a code point
      const std::string_view before = sample.text.substr(0, sample.text.find(stop));
      ASSERT_EQ(Read(Stream(tokens, Options(sample.format), {stop}), tokens.ways()[0]),
                ReadAnswer(before, Options(sample.format)).ToJson())
          << sample.text << " stopped by " << stop;
    }
  }
}

TEST(AnswerStream, AControlTokenBehindAStopStringIsNoPartOfTheAnswer) {
  const Sample sample = {CallFormat::kMistral, {"[TOOL_CALLS]"}, "Well.[TOOL_CALLS]f{\"a\": 1}"};
  const Tokens tokens(sample);
  const AnswerMessage none = ReadAnswer("Wel", Options(sample.format));
  for (const std::vector<int32_t>& way : tokens.ways()) {
    EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {"l."}), way), none.ToJson());
    EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {"l.f"}), way), none.ToJson());
  }
}

TEST(AnswerStream, AControlTokensSpellingIsNotTheToken) {
  const Sample sample = {CallFormat::kMistral, {"[TOOL_CALLS]"}, "[TOOL_CALLS]f{}"};
  const Tokens tokens(sample);
  std::vector<int32_t> bytes;
  for (const char byte : sample.text) bytes.push_back(static_cast<unsigned char>(byte));
  EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {}), bytes),
            R"({"role":"assistant","content":"[TOOL_CALLS]f{}"})");
}

TEST(AnswerStream, ACutCodePointIsLeftOutOfAnAnswerThatWasCutShort) {
  const Sample sample = {CallFormat::kHermes, {}, "a"};
  const Tokens tokens(sample);
  const std::vector<int32_t> cut = {'a', 0xE6, 0xBC};
  EXPECT_EQ(Read(Stream(tokens, std::nullopt, {}), cut, false),
            R"({"role":"assistant","content":"a"})");
  EXPECT_EQ(Read(Stream(tokens, std::nullopt, {}), cut, true),
            "{\"role\":\"assistant\",\"content\":\"a\uFFFD\"}");
}

TEST(AnswerStream, CodeIsACallWhereTheAnswerWasNotCutShort) {
  const Sample sample = {CallFormat::kLlama3, {"<|python_tag|>"}, "<|python_tag|>print(1)"};
  const Tokens tokens(sample);
  EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {}), tokens.ways()[0], false),
            R"json({"role":"assistant","content":"<|python_tag|>print(1)"})json");
  EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {}), tokens.ways()[0], true),
            ReadAnswer(sample.text, Options(sample.format)).ToJson());
}

// The rule that ends the request sees the same.
TEST(AnswerStream, ACodePointCutShortStandsBeforeTheControlToken) {
  const Sample sample = {CallFormat::kMistral, {"[TOOL_CALLS]", "[ARGS]"}, ""};
  const Tokens tokens(sample);
  const auto control = [&](std::string_view spelling) {
    return tokens.tokenizer()->FindControl(spelling);
  };
  const std::vector<int32_t> answer = {
      'a', 0xE2, 0x82, control("[TOOL_CALLS]"), 'f', control("[ARGS]"), '{', '}'};
  AnswerMessage message;
  message.content = "a\uFFFD";
  message.calls.push_back({text::MakeCallId(0, 0), "f", "{}"});
  EXPECT_EQ(Read(Stream(tokens, Options(sample.format), {}), answer), message.ToJson());

  message.calls.clear();
  message.content = "a";
  Result<StopMatcher> matcher = StopMatcher::Create({"\uFFFD"});
  ASSERT_TRUE(matcher.has_value());
  const TextStream stream(tokens.tokenizer(), {}, *matcher, 0, true);
  const std::unique_ptr<engine::StopRule> rule = MakeStopRule(stream);
  EXPECT_FALSE(rule->Push(answer[0]));
  EXPECT_FALSE(rule->Push(answer[1]));
  EXPECT_FALSE(rule->Push(answer[2]));
  EXPECT_TRUE(rule->Push(answer[3]));
  EXPECT_EQ(Read(AnswerStream(stream, tokens.tokenizer(), Options(sample.format)),
                 {answer.begin(), answer.begin() + 4}),
            message.ToJson());
}

TEST(AnswerStream, WithoutAFormatAllTextIsContent) {
  const Sample sample = {CallFormat::kNone, {}, "<think>a</think><tool_call>{\"name\":\"f\"}"};
  const Tokens tokens(sample);
  AnswerMessage content;
  content.content = sample.text;
  EXPECT_EQ(Read(Stream(tokens, std::nullopt, {}), tokens.ways()[0]), content.ToJson());
}

TEST(AnswerStream, PiecesComeAsSoonAsTheyAreCertain) {
  const Sample sample = {CallFormat::kHermes, {}, "Hi<tool_call>{\"name\":\"f\"}</tool_call> x"};
  const Tokens tokens(sample);
  AnswerStream stream = Stream(tokens, Options(sample.format), {});
  std::vector<size_t> after;  // how many bytes had come when a piece did
  const std::vector<int32_t>& bytes = tokens.ways()[0];
  for (size_t i = 0; i < bytes.size(); ++i)
    for (const AnswerPiece& piece : stream.Push(bytes[i]))
      if (piece.kind == AnswerPiece::Kind::kToolCall || piece.text == "H") after.push_back(i + 1);
  EXPECT_EQ(after, (std::vector<size_t>{1, sample.text.find("</tool_call>")}));
}

}  // namespace
}  // namespace mirage::session
