// SPDX-License-Identifier: Apache-2.0

// Tools, reasoning and filling in the middle by the `mirage` command, on tiny models. A grammar of
// one text says what they write.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command.h"
#include "tiny_model.h"

namespace mirage::test {
namespace {

using Json = nlohmann::json;

constexpr const char* kTools = R"([{"type": "function", "function": {"name": "f"}}])";

std::vector<std::string> Words(const std::string& command, std::vector<std::string> more) {
  std::vector<std::string> words = {command, "-m", TinyToolModel(), "--temp", "0"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// A line without the id of its call.
Json Call(const std::string& line) {
  Json call = Json::parse(line, nullptr, false);
  EXPECT_EQ(call.erase("id"), 1u) << line;
  return call;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    lines.push_back(text.substr(at, end - at));
  return lines;
}

const Json kCall = {{"type", "function"}, {"function", {{"name", "f"}, {"arguments", {{"a", 1}}}}}};

TEST(Tools, CallsAreLinesOfJsonAndReasoningStandsApart) {
  const TemporaryFile tools(kTools);
  const TemporaryFile grammar(
      R"gbnf(root ::= "<think>Hm.</think>I look.<tool_call>{\"name\": \"f\", \"arguments\": {\"a\":\n1}}</tool_call>")gbnf");
  const std::vector<std::string> words =
      Words("run", {"-p", "hi", "--tools", tools.path(), "--grammar", grammar.path()});
  const Outcome shown = RunMirage(words);
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_EQ(shown.err, "Hm.\n");
  const std::vector<std::string> lines = Lines(shown.out);
  ASSERT_EQ(lines.size(), 2u) << shown.out;
  EXPECT_EQ(lines[0], "I look.");
  EXPECT_EQ(Call(lines[1]), kCall);

  std::vector<std::string> as_json = words;
  as_json.emplace_back("--json");
  const Json answer = Json::parse(RunMirage(as_json).out, nullptr, false);
  EXPECT_EQ(answer["text"], "I look.");
  EXPECT_EQ(answer["reasoning"], "Hm.");
  ASSERT_EQ(answer["tool_calls"].size(), 1u);
  EXPECT_EQ(Call(answer["tool_calls"][0].dump()), kCall);
}

TEST(Tools, ChatTakesWhatTheyGiveFromItsNextLines) {
  const TemporaryFile tools(kTools);
  const TemporaryFile grammar(
      R"gbnf(root ::= "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>")gbnf");
  const Outcome chat =
      RunMirage(Words("chat", {"--tools", tools.path(), "--grammar", grammar.path()}), "hi\none\n");
  EXPECT_EQ(chat.code, 0) << chat.err;
  const std::vector<std::string> lines = Lines(chat.out);
  ASSERT_EQ(lines.size(), 2u) << chat.out;
  EXPECT_EQ(Call(lines[0]), kCall);
  EXPECT_EQ(Call(lines[1]), kCall);
  EXPECT_NE(lines[0], lines[1]);
}

// In place of a result the same keys end the conversation that end it elsewhere.
TEST(Tools, ChatEndsWhereAResultIsAskedFor) {
  const TemporaryFile tools(kTools);
  const TemporaryFile grammar(
      R"gbnf(root ::= "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>")gbnf");
  const std::vector<std::string> chat =
      Words("chat", {"--tools", tools.path(), "--grammar", grammar.path()});
  EXPECT_EQ(RunAtTerminal(chat, {"hi\n", kCtrlD}).code, 0);
  const Outcome ended = RunAtTerminal(chat, {"hi\n", kCtrlC, kCtrlC});
  EXPECT_EQ(ended.code, 130) << ended.out;
}

TEST(Tools, BadFilesAreNamed) {
  for (const char* bad : {"", "{", "{}", "[1]", "[{}]", "[] []", "null", "null\n", " "}) {
    const TemporaryFile tools(bad);
    const Outcome outcome = RunMirage(Words("run", {"-p", "hi", "--tools", tools.path()}));
    EXPECT_EQ(outcome.code, 2) << bad;
    EXPECT_NE(outcome.err.find(tools.path()), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(RunMirage(Words("run", {"-p", "hi", "--tools", "/no/such.json"})).code, 2);
  EXPECT_EQ(RunMirage(Words("run", {"-p", "hi", "--raw", "--tools", "/no/such.json"})).code, 2);
}

TEST(Infill, ASuffixMakesThePromptAPrefix) {
  const Outcome outcome = RunMirage({"run", "-m", TinyInfillModel(), "-p", "a", "--suffix", "b",
                                     "--pre-context", "x", "-n", "2", "--ignore-eos", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out, nullptr, false)["prompt_tokens"],
            Json({TINY_BOS, 'x', TINY_FIM_PREFIX, 'a', TINY_FIM_SUFFIX, 'b', TINY_FIM_MIDDLE}));
}

TEST(Infill, AModelWithoutTheTokensIsToldByName) {
  const Outcome outcome = RunMirage({"run", "-m", TinyModel(), "-p", "a", "--suffix", "b"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("tokenizer.ggml.fim_pre_token_id"), std::string::npos) << outcome.err;
  EXPECT_EQ(RunMirage({"run", "-m", TinyModel(), "-p", "a", "--pre-context", "b"}).code, 2);
  EXPECT_EQ(RunMirage({"run", "-m", TinyModel(), "-p", "a", "--suffix", "b", "--raw"}).code, 2);
}

}  // namespace
}  // namespace mirage::test
