// SPDX-License-Identifier: Apache-2.0

// Real models, where MIRAGE_TEST_MODELS names a folder that has them.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "format/open.h"

namespace mirage::format {
namespace {

class FileSource final : public ByteSource {
 public:
  explicit FileSource(std::string path) : name_(std::move(path)), stream_(name_, std::ios::binary) {
    stream_.seekg(0, std::ios::end);
    bytes_ = static_cast<uint64_t>(stream_.tellg());
  }
  [[nodiscard]] bool is_open() const { return stream_.is_open(); }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    MIRAGE_TRY(CheckRange(offset, out.size()));
    bytes_read_ += out.size();
    stream_.seekg(static_cast<std::streamoff>(offset));
    stream_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
    if (!stream_) return Fail(Code::kIo, name_ + ": read failed");
    return {};
  }
  [[nodiscard]] uint64_t bytes_read() const { return bytes_read_; }

 private:
  std::string name_;
  mutable std::ifstream stream_;
  uint64_t bytes_ = 0;
  mutable uint64_t bytes_read_ = 0;
};

// nullptr when the folder or the file is not there.
std::shared_ptr<FileSource> OpenRealFile(const std::string& name) {
  const char* folder = std::getenv("MIRAGE_TEST_MODELS");
  if (folder == nullptr) return nullptr;
  auto source = std::make_shared<FileSource>(std::string(folder) + "/" + name);
  return source->is_open() ? source : nullptr;
}

std::map<std::string_view, int> CountTypes(const ModelFile& file) {
  std::map<std::string_view, int> counts;
  for (const TensorInfo& tensor : file.tensors()) ++counts[Name(tensor.dtype)];
  return counts;
}

TEST(RealFiles, SmolLm2HasItsTensorsAndKeys) {
  const auto source = OpenRealFile("smollm2-135m.gguf");
  if (source == nullptr)
    GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with smollm2-135m.gguf";
  const auto file = OpenModel({source});
  ASSERT_TRUE(file) << file.error().message;
  const std::map<std::string_view, int> types{{"Q4_1", 210}, {"F32", 61}, {"Q8_0", 1}};
  EXPECT_EQ(CountTypes(*file), types);
  EXPECT_EQ(file->metadata().entries().size(), 33u);
  EXPECT_EQ(file->metadata().Get<std::string>("general.architecture").value(), "llama");
  EXPECT_EQ(file->metadata().Get<uint32_t>("llama.attention.head_count_kv").value(), 3u);
  EXPECT_FLOAT_EQ(file->metadata().Get<float>("llama.rope.freq_base").value(), 100000.0f);
  EXPECT_FALSE(file->metadata().Get<bool>("tokenizer.ggml.add_bos_token").value());
  const auto merges = file->metadata().Get<StringTable>("tokenizer.ggml.merges");
  ASSERT_TRUE(merges) << merges.error().message;
  EXPECT_EQ(merges->count(), 48900u);
  const auto embedding = file->GetTensor("token_embd.weight");
  ASSERT_TRUE(embedding);
  EXPECT_EQ((*embedding)->shape, (tensor::Shape{576, 49152}));
}

TEST(RealFiles, Gemma3HasItsTensorsAndKeys) {
  const auto source = OpenRealFile("gemma3-270m.gguf");
  if (source == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with gemma3-270m.gguf";
  const auto file = OpenModel({source});
  ASSERT_TRUE(file) << file.error().message;
  const std::map<std::string_view, int> types{
      {"F32", 109}, {"Q5_0", 81}, {"Q4_K", 27}, {"Q8_0", 10}, {"Q6_K", 9}};
  EXPECT_EQ(CountTypes(*file), types);
  const auto tokens = file->metadata().Get<StringTable>("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens) << tokens.error().message;
  EXPECT_EQ(tokens->count(), 262144u);
  EXPECT_EQ((*tokens)[106], "<end_of_turn>");
  const auto scores = file->metadata().Get<std::vector<float>>("tokenizer.ggml.scores");
  ASSERT_TRUE(scores) << scores.error().message;
  EXPECT_EQ(scores->size(), 262144u);
}

TEST(RealFiles, AVocabularyTakesNoMemoryUntilItIsAskedFor) {
  const auto source = OpenRealFile("gemma3-270m.gguf");
  if (source == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with gemma3-270m.gguf";
  const auto file = OpenModel({source});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_LT(file->metadata().heap_bytes(), 32u * 1024);
  const uint64_t header_bytes = file->tensors()[0].extent.offset;
  EXPECT_LT(source->bytes_read(), header_bytes + header_bytes / 2);
}

}  // namespace
}  // namespace mirage::format
