// SPDX-License-Identifier: Apache-2.0

// The vocabularies of llama.cpp's own tests: the ids that the models' original tokenizers give for
// each text.
//
// MIRAGE_TEST_VOCABS names the folder with ggml-vocab-<name>.gguf, .inp (texts between separators)
// and .out (a line of ids for each).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "format/open.h"
#include "session/vocabulary.h"
#include "text/tokenizer.h"

namespace mirage::text {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> SplitAt(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

std::vector<int32_t> ReadIds(const std::string& line) {
  std::istringstream words(line);
  return {std::istream_iterator<int32_t>(words), {}};
}

class ReferenceVocab : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceVocab, GivesTheIdsOfTheOriginalTokenizer) {
  const char* folder = std::getenv("MIRAGE_TEST_VOCABS");
  if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_VOCABS names no folder with vocabularies";
  const std::string base = std::string(folder) + "/ggml-vocab-" + GetParam() + ".gguf";
  ASSERT_TRUE(std::filesystem::exists(base)) << base;

  const std::string bytes = ReadAll(base);
  const auto source = std::make_shared<MemorySource>(std::as_bytes(std::span(bytes)), base);
  const auto file = format::OpenModel({source});
  ASSERT_TRUE(file) << file.error().message;
  auto vocabulary = session::ReadVocabulary(file->metadata());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  const auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_LE((*tokenizer)->heap_bytes(), bytes.size() * 3 / 2);

  const std::vector<std::string> texts = SplitAt(ReadAll(base + ".inp"), "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = SplitAt(ReadAll(base + ".out"), "\n");
  ASSERT_GE(texts.size(), 40u);
  ASSERT_GE(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = (*tokenizer)->Encode(texts[i], {.add_special = false, .parse_special = false});
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, ReadIds(lines[i])) << "text " << i << ": " << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, ReferenceVocab,
                         testing::Values("bert-bge", "command-r", "deepseek-coder", "deepseek-llm",
                                         "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm",
                                         "mpt", "phi-3", "qwen2", "qwen35", "refact", "starcoder"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mirage::text
