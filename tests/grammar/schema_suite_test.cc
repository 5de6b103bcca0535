// SPDX-License-Identifier: Apache-2.0

// The official test suite of JSON schemas, draft 2020-12: what the grammar of each schema accepts
// against what the suite says is valid. A schema with a keyword that is not known is counted, and
// must be refused.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace mirage::grammar {
namespace {

using Json = nlohmann::ordered_json;

struct Counts {
  size_t accepted = 0, rejected = 0, unsupported = 0, wrong = 0;
};

bool Allows(const Grammar& grammar, const std::string& text) {
  Matcher matcher = *grammar.Begin();
  const Result<size_t> taken = matcher.Push(text);
  return taken && *taken == text.size() && matcher.CanEnd();
}

// As JSON, with numbers spelt out: a grammar has no exponents where a schema bounds a number.
std::string Spelt(const Json& value) {
  std::string out;
  if (value.is_number_float()) {
    std::array<char, 400> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(),
                                            value.get<double>(), std::chars_format::fixed);
    EXPECT_EQ(error, std::errc());
    return {digits.data(), end};
  }
  if (!value.is_structured()) return value.dump();
  for (const auto& [name, item] : value.items()) {
    out += out.empty() ? "" : ",";
    if (value.is_object()) out += Json(name).dump() + ":";
    out += Spelt(item);
  }
  return value.is_array() ? "[" + out + "]" : "{" + out + "}";
}

void Run(const Json& group, const std::string& file, Counts* counts) {
  const std::string name = file + ": " + group["description"].get<std::string>();
  const Result<Grammar> grammar = Grammar::FromJsonSchema(group["schema"].dump());
  if (!grammar) {
    if (grammar.error().code == Code::kUnsupported) {
      counts->unsupported += group["tests"].size();
      if (std::getenv("MIRAGE_SUITE_VERBOSE") != nullptr)
        std::cout << name << ": " << grammar.error().message << '\n';
    } else {
      ++counts->wrong;
      ADD_FAILURE() << name << ": " << grammar.error().message;
    }
    return;
  }
  for (const Json& test : group["tests"]) {
    const bool valid = test["valid"].get<bool>();
    if (Allows(*grammar, Spelt(test["data"])) == valid) {
      ++(valid ? counts->accepted : counts->rejected);
      continue;
    }
    ++counts->wrong;
    ADD_FAILURE() << name << ": " << test["description"] << ": " << Spelt(test["data"]) << " is "
                  << (valid ? "valid" : "not valid");
  }
}

void RunFile(const std::filesystem::path& path, Counts* counts) {
  std::ifstream file(path);
  const Json groups = Json::parse(file);
  Counts own;
  for (const Json& group : groups) Run(group, path.stem().string(), &own);
  std::cout << path.stem().string() << ": " << own.accepted << " accepted, " << own.rejected
            << " rejected, " << own.unsupported << " unsupported, " << own.wrong << " wrong\n";
  counts->accepted += own.accepted;
  counts->rejected += own.rejected;
  counts->unsupported += own.unsupported;
  counts->wrong += own.wrong;
}

TEST(SchemaSuite, WhatIsAcceptedIsWhatIsValid) {
  const char* const folder = std::getenv("MIRAGE_TEST_JSON_SCHEMA");
  if (folder == nullptr || !std::filesystem::exists(folder))
    GTEST_SKIP() << "MIRAGE_TEST_JSON_SCHEMA names no test suite: see tools/fetch_test_data.sh";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    // There a format is a note; here it is held to, as in optional/format.
    if (entry.path().extension() == ".json" && entry.path().stem() != "format")
      files.push_back(entry.path());
  for (const char* format : {"date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "uri"})
    files.push_back(std::filesystem::path(folder) / "optional" / "format" /
                    (std::string(format) + ".json"));
  std::sort(files.begin(), files.end());
  Counts counts;
  for (const auto& file : files) RunFile(file, &counts);
  std::cout << "in all: " << counts.accepted << " accepted, " << counts.rejected << " rejected, "
            << counts.unsupported << " unsupported, " << counts.wrong << " wrong\n";
  EXPECT_GT(counts.accepted + counts.rejected, 500u);
}

}  // namespace
}  // namespace mirage::grammar
