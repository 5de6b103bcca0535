// SPDX-License-Identifier: Apache-2.0

// Answers of every format into content, reasoning and calls, cut into pieces anywhere.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/answer_parser.h"

namespace mirage::text {
namespace {

// What an answer became, as one line: content as it is, <reasoning>, {name arguments}.
std::string Show(const std::vector<AnswerPiece>& pieces) {
  std::string shown;
  AnswerPiece::Kind last = AnswerPiece::Kind::kToolCall;
  for (const AnswerPiece& piece : pieces) {
    const bool same = !shown.empty() && piece.kind == last;
    last = piece.kind;
    switch (piece.kind) {
      case AnswerPiece::Kind::kContent:
        shown += piece.text;
        break;
      case AnswerPiece::Kind::kReasoning:
        if (same) shown.pop_back();
        shown += (same ? "" : "«") + piece.text + "\x01";
        break;
      case AnswerPiece::Kind::kToolCall:
        shown += "{" + piece.call.name + " " + piece.call.arguments + "}";
        break;
    }
  }
  for (char& c : shown)
    if (c == '\x01') c = '|';
  return shown;
}

AnswerOptions Options(CallFormat format) {
  AnswerOptions options;
  options.format = AnswerFormatOf(format);
  return options;
}

std::vector<AnswerPiece> Parse(const AnswerOptions& options, std::string_view text,
                               size_t cut = std::string_view::npos, bool whole = true) {
  AnswerParser parser(options);
  std::vector<AnswerPiece> pieces;
  for (size_t at = 0; at < text.size(); at += cut) {
    parser.Push(text.substr(at, cut), &pieces);
    if (cut == std::string_view::npos) break;
  }
  parser.End(whole, &pieces);
  return pieces;
}

// The same whole, cut at every byte, and cut in two at each.
void Expect(const AnswerOptions& options, std::string_view text, std::string_view expected) {
  EXPECT_EQ(Show(Parse(options, text)), expected) << text;
  EXPECT_EQ(Show(Parse(options, text, 1)), expected) << text;
  for (size_t at = 1; at < text.size(); ++at) {
    AnswerParser parser(options);
    std::vector<AnswerPiece> pieces;
    parser.Push(text.substr(0, at), &pieces);
    parser.Push(text.substr(at), &pieces);
    parser.End(true, &pieces);
    ASSERT_EQ(Show(pieces), expected) << text << " cut at " << at;
  }
}
void Expect(CallFormat format, std::string_view text, std::string_view expected) {
  Expect(Options(format), text, expected);
}

std::shared_ptr<const ToolSet> Tools(std::string_view json) {
  Result<ToolSet> tools = ToolSet::Read(json);
  EXPECT_TRUE(tools.has_value());
  return std::make_shared<ToolSet>(*std::move(tools));
}

TEST(Answer, ReasoningStandsBeforeTheAnswer) {
  Expect(CallFormat::kHermes, "<think>\nHm, 2 < 3.\n</think>\n\nYes.\n", "«Hm, 2 < 3.|Yes.\n");
  Expect(CallFormat::kHermes, " \n<think>a</think>b", "«a|b");
  Expect(CallFormat::kHermes, "<think>\n\n</think>\n\nYes.", "Yes.");
  Expect(CallFormat::kHermes, "<think>cut sh", "«cut sh|");
  Expect(CallFormat::kMistral, "[THINK]a <think>[/THINK]b", "«a <think>|b");
}

TEST(Answer, ReasoningMayHaveBegunInThePrompt) {
  AnswerOptions options = Options(CallFormat::kHermes);
  options.in_reasoning = true;
  Expect(options, "\nHm.\n</think>\n\nYes.", "«Hm.|Yes.");
  Expect(options, "", "");
  const ReasoningTags tags = options.format.reasoning;
  EXPECT_TRUE(OpensReasoning("<|im_start|>assistant\n<think>\n", tags));
  EXPECT_FALSE(OpensReasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n", tags));
  EXPECT_FALSE(OpensReasoning("<think>", ReasoningTags{}));
}

TEST(Answer, ATagInTheAnswerIsText) {
  Expect(CallFormat::kHermes, "Write <think> and </think>.", "Write <think> and </think>.");
  Expect(CallFormat::kHermes, "a </tool_call> b <thin", "a </tool_call> b <thin");
  Expect(CallFormat::kHermes, "<<think>x", "<<think>x");
}

TEST(Answer, JsonBetweenTags) {
  Expect(CallFormat::kHermes,
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
         "\"Paris\"}}\n</tool_call>",
         "{get_weather {\"city\": \"Paris\"}}");
  Expect(CallFormat::kHermes,
         "I look.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
         "<tool_call>{\"arguments\":{\"a\":[1,{\"b\":null}]},\"name\":\"g\"}</tool_call>\n",
         "I look.{f {}}{g {\"a\":[1,{\"b\":null}]}}");
  Expect(
      CallFormat::kHermes,
      "<think>x</think>\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call><think>y</think>"
      "<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>",
      "«x|{f {}}«y|{g {}}");
  Expect(CallFormat::kHermes,
         "<TOOLCALL>[{\"name\":\"f\",\"arguments\":{}}, {\"name\":\"g\"}]</TOOLCALL>",
         "{f {}}{g {}}");
  Expect(CallFormat::kHermes, "<|tool_call|>[{\"name\":\"f\",\"arguments\":{\"a\":1}}]",
         "{f {\"a\":1}}");
}

TEST(Answer, TagsInStringsArePartOfTheArguments) {
  Expect(CallFormat::kHermes,
         "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call> <think> "
         "\\\"}\"}}</tool_call>",
         "{f {\"a\":\"</tool_call> <think> \\\"}\"}}");
}

TEST(Answer, ContentMayFollowACall) {
  Expect(CallFormat::kHermes, "a\n<tool_call>{\"name\":\"f\"}</tool_call>\nb", "a{f {}}\nb");
  Expect(CallFormat::kHermes, "<tool_call>{\"name\":\"f\"}\nb", "{f {}}b");
}

TEST(Answer, ArgumentsMayBeSpelledInAString) {
  Expect(CallFormat::kHermes,
         "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>",
         "{f {\"a\": 1}}");
  Expect(CallFormat::kHermes,
         "<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}}}</"
         "tool_call>",
         "{f {}}");
}

TEST(Answer, ANulIsNotTheEndOfJson) {
  const std::string text("<tool_call>{\"name\":\"f\",\"arguments\":\"{}\0x\"}</tool_call>", 54);
  EXPECT_EQ(Show(Parse(Options(CallFormat::kHermes), text)), text);
}

TEST(Answer, ControlCharactersInStringsAreEscaped) {
  Expect(CallFormat::kHermes,
         "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x\ny\"}}</tool_call>",
         "{f {\"a\":\"x\\u000ay\"}}");
}

TEST(Answer, WhatIsNoCallIsContent) {
  const std::string_view texts[] = {
      "<tool_call>none",
      "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":01}}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1e999}}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":123456789012345678901}}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"name\":\"g\",\"arguments\":{}}</tool_call>",
      "<tool_call>{\"name\":\"not a name\",\"arguments\":{}}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"\\ud800\"}}</tool_call>",
      "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\"",
      "<tool_call>{\"name\":\"f\"]}</tool_call>",
      "<tool_call>",
      "  <tool_call>\n x",
      "<function=f>{\"a\":1}</function>",
  };
  for (const std::string_view text : texts) Expect(CallFormat::kHermes, text, text);
}

