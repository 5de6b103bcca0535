// SPDX-License-Identifier: Apache-2.0
// Greedy tokens of real models against transformers in float32 (tests/golden/greedy.json): after
// the reference's own prefix, our token is the reference's, or one that its logits put within a
// near-tie, or the one that llama.cpp takes there too.
//
// MIRAGE_TEST_MODELS names the folder that holds the files; without it every test here is skipped.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/model/golden_files.h"

namespace mirage::model {
namespace {

using nlohmann::json;

// One prompt, fed the reference's tokens whatever we would have said.
struct Continuation {
  const json& golden;
  std::vector<int32_t> tokens;  // the prompt, then the reference's
  size_t prompt;
  std::unique_ptr<kv::SequenceCache> cache;

  [[nodiscard]] std::span<const int32_t> Given(size_t step) const {
    return step == 0 ? std::span(tokens).first(prompt)
                     : std::span(tokens).subspan(prompt + step - 1, 1);
  }
  [[nodiscard]] int32_t Wanted(size_t step) const { return tokens[prompt + step]; }
};

struct Tally {
  size_t steps = 0, near_ties = 0, as_llamacpp = 0;
};

class Greedy : public testing::TestWithParam<const char*> {
 protected:
  static void Judge(const Continuation& one, size_t step, int32_t got, Tally* tally) {
    ++tally->steps;
    if (got == one.Wanted(step)) return;
    const std::string key = std::to_string(step);
    const auto near = one.golden["near"].value(key, std::vector<int32_t>());
    if (std::find(near.begin(), near.end(), got) != near.end()) {
      ++tally->near_ties;
    } else if (one.golden["llamacpp"].value(key, -1) == got) {
      ++tally->as_llamacpp;
    } else {
      ADD_FAILURE() << one.golden["prompt"] << ", step " << step << ": token " << got << ", not "
                    << one.Wanted(step) << ", which leads by " << one.golden["gaps"][step];
    }
  }
};

TEST_P(Greedy, TokensAreTheReferencesButForNearTies) {
  const char* folder = std::getenv("MIRAGE_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS is not set";
  const std::string path = std::string(folder) + "/" + GetParam();
  if (!std::ifstream(path)) GTEST_SKIP() << path << " is not there";
  const json goldens = ReadGoldenJson("greedy.json");
  const json& golden = goldens["models"][GetParam()];
  ASSERT_GE(golden.size(), 24u);

  LoadOptions options;
  options.plan.context = 96;
  options.plan.sequences = options.plan.logit_rows = static_cast<int32_t>(golden.size());
  TestHost host({.threads = 2});
  auto loaded = Model::Load(host.host(), OpenFile(path).value(), options);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;

  std::vector<Continuation> all;
  for (const json& one : golden) {
    auto tokens = one["ids"].get<std::vector<int32_t>>();
    const size_t prompt = tokens.size();
    const auto more = one["tokens"].get<std::vector<int32_t>>();
    tokens.insert(tokens.end(), more.begin(), more.end());
    all.push_back({one, tokens, prompt, std::make_unique<kv::SequenceCache>(model.pages())});
  }
  const size_t steps = golden[0]["tokens"].size();
  ASSERT_GE(steps, 32u);
  Tally tally;
  for (size_t step = 0; step < steps; ++step) {
    std::vector<Slice> slices;
    for (Continuation& one : all) {
      const auto end = one.cache->length() + static_cast<int64_t>(one.Given(step).size());
      ASSERT_TRUE(one.cache->Reserve(end));
      slices.push_back({one.cache.get(), one.Given(step), true});
    }
    const auto status = model.Forward(slices, {});
    ASSERT_TRUE(status) << status.error().message;
    for (size_t i = 0; i < all.size(); ++i) {
      all[i].cache->Commit(all[i].cache->length() +
                           static_cast<int64_t>(all[i].Given(step).size()));
      const std::span<const float> logits = model.Logits(static_cast<int32_t>(i));
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      Judge(all[i], step, static_cast<int32_t>(best), &tally);
    }
  }
  std::cout << GetParam() << ": " << tally.steps << " steps, " << tally.near_ties
            << " other tokens at near-ties, " << tally.as_llamacpp << " as llama.cpp\n";
  // A near-tie excuses a token, not a model: most of them go the reference's way.
  EXPECT_LT(tally.near_ties + tally.as_llamacpp, tally.steps / 20);
}

INSTANTIATE_TEST_SUITE_P(
    Files, Greedy, testing::Values("smollm2-135m.gguf", "gemma3-270m.gguf"), [](const auto& name) {
      return std::string(name.param).substr(0, std::string(name.param).find('-'));
    });

}  // namespace
}  // namespace mirage::model
