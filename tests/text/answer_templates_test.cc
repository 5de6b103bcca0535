// SPDX-License-Identifier: Apache-2.0

// Published chat templates, in the folder that MIRAGE_TEST_TEMPLATES names: the format of their
// answers is told, and a call that they render is read back.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "text/answer/answer_parser.h"
#include "text/chat_template.h"

namespace mirage::text {
namespace {

using Json = nlohmann::json;

const std::map<std::string, CallFormat> kFormats = {
    {"Bielik-11B-v3.0-Instruct", CallFormat::kHermes},
    {"MiMo-VL", CallFormat::kHermes},
    {"NVIDIA-Nemotron-Nano-v2", CallFormat::kHermes},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", CallFormat::kHermes},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", CallFormat::kHermes},
    {"Qwen-QwQ-32B", CallFormat::kHermes},
    {"Qwen-Qwen2.5-7B-Instruct", CallFormat::kHermes},
    {"Qwen-Qwen3-0.6B", CallFormat::kHermes},
    {"ibm-granite-granite-4.0", CallFormat::kHermes},
    {"Qwen3-Coder", CallFormat::kQwenXml},
    {"Qwen3.5-4B", CallFormat::kQwenXml},
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", CallFormat::kQwenXml},
    {"StepFun3.5-Flash", CallFormat::kQwenXml},
    {"meta-llama-Llama-3.1-8B-Instruct", CallFormat::kLlama3},
    {"meta-llama-Llama-3.2-3B-Instruct", CallFormat::kLlama3},
    {"meta-llama-Llama-3.3-70B-Instruct", CallFormat::kLlama3},
    {"mistralai-Mistral-Nemo-Instruct-2407", CallFormat::kMistral},
    {"Mistral-Small-3.2-24B-Instruct-2506", CallFormat::kMistral},
    {"mistralai-Ministral-3-14B-Reasoning-2512", CallFormat::kMistral},
    {"unsloth-mistral-Devstral-Small-2507", CallFormat::kMistral},
    {"meetkai-functionary-medium-v3.1", CallFormat::kFunctionaryTags},
    {"meetkai-functionary-medium-v3.2", CallFormat::kFunctionary},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", CallFormat::kDeepSeek},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", CallFormat::kDeepSeek},
    {"deepseek-ai-DeepSeek-V3.1", CallFormat::kDeepSeek},
    {"llama-cpp-deepseek-r1", CallFormat::kDeepSeek},
    {"openai-gpt-oss-120b", CallFormat::kHarmony},
    {"moonshotai-Kimi-K2", CallFormat::kKimi},
    {"Kimi-K2-Instruct", CallFormat::kKimi},
    {"Kimi-K2-Thinking", CallFormat::kKimi},
    {"ByteDance-Seed-OSS", CallFormat::kQwenXml},
    {"google-gemma-2-2b-it", CallFormat::kNone},
    {"microsoft-Phi-3.5-mini-instruct", CallFormat::kNone},
};

// The published engine does not render these with tools either.
const std::set<std::string> kNotRendered = {"Kimi-K2-Instruct", "Kimi-K2-Thinking",
                                            "llama-cpp-deepseek-r1"};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

std::string Render(const ChatTemplate& chat_template, const Json& messages, bool prompt) {
  const Json tools = Json::parse(
      R"([{"type": "function", "function": {"name": "get_weather", "description": "d",
          "parameters": {"type": "object", "required": ["city"],
          "properties": {"city": {"type": "string", "description": "c"}}}}}])");
  const Json input = {{"messages", messages},
                      {"tools", tools},
                      {"add_generation_prompt", prompt},
                      {"bos_token", "<s>"},
                      {"eos_token", "</s>"}};
  RenderInput given;
  const std::string json = input.dump();
  given.json = json;
  given.tool_calls = FindToolCallForm(chat_template);
  const Result<Rendered> rendered = chat_template.Render(given);
  return rendered ? rendered->text : "";
}

TEST(AnswerTemplates, TheFormatIsToldAndACallIsReadBack) {
  const char* folder = std::getenv("MIRAGE_TEST_TEMPLATES");
  if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_TEMPLATES is not set";
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const std::string name = entry.path().stem().string();
    const std::string source = ReadFile(entry.path());
    const AnswerFormat format = DetectAnswerFormat(source, [](std::string_view) { return false; });
    const auto expected = kFormats.find(name);
    if (expected == kFormats.end()) continue;
    ++found;
    EXPECT_EQ(static_cast<int>(format.calls), static_cast<int>(expected->second)) << name;
    if (format.calls == CallFormat::kNone || kNotRendered.contains(name)) continue;

    const Result<ChatTemplate> chat_template = ChatTemplate::Parse(source);
    ASSERT_TRUE(chat_template.has_value()) << name;
    const Json user = {{"role", "user"}, {"content", "Weather?"}};
    const Json call = {
        {"role", "assistant"},
        {"tool_calls",
         {{{"id", "a1B2c3D4e"},
           {"type", "function"},
           {"function", {{"name", "get_weather"}, {"arguments", {{"city", "Paris"}}}}}}}}};
    Json after_texts = call;
    after_texts.update({{"reasoning_content", "Hm."}, {"content", "I look."}});
    EXPECT_NE(Render(*chat_template, Json::array({user, after_texts}), false).find("get_weather"),
              std::string::npos)
        << name;
    const std::string whole = Render(*chat_template, Json::array({user, call}), false);
    EXPECT_FALSE(whole.empty()) << name;
    const std::string prompt = Render(*chat_template, Json::array({user}), true);
    size_t same = 0;
    while (same < std::min(prompt.size(), whole.size()) && prompt[same] == whole[same]) ++same;
    // Where the prompt goes on with another tag than the answer.
    if (same < prompt.size()) same = std::min(same, whole.rfind('<', same));
    AnswerOptions options;
    options.format = format;
    options.in_reasoning = OpensReasoning(prompt.substr(0, same), format.reasoning);
    AnswerParser parser(options);
    std::vector<AnswerPiece> pieces;
    parser.Push(whole.substr(same), &pieces);
    parser.End(true, &pieces);
    std::vector<ToolCall> calls;
    for (const AnswerPiece& piece : pieces)
      if (piece.kind == AnswerPiece::Kind::kToolCall) calls.push_back(piece.call);
    EXPECT_EQ(calls.size(), 1u) << name << "\n" << whole.substr(same);
    if (calls.size() != 1) continue;
    EXPECT_EQ(calls[0].name, "get_weather") << name;
    EXPECT_EQ(Json::parse(calls[0].arguments), Json::parse(R"({"city": "Paris"})")) << name;
  }
  EXPECT_EQ(found, kFormats.size());
}

}  // namespace
}  // namespace mirage::text