TEST(Answer, ReadingGoesOnAtTheByteThatDoesNotFit) {
  Expect(CallFormat::kHermes, "<tool_call><tool_call>{\"name\":\"f\"}</tool_call>",
         "<tool_call>{f {}}");
  Expect(CallFormat::kHermes, "<tool_call>\n{\"name\" <tool_call>{\"name\":\"f\"}</tool_call>",
         "<tool_call>\n{\"name\"{f {}}");
}

TEST(Answer, ACallThatIsTooLongIsContent) {
  const std::string text = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"" +
                           std::string(kMostCallBytes, 'x') + "\"}}</tool_call>";
  EXPECT_EQ(Show(Parse(Options(CallFormat::kHermes), text)), text);
  EXPECT_EQ(Show(Parse(Options(CallFormat::kHermes), text, 1)), text);
}

TEST(Answer, NestingIsBounded) {
  std::string deep = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":";
  deep += std::string(100, '[') + std::string(100, ']') + "}}</tool_call>";
  EXPECT_EQ(Show(Parse(Options(CallFormat::kHermes), deep)), deep);
}

TEST(Answer, CallsThatAreNotAskedForAreContent) {
  AnswerOptions options = Options(CallFormat::kHermes);
  options.calls = false;
  Expect(options, "<think>x</think><tool_call>{\"name\":\"f\"}</tool_call>",
         "«x|<tool_call>{\"name\":\"f\"}</tool_call>");
}

