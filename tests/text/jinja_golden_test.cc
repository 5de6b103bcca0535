// SPDX-License-Identifier: Apache-2.0
// What transformers renders, this engine renders: over our own templates in data/jinja, and over
// the folder that MIRAGE_TEST_TEMPLATES names, if it does (see jinja_make_goldens.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace mirage::text {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // templates see the order of keys

constexpr int64_t kNowSeconds = 1785067445;  // as in jinja_make_goldens.py

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

Outcome RenderCase(const Result<ChatTemplate>& chat_template, const json& input) {
  if (!chat_template) return {"syntax", chat_template.error().message};
  const std::string given = input.dump();
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
      const Outcome actual = RenderCase(ChatTemplate::Parse(source), input);
      EXPECT_TRUE(Agrees(actual, expected))
          << entry.path().filename().string() << ": " << source << "\n  expected "
          << expected.ToString() << "\n  actual   " << actual.ToString();
      ++cases;
    }
  }
  EXPECT_GT(cases, 0u);
}

TEST(JinjaGolden, PublishedTemplatesRenderAsInTransformers) {
  const char* folder = std::getenv("MIRAGE_TEST_TEMPLATES");
  if (folder == nullptr) {
    GTEST_SKIP() << "MIRAGE_TEST_TEMPLATES is not set: no folder of templates with goldens.json";
  }
  if (!fs::exists(fs::path(folder) / "goldens.json"))
    GTEST_SKIP() << folder << " has no goldens.json: jinja_make_goldens.py writes it";
  const json goldens = json::parse(ReadFile(fs::path(folder) / "goldens.json"));
  ASSERT_EQ(goldens["now_seconds"].get<int64_t>(), kNowSeconds);
  size_t cases = 0, differing_cases = 0;
  std::vector<std::string> differing;
  for (const auto& [name, results] : goldens["templates"].items()) {
    const auto chat_template = ChatTemplate::Parse(ReadFile(fs::path(folder) / name));
    size_t wrong = 0;
    for (const auto& [input, result] : results.items()) {
      const Outcome expected = ExpectedOf(result);
      const Outcome actual = RenderCase(chat_template, goldens["inputs"][input]);
      ++cases;
      if (Agrees(actual, expected)) continue;
      if (wrong++ < 2) {
        ADD_FAILURE() << name << " with " << input << "\n  expected " << expected.ToString()
                      << "\n  actual   " << actual.ToString();
      }
    }
    differing_cases += wrong;
    if (wrong > 0) differing.push_back(name + " (" + std::to_string(wrong) + ")");
  }
  std::cout << goldens["templates"].size() << " templates, " << cases << " cases; "
            << differing.size() << " templates differ, in " << differing_cases << " cases\n";
  for (const std::string& name : differing) std::cout << "  differs: " << name << "\n";
}

}  // namespace
}  // namespace mirage::text
