// SPDX-License-Identifier: Apache-2.0
// What transformers renders, this engine renders: over our own templates in data/jinja, and over
// the published ones in the folder that MIRAGE_TEST_TEMPLATES names, with the goldens beside them
// that tools/fetch_test_data.sh makes (see jinja_make_goldens.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace mirage::text {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // templates see the order of keys

constexpr int64_t kNowSeconds = 1785067445;  // as in jinja_reference.py

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

struct Outcome {
  std::string error;  // "", "syntax", "refused" or "error"
  std::string text;   // or the message

  std::string ToString() const { return error.empty() ? text : "<" + error + "> " + text; }
};

Outcome RenderCase(const Result<ChatTemplate>& chat_template, const std::string& given) {
  if (!chat_template) return {"syntax", chat_template.error().message};
  Result<Rendered> rendered = chat_template->Render({given, kNowSeconds, {}});
  if (rendered) return {"", std::move(rendered->text)};
  const bool refused = rendered.error().code == Code::kRefused;
  return {refused ? "refused" : "error", rendered.error().message};
}

Outcome ExpectedOf(const json& result) {
  if (result.contains("text")) return {"", result["text"].get<std::string>()};
  return {result["error"].get<std::string>(), result.value("message", "")};
}

bool Agrees(const Outcome& actual, const Outcome& expected) {
  if (actual.error != expected.error) return false;
  // Only a text and a refusal's message are promised to the byte.
  const bool exact = expected.error.empty() || expected.error == "refused";
  return !exact || actual.text == expected.text;
}

TEST(JinjaGolden, OwnTemplatesRenderAsInTransformers) {
  const fs::path folder = fs::path(MIRAGE_SOURCE_DIR) / "tests/text/data/jinja";
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    for (const json& one : json::parse(ReadFile(entry.path()))) {
      json input = one.value("input", json::object());
      if (!input.contains("messages")) input["messages"] = json::array();
      const Outcome expected = ExpectedOf(one);
      const auto source = one["template"].get<std::string>();
      const Outcome actual = RenderCase(ChatTemplate::Parse(source), input.dump());
      EXPECT_TRUE(Agrees(actual, expected))
          << entry.path().filename().string() << ": " << source << "\n  expected "
          << expected.ToString() << "\n  actual   " << actual.ToString();
      ++cases;
    }
  }
  EXPECT_GT(cases, 0u);
}

// Renders one published template over all inputs; returns how many cases differ, and shows two.
size_t CountDifferences(const fs::path& template_path, const json& results,
                        const std::map<std::string, std::string>& inputs) {
  const auto chat_template = ChatTemplate::Parse(ReadFile(template_path));
  size_t differing = 0;
  for (const auto& [input, result] : results.items()) {
    const Outcome expected = ExpectedOf(result);
    const Outcome actual = RenderCase(chat_template, inputs.at(input));
    if (Agrees(actual, expected)) continue;
    if (differing++ < 2) {
      ADD_FAILURE() << template_path.filename().string() << " with " << input << "\n  expected "
                    << expected.ToString() << "\n  actual   " << actual.ToString();
    }
  }
  return differing;
}

TEST(JinjaGolden, PublishedTemplatesRenderAsInTransformers) {
  const char* folder = std::getenv("MIRAGE_TEST_TEMPLATES");
  if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_TEMPLATES is not set";
  const fs::path goldens = fs::path(folder) / "goldens";
  if (!fs::exists(goldens))
    GTEST_SKIP() << goldens << " is not there: tools/fetch_test_data.sh all makes it";
  const json given = json::parse(ReadFile(goldens / "inputs.json"));
  ASSERT_EQ(given["now_seconds"].get<int64_t>(), kNowSeconds);
  std::map<std::string, std::string> inputs;
  for (const auto& [name, input] : given["inputs"].items()) inputs[name] = input.dump();

  size_t templates = 0, cases = 0;
  std::vector<std::string> differing;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const std::string name = entry.path().filename().string();
    const json results = json::parse(ReadFile(goldens / (name + ".json")));
    EXPECT_EQ(results.size(), inputs.size()) << name;
    const size_t wrong = CountDifferences(entry.path(), results, inputs);
    if (wrong > 0) differing.push_back(name + " (" + std::to_string(wrong) + ")");
    ++templates;
    cases += results.size();
  }
  EXPECT_GE(templates, 70u);
  std::cout << templates << " templates, " << cases << " cases; " << differing.size()
            << " templates differ\n";
  for (const std::string& name : differing) std::cout << "  differs: " << name << "\n";
}

}  // namespace
}  // namespace mirage::text