TEST(Answer, ArgumentsAsTextBetweenTags) {
  Expect(CallFormat::kQwenXml,
         "Look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
         "<parameter=days>\n3\n</parameter>\n<parameter=raw>\nTrue\n</parameter>\n</function>\n"
         "</tool_call>",
         "Look.{get_weather {\"city\": \"Paris\", \"days\": 3, \"raw\": true}}");
  Expect(CallFormat::kQwenXml, "<function=f>\n</function>", "{f {}}");
  Expect(CallFormat::kQwenXml,
         "<function=f><parameter=a>\nx\n\n  y </parameter> \"z\"\n</parameter></function> done",
         "{f {\"a\": \"x\\n\\n  y </parameter> \\\"z\\\"\"}}done");
  Expect(CallFormat::kQwenXml, "<function=f><parameter=a>{\"b\": [1]}</parameter></function>",
         "{f {\"a\": {\"b\": [1]}}}");
  Expect(CallFormat::kQwenXml, "<tool_call>\n<function=f>x", "<tool_call>\n<function=f>x");
  Expect(CallFormat::kQwenXml, "<function=f><parameter=a>x", "<function=f><parameter=a>x");
}

TEST(Answer, TheSchemaSaysWhatIsAString) {
  AnswerOptions options = Options(CallFormat::kQwenXml);
  options.tools = Tools(
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":
          {"a":{"type":"string"},"b":{"type":"integer"},"c":{"enum":["1","2"]}}}}}])");
  Expect(
      options,
      "<function=f><parameter=a>1</parameter><parameter=b>1</parameter><parameter=c>2</parameter>"
      "</function>",
      "{f {\"a\": \"1\", \"b\": 1, \"c\": \"2\"}}");
}

TEST(Answer, LlamaObjects) {
  Expect(CallFormat::kLlama3, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}",
         "{f {\"a\": \"b\"}}");
  Expect(CallFormat::kLlama3,
         "\n{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\"}\n",
         "{f {}}{g {}}");
  Expect(CallFormat::kLlama3, "{\"name\": \"f\"}; and so on", "{f {}}; and so on");
  Expect(CallFormat::kLlama3, "See {\"name\": \"f\"}", "See {\"name\": \"f\"}");
  Expect(CallFormat::kLlama3, "{\"title\": \"f\"}", "{\"title\": \"f\"}");
  Expect(CallFormat::kLlama3, "{\"name\": \"f\", \"age\": 3}", "{\"name\": \"f\", \"age\": 3}");
  AnswerOptions options = Options(CallFormat::kLlama3);
  options.tools = Tools(R"([{"name": "f"}])");
  Expect(options, "{\"name\": \"f\"}", "{f {}}");
  Expect(options, "{\"name\": \"g\"}", "{\"name\": \"g\"}");
}

TEST(Answer, AnObjectThatIsNoCallIsNotHeldBack) {
  AnswerParser parser(Options(CallFormat::kLlama3));
  std::vector<AnswerPiece> pieces;
  parser.Push("{\"title\"", &pieces);
  EXPECT_EQ(Show(pieces), "{\"title\"");
}

