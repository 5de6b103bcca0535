// SPDX-License-Identifier: Apache-2.0
// A sequence that goes on from pages others computed, found in the prefix cache or shared by a
// fork, has the logits it would have had alone, to the bit.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>

#include "kv/prefix_cache.h"
#include "tests/model/golden_files.h"

namespace mirage::model {
namespace {

using Tokens = std::vector<int32_t>;

// One model and its tree.
struct Subject {
  explicit Subject(const std::string& path) {
    LoadOptions load;
    load.plan.context = 512;
    load.plan.logit_rows = 1;
    auto loaded = Model::Load(host.host(), OpenFile(path).value(), load);
    if (!loaded) {
      ADD_FAILURE() << loaded.error().message;
      return;
    }
    model = std::move(*loaded);
    prefixes.emplace(model->pages());
  }

  [[nodiscard]] Tokens Random(size_t count, unsigned seed) const {
    std::mt19937 random(seed);
    Tokens tokens(count);
    const auto vocabulary = static_cast<uint32_t>(model->config().vocabulary);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocabulary);
    return tokens;
  }

  // The logits after the last of `tokens`, of which `cache` holds a beginning.
  std::vector<float> Run(const Tokens& tokens, kv::SequenceCache* cache, size_t chunk,
                         bool remember) {
    std::vector<float> row;
    for (auto begin = static_cast<size_t>(cache->length()); begin < tokens.size(); begin += chunk) {
      const auto part = std::span(tokens).subspan(begin, std::min(chunk, tokens.size() - begin));
      const size_t end = begin + part.size();
      EXPECT_TRUE(cache->Reserve(static_cast<int64_t>(end)));
      const Slice slice{cache, part, 1};
      const Status passed = model->Forward({&slice, 1}, {});
      EXPECT_TRUE(passed) << passed.error().message;
      if (remember)
        prefixes->Insert("", std::span(tokens).first(end), end == tokens.size(), 1, cache);
      cache->Commit(static_cast<int64_t>(end));
      row.assign(model->Logits(0).begin(), model->Logits(0).end());
    }
    return row;
  }
  std::vector<float> Alone(const Tokens& tokens, size_t chunk) {
    kv::SequenceCache cache(model->pages());
    return Run(tokens, &cache, chunk, false);
  }
  // Finds what it can of `tokens`, all but the last.
  int64_t Find(const Tokens& tokens, kv::SequenceCache* cache) {
    return prefixes->Find("", std::span(tokens).first(tokens.size() - 1), 1, cache);
  }

  TestHost host;
  std::unique_ptr<Model> model;
  std::optional<kv::PrefixCache> prefixes;
};

testing::AssertionResult SameBits(const std::vector<float>& got, const std::vector<float>& want) {
  if (!got.empty() && got.size() == want.size() &&
      std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "bits differ";
}

Tokens Branch(const Tokens& from, size_t count, const Tokens& more) {
  Tokens tokens(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

// Hits of whole pages and of parts, and forks at any position.
void ExpectSharedBitsAreTheSame(Subject& subject, size_t length, std::vector<size_t> branches) {
  const Tokens text = subject.Random(length, 1);
  kv::SequenceCache first(subject.model->pages());
  subject.Run(text, &first, 37, true);
  int64_t hits = 0;
  for (const size_t at : branches) {
    const Tokens tokens = Branch(text, at, subject.Random(21, 100 + static_cast<unsigned>(at)));
    const std::vector<float> want = subject.Alone(tokens, 13);

    kv::SequenceCache found(subject.model->pages());
    const int64_t hit = subject.Find(tokens, &found);
    EXPECT_LE(hit, static_cast<int64_t>(at));
    hits += hit;
    EXPECT_TRUE(SameBits(subject.Run(tokens, &found, 8, true), want))
        << "found " << hit << " of " << at;

    kv::SequenceCache fork = first.Fork();
    fork.Truncate(static_cast<int64_t>(at));
    EXPECT_TRUE(SameBits(subject.Run(tokens, &fork, 5, false), want)) << "forked at " << at;
  }
  EXPECT_GT(hits, static_cast<int64_t>(branches.size()) * 20);
  // The first one still holds its own.
  const Tokens on = Branch(text, text.size(), subject.Random(3, 7));
  EXPECT_TRUE(SameBits(subject.Run(on, &first, 3, false), subject.Alone(on, 50)));
  const Status status = subject.prefixes->CheckInvariants();
  EXPECT_TRUE(status) << status.error().message;
}

class SharedPrefix : public testing::TestWithParam<std::string> {};

TEST_P(SharedPrefix, ChangesNoBit) {
  Subject subject(GoldenPath(GetParam()));
  ASSERT_TRUE(subject.model);
  ExpectSharedBitsAreTheSame(subject, 300, {300, 299, 257, 256, 200, 131, 96, 45, 33, 32, 12});
}

INSTANTIATE_TEST_SUITE_P(Models, SharedPrefix,
                         testing::Values("llama_gqa_tied", "qwen3", "gemma2", "gemma3",
                                         "phi3_window", "quant_q8_0", "quant_q4_k"),
                         [](const auto& name) { return name.param; });

TEST(SharedPrefixOfARealModel, ChangesNoBit) {
  const char* folder = std::getenv("MIRAGE_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS is not set";
  const std::string path = std::string(folder) + "/smollm2-135m.gguf";
  if (!std::ifstream(path)) GTEST_SKIP() << path << " is not there";
  Subject subject(path);
  ASSERT_TRUE(subject.model);
  ExpectSharedBitsAreTheSame(subject, 100, {100, 75, 64});
}

}  // namespace
}  // namespace mirage::model
