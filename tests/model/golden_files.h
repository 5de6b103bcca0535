// SPDX-License-Identifier: Apache-2.0
#pragma once

// The golden models (tests/golden) as tests read them.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tests/model/test_host.h"

namespace mirage::model {

inline const char* const kGoldenFolder = MIRAGE_SOURCE_DIR "/tests/golden/";

[[nodiscard]] inline nlohmann::json ReadGoldenJson(const std::string& name) {
  std::ifstream in(std::string(kGoldenFolder) + name);
  return nlohmann::json::parse(in);
}

// What goldens.json says of each model, by name.
[[nodiscard]] inline const nlohmann::json& Goldens() {
  static const nlohmann::json goldens = [] {
    nlohmann::json by_name;
    const nlohmann::json all = ReadGoldenJson("goldens.json");
    for (const auto& entry : all.at("goldens"))
      by_name[entry.at("name").get<std::string>()] = entry;
    return by_name;
  }();
  return goldens;
}

[[nodiscard]] inline std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Goldens().items()) names.push_back(name);
  return names;
}

[[nodiscard]] inline std::string GoldenPath(const std::string& name) {
  return std::string(kGoldenFolder) + "data/" + name + ".gguf";
}
[[nodiscard]] inline std::vector<int32_t> GoldenTokens(const std::string& name) {
  return ReadAll<int32_t>(std::string(kGoldenFolder) + "data/" + name + ".tokens.i32");
}
// [64, vocabulary], transformers' in float32.
[[nodiscard]] inline std::vector<float> GoldenLogits(const std::string& name) {
  return ReadAll<float>(std::string(kGoldenFolder) + "data/" + name + ".logits.f32");
}

// What hidden.json says of some of them.
[[nodiscard]] inline std::vector<nlohmann::json> HiddenGoldens() {
  return ReadGoldenJson("hidden.json").at("goldens").get<std::vector<nlohmann::json>>();
}
// [64, width], transformers' in float32, after the last norm.
[[nodiscard]] inline std::vector<float> GoldenHidden(const std::string& name) {
  return ReadAll<float>(std::string(kGoldenFolder) + "data/" + name + ".hidden.f32");
}

struct Difference {
  double max = 0;
  double rms = 0;
};

[[nodiscard]] inline Difference Compare(std::span<const float> got, std::span<const float> want) {
  Difference difference;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - want[i]);
    difference.max = std::isfinite(error) ? std::max(difference.max, error) : INFINITY;
    difference.rms += error * error;
  }
  difference.rms = std::sqrt(difference.rms / static_cast<double>(want.size()));
  return difference;
}

}  // namespace mirage::model