TEST(Answer, LlamaTags) {
  Expect(CallFormat::kLlama3, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "{f {}}");
  Expect(CallFormat::kLlama3, "<|python_tag|>brave_search.call(query=\"a, \\\"b\\\"\", n=2)",
         "{brave_search {\"query\": \"a, \\\"b\\\"\", \"n\": 2}}");
  Expect(CallFormat::kLlama3, "Run it.\n<|python_tag|>import os\nprint({1: 2})\n",
         "Run it.{python {\"code\": \"import os\\nprint({1: 2})\"}}");
  Expect(CallFormat::kLlama3, "<|python_tag|>{1: 2}", "{python {\"code\": \"{1: 2}\"}}");
  Expect(CallFormat::kFunctionaryTags, "<|python_tag|>\"print(1)\"",
         "{python {\"code\": \"print(1)\"}}");
  Expect(CallFormat::kFunctionaryTags, "<|python_tag|>{\"code\": \"1\"}",
         "{python {\"code\": \"1\"}}");
  Expect(CallFormat::kFunctionaryTags, "<function=f>{\"a\": 1}</function><function=g>{}</function>",
         "{f {\"a\": 1}}{g {}}");
  Expect(CallFormat::kFunctionaryTags, "{\"name\": \"f\"}", "{\"name\": \"f\"}");
  Expect(CallFormat::kFunctionaryTags, "<function=f g>{}</function>",
         "<function=f g>{}</function>");
}

TEST(Answer, CodeThatIsCutShortIsContent) {
  const struct {
    CallFormat format;
    std::string_view text;
  } samples[] = {
      {CallFormat::kLlama3, "<|python_tag|>import os\nprint({1: 2})\nx.call(a=1)"},
      {CallFormat::kLlama3, "Run it.\n<|python_tag|>{1: 2}"},
      {CallFormat::kLlama3, "<|python_tag|>brave_search.call(query=\"weather in Paris\")"},
      {CallFormat::kFunctionaryTags, "<|python_tag|>\"print(1)\""},
      {CallFormat::kFunctionary, "python\nprint(1)\n>>> 2"},
      {CallFormat::kFunctionary, ">>>all\nRun.>>>python\n{1: 2}"},
      {CallFormat::kHarmony, "<|channel|>analysis to=python code<|message|>print({1: 2})"},
  };
  for (const auto& sample : samples)
    for (size_t bytes = 0; bytes <= sample.text.size(); ++bytes) {
      const std::string_view cut = sample.text.substr(0, bytes);
      std::string content;
      for (const AnswerPiece& piece :
           Parse(Options(sample.format), cut, std::string_view::npos, false)) {
        EXPECT_EQ(piece.kind, AnswerPiece::Kind::kContent) << cut;
        content += piece.text;
      }
      // Functionary's recipient "all" is a tag.
      const std::string_view all = ">>>all\n";
      const bool tagged = cut.starts_with(all) && sample.format == CallFormat::kFunctionary;
      EXPECT_EQ(content, cut.substr(tagged ? all.size() : 0));
    }
  EXPECT_EQ(Show(Parse(Options(CallFormat::kHarmony),
                       "<|channel|>analysis to=python code<|message|>1<|call|>",
                       std::string_view::npos, false)),
            "{python {\"code\": \"1\"}}");
}

TEST(Answer, ACallThatIsNotClosedIsNoCode) {
  const std::string_view whole = "<|python_tag|>brave_search.call(query=\"weather in\"";
  for (size_t bytes = whole.find('(') + 1; bytes <= whole.size(); ++bytes)
    EXPECT_EQ(Show(Parse(Options(CallFormat::kLlama3), whole.substr(0, bytes))),
              whole.substr(0, bytes));
  Expect(CallFormat::kLlama3, "<|python_tag|>subprocess.call([1]) # x",
         "{python {\"code\": \"subprocess.call([1]) # x\"}}");
}

TEST(Answer, MistralOfEitherAge) {
  Expect(CallFormat::kMistral,
         "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": \"]\"}}, {\"name\": \"g\", "
         "\"arguments\": {}}]",
         "{f {\"a\": \"]\"}}{g {}}");
  Expect(CallFormat::kMistral,
         "Well.[TOOL_CALLS]f[CALL_ID]a1B2c3D4e[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}",
         "Well.{f {\"a\": 1}}{g {}}");
  Expect(CallFormat::kMistral, "[TOOL_CALLS]f{}", "{f {}}");
  Expect(CallFormat::kMistral, "[TOOL_CALLS]f[ARGS]x", "[TOOL_CALLS]f[ARGS]x");
  Expect(CallFormat::kMistral, "[TOOL_CALLS][1]", "[TOOL_CALLS][1]");
  Expect(CallFormat::kMistral, "[TOOL_CALLS][{\"name\": \"f\"}, 1]", "{f {}}, 1]");
}

