// SPDX-License-Identifier: Apache-2.0

// The command on real models, which the folder MIRAGE_TEST_MODELS holds; skipped without.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "command.h"

namespace mirage::test {
namespace {

using Json = nlohmann::json;

struct Known {
  const char* file;
  bool chats;             // has a chat template
  const char* beginning;  // of the greedy answer to "The capital of France is"
};

class RealModelTest : public testing::TestWithParam<Known> {
 protected:
  void SetUp() override {
    model_ = RealModel(GetParam().file);
    if (model_.empty())
      GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with " << GetParam().file;
  }
  Json Ask(std::vector<std::string> more) {
    std::vector<std::string> words = {"run", "-m", model_, "--temp", "0", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = RunMirage(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }
  std::string model_;
};

TEST_P(RealModelTest, ContinuesText) {
  const Json json = Ask({"--raw", "-p", "The capital of France is", "-n", "8"});
  EXPECT_EQ(json["text"].get<std::string>().find(GetParam().beginning), 0u) << json["text"];
}

TEST_P(RealModelTest, ChatsWhereItHasATemplate) {
  const std::vector<std::string> question = {
      "-p", "What is the capital of France? Answer in one word.", "-n", "24"};
  if (GetParam().chats) {
    const std::string text = Ask(question)["text"];
    EXPECT_NE(text.find("Paris"), std::string::npos) << text;
    return;
  }
  const Outcome outcome = RunMirage({"run", "-m", model_, "-p", "x"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("chat template"), std::string::npos) << outcome.err;
}

TEST_P(RealModelTest, StreamingTheWeightsChangesNoToken) {
  const std::vector<std::string> question = {"--raw", "-p", "Three colours are", "-n", "8",
                                             "-c",    "256"};
  const Json whole = Ask(question);
  const Json plan = Json::parse(RunMirage({"inspect", model_, "-c", "256", "--json"}).out, nullptr,
                                false)["plan"];
  const uint64_t limit =
      (plan["total"].get<uint64_t>() - plan["weights"].get<uint64_t>() / 3) >> 20;
  std::vector<std::string> limited = question;
  limited.insert(limited.end(), {"--memory", std::to_string(limit) + "M"});
  const Json streamed = Ask(limited);
  EXPECT_EQ(streamed["tokens"], whole["tokens"]);
  EXPECT_GT(streamed["memory"]["streamed_bytes_per_token"], 0);
}

TEST_P(RealModelTest, ALongPromptIsWorthStreamingWeights) {
  std::string prompt = "One";
  for (int i = 0; i < 1000; ++i) prompt += " two";
  const auto plan_with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"inspect", model_, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return Json::parse(RunMirage(words).out, nullptr, false)["plan"];
  };
  const uint64_t limit = plan_with({"-c", "512"})["total"].get<uint64_t>() >> 20;
  const std::string memory = std::to_string(limit) + "M";
  ASSERT_LT(plan_with({"--memory", memory})["context"], 1000);
  const Json answer = Ask({"--raw", "-p", prompt, "-n", "2", "--memory", memory});
  EXPECT_GT(answer["prompt_tokens"].size(), 1000u);
  EXPECT_EQ(answer["tokens"].size(), 2u);
}

TEST_P(RealModelTest, QuantisedKeysAndValuesTakeLessMemory) {
  std::string prompt;
  for (int i = 0; i < 60; ++i) prompt += "The capital of France is Paris. ";
  const auto kv_bytes = [&](const std::string& type) {
    const Json answer = Ask({"--raw", "-p", prompt, "-n", "8", "-c", "512", "--kv-type", type});
    EXPECT_NE(answer["text"].get<std::string>().find("Paris"), std::string::npos) << answer["text"];
    return answer["memory"]["kv"].get<uint64_t>();
  };
  const uint64_t eight = kv_bytes("q8_0");
  EXPECT_LT(eight, kv_bytes("f16"));
  EXPECT_LT(kv_bytes("q4_0"), eight);
  const auto planned = [&](const std::string& type) {
    const Outcome outcome =
        RunMirage({"inspect", model_, "-c", "512", "--kv-type", type, "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false)["plan"]["kv"].get<uint64_t>();
  };
  EXPECT_LT(planned("q8_0"), planned("f16"));
  EXPECT_LT(planned("q4_0"), planned("q8_0"));
}

TEST_P(RealModelTest, KeysAndValuesOfEightBitsLoseNextToNothing) {
  const auto perplexity = [&](const std::string& type) {
    const Outcome outcome =
        RunMirage({"perplexity", "-m", model_, "-f", MIRAGE_SOURCE_DIR "/docs/abi.md", "--ctx",
                   "256", "--kv-type", type, "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false)["perplexity"].get<double>();
  };
  const double halves = perplexity("f16");
  EXPECT_NEAR(perplexity("q8_0"), halves, halves * 0.005);
  EXPECT_LT(perplexity("q4_0"), halves * 1.5);
}

TEST_P(RealModelTest, AnswersBySchemaAreValidWhateverTheSeed) {
  const std::string schema =
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":20},
          "age":{"type":"integer","minimum":0,"maximum":120},
          "hobbies":{"type":"array","items":{"type":"string","maxLength":12},"maxItems":3},
          "mood":{"enum":["glad","sad"]}},
          "required":["name","age","mood"],"additionalProperties":false})";
  const TemporaryFile file(schema);
  for (const char* seed : {"1", "2", "3", "4"}) {
    const Outcome outcome = RunMirage(
        {"run", "-m", model_, "--raw", "-p", "A person as JSON: ", "--temp", "1", "--top-k", "0",
         "--seed", seed, "-n", "300", "-c", "512", "--json", "--json-schema", file.path()});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json json = Json::parse(outcome.out, nullptr, false);
    EXPECT_EQ(json["finish"], "stop") << json["text"];
    const std::string text = json["text"];
    EXPECT_TRUE(Json::accept(text)) << text;
    EXPECT_EQ(RunMirage({"grammar-check", "--json-schema", file.path(), "--text", text}).code, 0)
        << text;
  }
}

TEST_P(RealModelTest, FourMebibytesAreTooFew) {
  EXPECT_EQ(RunMirage({"run", "-m", model_, "--raw", "-p", "x", "--memory", "4M"}).code, 4);
}

TEST_P(RealModelTest, CtrlCEndsTheAnswerWith130) {
  const Outcome outcome = RunMirage(
      {"run", "-m", model_, "--raw", "-p", "One, two, three,", "--ignore-eos", "--json"}, "", 3000);
  EXPECT_EQ(outcome.code, 130) << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(
    Models, RealModelTest,
    testing::Values(Known{"smollm2-135m.gguf", true, " Paris."},
                    Known{"gemma3-270m.gguf", false, " the capital of the country of France"}),
    [](const auto& model) { return std::string(model.param.file).substr(0, 6); });

}  // namespace
}  // namespace mirage::test
