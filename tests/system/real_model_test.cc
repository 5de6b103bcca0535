// SPDX-License-Identifier: Apache-2.0

// The command on real models, which the folder MIRAGE_TEST_MODELS holds; skipped without.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "command.h"

namespace mirage::test {
namespace {

using Json = nlohmann::json;

class RealModelTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = RealModel(GetParam());
    if (model_.empty()) GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with " << GetParam();
  }
  Json Ask(std::vector<std::string> more) {
    std::vector<std::string> words = {"run", "-m", model_, "--temp", "0", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = RunMirage(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }
  [[nodiscard]] bool IsChatModel() const { return model_.find("smollm2") != std::string::npos; }
  std::string model_;
};

TEST_P(RealModelTest, KnowsTheCapitalOfFrance) {
  if (!IsChatModel()) GTEST_SKIP() << GetParam() << " is a base model: it has no chat template";
  const Json json = Ask({"-p", "What is the capital of France? Answer in one word.", "-n", "24"});
  EXPECT_NE(json["text"].get<std::string>().find("Paris"), std::string::npos) << json["text"];
}

TEST_P(RealModelTest, ContinuesRawText) {
  const Json json = Ask({"--raw", "-p", "The capital of France is", "-n", "8"});
  EXPECT_NE(json["text"].get<std::string>().find(IsChatModel() ? "Paris" : "capital"),
            std::string::npos)
      << json["text"];
}

TEST_P(RealModelTest, StreamingTheWeightsChangesNoToken) {
  const Json whole = Ask({"--raw", "-p", "Name three colours.", "-n", "8", "-c", "256"});
  const Json plan = Json::parse(RunMirage({"inspect", model_, "-c", "256", "--json"}).out, nullptr,
                                false)["plan"];
  const uint64_t limit =
      (plan["total"].get<uint64_t>() - plan["weights"].get<uint64_t>() / 3) >> 20;
  const Json streamed = Ask({"--raw", "-p", "Name three colours.", "-n", "8", "-c", "256",
                             "--memory", std::to_string(limit) + "M"});
  EXPECT_EQ(streamed["tokens"], whole["tokens"]);
  EXPECT_GT(streamed["memory"]["streamed_bytes_per_token"], 0);
}

TEST_P(RealModelTest, FourMebibytesAreTooFew) {
  EXPECT_EQ(RunMirage({"run", "-m", model_, "-p", "x", "--memory", "4M"}).code, 4);
}

TEST_P(RealModelTest, CtrlCEndsTheAnswerWith130) {
  const Outcome outcome = RunMirage(
      {"run", "-m", model_, "--raw", "-p", "Count to a thousand.", "--ignore-eos", "--json"}, "",
      3000);
  EXPECT_EQ(outcome.code, 130) << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(Models, RealModelTest,
                         testing::Values("smollm2-135m.gguf", "gemma3-270m.gguf"),
                         [](const auto& model) { return std::string(model.param).substr(0, 6); });

}  // namespace
}  // namespace mirage::test