TEST(Answer, IdsAreKeptOrMade) {
  const auto ids = [](CallFormat format, std::string_view text, uint64_t seed) {
    AnswerOptions options = Options(format);
    options.id_seed = seed;
    std::vector<std::string> all;
    for (const AnswerPiece& piece : Parse(options, text)) all.push_back(piece.call.id);
    return all;
  };
  EXPECT_EQ(ids(CallFormat::kMistral, "[TOOL_CALLS]f[CALL_ID]a1B2c3D4e[ARGS]{}", 0),
            std::vector<std::string>{"a1B2c3D4e"});
  EXPECT_EQ(ids(CallFormat::kMistral, "[TOOL_CALLS][{\"name\": \"f\", \"id\": \"a1B2c3D4e\"}]", 0),
            std::vector<std::string>{"a1B2c3D4e"});
  const std::string_view two = "[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]f[ARGS]{}";
  const std::vector<std::string> made = ids(CallFormat::kMistral, two, 1);
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].size(), 9u);
  EXPECT_NE(made[0], made[1]);
  EXPECT_EQ(ids(CallFormat::kMistral, two, 1), made);
  EXPECT_NE(ids(CallFormat::kMistral, two, 2), made);
}

TEST(Answer, AnIdOfAnotherFormIsReplaced) {
  const auto id = [](CallFormat format, std::string_view text) {
    const std::vector<AnswerPiece> pieces = Parse(Options(format), text);
    return pieces.empty() ? "" : pieces.front().call.id;
  };
  const std::string made = MakeCallId(0, 0);
  EXPECT_EQ(id(CallFormat::kMistral, "[TOOL_CALLS]f[CALL_ID]a1B2c3D4[ARGS]{}"), made);
  EXPECT_EQ(id(CallFormat::kMistral, "[TOOL_CALLS]f[CALL_ID]a1B2c3D4_[ARGS]{}"), made);
  EXPECT_EQ(id(CallFormat::kMistral, "[TOOL_CALLS][{\"name\": \"f\", \"id\": \"a\"}]"), made);
  const auto hermes = [&](std::string_view given) {
    return id(CallFormat::kHermes,
              "<tool_call>{\"name\": \"f\", \"id\": \"" + std::string(given) + "\"}</tool_call>");
  };
  EXPECT_EQ(hermes("call_1.a:b-c"), "call_1.a:b-c");
  EXPECT_EQ(hermes(std::string(64, 'a')), std::string(64, 'a'));
  for (const std::string& given : {std::string(65, 'a'), std::string("a b"), std::string("é"),
                                   std::string("a\\u0000b"), std::string("<x>")})
    EXPECT_EQ(hermes(given), made) << given;
}

TEST(Answer, DeepSeekOfEitherAge) {
  Expect(CallFormat::kDeepSeek,
         "<think>a</think>b\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
         "```json\n{\"a\": "
         "\"`\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n"
         "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "«a|b{f {\"a\": \"`\"}}{g {}}");
  Expect(CallFormat::kDeepSeek,
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"
         "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "{f {\"a\": 1}}{g {}}");
  Expect(CallFormat::kDeepSeek, "<｜tool▁calls▁begin｜>x", "<｜tool▁calls▁begin｜>x");
  Expect(CallFormat::kDeepSeek,
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"
         "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{",
         "{f {\"a\": 1}}<｜tool▁call▁begin｜>g<｜tool▁sep｜>{");
}

TEST(Answer, KimisNamesAreItsIds) {
  const std::string_view text =
      "Look.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|"
      ">"
      "{\"a\": 1}<|tool_call_end|><|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{}"
      "<|tool_call_end|><|tool_calls_section_end|>";
  Expect(CallFormat::kKimi, text, "Look.{f {\"a\": 1}}{g {}}");
  EXPECT_EQ(Parse(Options(CallFormat::kKimi), text)[2].call.id, "functions.g:1");
}

TEST(Answer, FunctionarysRecipients) {
  Expect(CallFormat::kFunctionary, "all\nIt is >>> 3.", "It is >>> 3.");
  Expect(CallFormat::kFunctionary, "get_weather\n{\"city\": \"Paris\"}",
         "{get_weather {\"city\": \"Paris\"}}");
  Expect(CallFormat::kFunctionary, ">>>all\nI look.\n>>>f\n{\"a\": \">>>g\"}>>>g\n{}",
         "I look.{f {\"a\": \">>>g\"}}{g {}}");
  Expect(CallFormat::kFunctionary, "python\nprint(1)\n>>> 2",
         "{python {\"code\": \"print(1)\\n>>> 2\"}}");
  Expect(CallFormat::kFunctionary, "python\n{\"code\": \"1\"}", "{python {\"code\": \"1\"}}");
  Expect(CallFormat::kFunctionary, "Hello there", "Hello there");
  Expect(CallFormat::kFunctionary, "f\nno object", "f\nno object");
}

TEST(Answer, HarmonyMessages) {
  Expect(
      CallFormat::kHarmony,
      "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
      "«Hm.|Yes.");
  Expect(CallFormat::kHarmony,
         "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>",
         "«Hm.|{f {\"a\": 1}}");
  Expect(CallFormat::kHarmony,
         " to=functions.f<|channel|>commentary json<|message|>{\"a\": \"<|end\"}",
         "{f {\"a\": \"<|end\"}}");
  Expect(CallFormat::kHarmony, "<|channel|>analysis to=python code<|message|>print(1)<|call|>",
         "{python {\"code\": \"print(1)\"}}");
  Expect(
      CallFormat::kHarmony,
      "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>final<|message|>"
      "Yes.<|return|>",
      "I look.\nYes.");
  Expect(CallFormat::kHarmony, "Hello there.\n<|end|>", "Hello there.\n");
  Expect(CallFormat::kHarmony, "<|channel|>final", "<|channel|>final");
  Expect(CallFormat::kHarmony,
         "<|start|>assistant<|channel|>commentary to=functions.f<|message|>{\"a\"",
         "<|start|>assistant<|channel|>commentary to=functions.f<|message|>{\"a\"");
  Expect(CallFormat::kHarmony, "", "");
}

TEST(Answer, AHarmonyHeaderIsBounded) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "<|channel|>";
  AnswerParser parser(Options(CallFormat::kHarmony));
  std::vector<AnswerPiece> pieces;
  parser.Push(text, &pieces);
  EXPECT_FALSE(pieces.empty());
  text.clear();
  for (int i = 0; i < 100; ++i) text += "<|constrain|>";
  Expect(CallFormat::kHarmony, text, text);
}

TEST(Answer, ControlTokensAreNotTheirSpelling) {
  AnswerOptions options = Options(CallFormat::kMistral);
  options.has_control = [](std::string_view spelling) { return spelling == "[TOOL_CALLS]"; };
  Expect(options, "[TOOL_CALLS]f[ARGS]{}", "[TOOL_CALLS]f[ARGS]{}");
  AnswerParser parser(options);
  std::vector<AnswerPiece> pieces;
  parser.Push("a [", &pieces);
  parser.PushControl("[TOOL_CALLS]", &pieces);
  parser.Push("f[ARGS]{}", &pieces);
  parser.PushControl("</s>", &pieces);
  parser.End(true, &pieces);
  EXPECT_EQ(Show(pieces), "a [{f {}}");
}

TEST(Answer, ContentIsGivenAsItComes) {
  AnswerParser parser(Options(CallFormat::kHermes));
  std::vector<AnswerPiece> pieces;
  parser.Push("Hello", &pieces);
  EXPECT_EQ(Show(pieces), "Hello");
  parser.Push(" world <", &pieces);
  EXPECT_EQ(Show(pieces), "Hello world");
  parser.Push("b", &pieces);
  EXPECT_EQ(Show(pieces), "Hello world <b");
}

TEST(Answer, WhiteSpaceIsHeldWithinBounds) {
  AnswerParser parser(Options(CallFormat::kHermes));
  std::vector<AnswerPiece> pieces;
  const std::string space(10000, ' ');
  parser.Push("a" + space, &pieces);
  EXPECT_GT(Show(pieces).size(), space.size() - PieceWriter::kMostHeldSpace);
  parser.Push("b", &pieces);
  EXPECT_EQ(Show(pieces), "a" + space + "b");
}

TEST(Answer, ToolsThatAreNoneAreRefused) {
  for (const std::string_view json :
       {"{}", "[1]", "[{}]", "[{\"name\": 1}]", "x", "[{\"function\": 3}]"})
    EXPECT_FALSE(ToolSet::Read(json).has_value()) << json;
  const auto message = [](std::string_view json) {
    const Result<ToolSet> tools = ToolSet::Read(json);
    return tools ? "" : tools.error().message;
  };
  EXPECT_EQ(message("{}"), "the tools are not a JSON array");
  EXPECT_EQ(message("[x]"), "the tools are not JSON, at byte 2");
  EXPECT_EQ(message(std::string_view("[]\0x", 4)), "the tools hold a NUL, at byte 2");
  const std::string head = R"([{"name": "f", "x": )";
  EXPECT_EQ(message(head + "1e999}]"), "a number in the tools is too large for JSON's readers");
  EXPECT_EQ(message(head + "123456789012345678901}]"), "");
  EXPECT_EQ(message(head + std::string(46, '[') + std::string(46, ']') + "}]"), "");
  EXPECT_EQ(message(head + std::string(47, '[') + std::string(47, ']') + "}]"),
            "the tools are nested more than 48 deep");
  const std::string longest(ToolSet::kMostBytes - 2, ' ');
  EXPECT_EQ(message("[" + longest + "]"), "");
  EXPECT_EQ(message("[" + longest + " ]"),
            "the tools have 1048577 bytes; at most 1048576 are allowed");
  EXPECT_TRUE(ToolSet::Read("null")->empty());
  EXPECT_TRUE(ToolSet::Read("[]")->empty());
}

// Whatever is written, in whatever pieces: the same, and no word of it is lost.
TEST(Answer, AnyTextIsReadTheSameHoweverItIsCut) {
  const std::vector<std::string> words = {"<think>",
                                          "</think>",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "{",
                                          "}",
                                          "\"name\"",
                                          ": ",
                                          "\"f\"",
                                          ", ",
                                          "\"arguments\"",
                                          "\"parameters\"",
                                          "[",
                                          "]",
                                          " ",
                                          "\n",
                                          "x",
                                          "1",
                                          "\"",
                                          "\\",
                                          "<function=",
                                          "f>",
                                          "<parameter=",
                                          "</parameter>",
                                          "</function>",
                                          ">>>",
                                          "all\n",
                                          "python\n",
                                          "[TOOL_CALLS]",
                                          "[ARGS]",
                                          "[CALL_ID]",
                                          "<｜tool▁calls▁begin｜>",
                                          "<｜tool▁call▁begin｜>",
                                          "<｜tool▁sep｜>",
                                          "<｜tool▁call▁end｜>",
                                          "<｜tool▁calls▁end｜>",
                                          "<|channel|>",
                                          "<|message|>",
                                          "analysis",
                                          "final",
                                          "assistant",
                                          " to=functions.f",
                                          "<|start|>",
                                          "<|end|>",
                                          "<|call|>",
                                          "<|python_tag|>",
                                          ".call(",
                                          ")",
                                          "a=1",
                                          "{\"name\":\"f\",\"arguments\":{}}",
                                          "é",
                                          ";",
                                          "{}"};
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t n = random() % 14; n > 0; --n) text += words[random() % words.size()];
    AnswerOptions options = Options(static_cast<CallFormat>(2 + random() % 9));
    options.in_reasoning = random() % 4 == 0 && !options.format.marks_all();
    const std::string whole = Show(Parse(options, text));
    ASSERT_EQ(Show(Parse(options, text, 1)), whole) << text;
    ASSERT_EQ(Show(Parse(options, text, 1 + random() % 7)), whole) << text;
    // Each letter x and é stands in no tag: it is in a piece.
    const auto count = [](std::string_view in, std::string_view what) {
      size_t found = 0;
      for (size_t at = in.find(what); at != std::string_view::npos; at = in.find(what, at + 1))
        ++found;
      return found;
    };
    ASSERT_EQ(count(whole, "é"), count(text, "é")) << text << "\n" << whole;
  }
}

}  // namespace
}  // namespace mirage::text
