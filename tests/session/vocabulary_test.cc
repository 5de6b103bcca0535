// SPDX-License-Identifier: Apache-2.0

#include "session/vocabulary.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace mirage::session {
namespace {

using format::Metadata;
using format::MetadataEntry;
using format::ValueType;

MetadataEntry Entry(std::string key, ValueType type, std::string payload) {
  MetadataEntry entry;
  entry.key = std::move(key);
  entry.type = entry.element_type = type;
  entry.bytes = payload.size();
  entry.payload = std::move(payload);
  return entry;
}

template <typename T>
std::string Bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

MetadataEntry F32(std::string key, float value) {
  return Entry(std::move(key), ValueType::kF32, Bytes(value));
}
MetadataEntry U32(std::string key, uint32_t value) {
  return Entry(std::move(key), ValueType::kU32, Bytes(value));
}

MetadataEntry TypeArray(const std::vector<int32_t>& types) {
  MetadataEntry entry = Entry("tokenizer.ggml.token_type", ValueType::kArray, "");
  entry.element_type = ValueType::kI32;
  entry.count = types.size();
  for (const int32_t type : types) entry.payload += Bytes(type);
  entry.bytes = entry.payload.size();
  return entry;
}

Metadata Make(std::vector<MetadataEntry> entries) {
  Result<Metadata> metadata = Metadata::Make(std::move(entries), nullptr);
  EXPECT_TRUE(metadata.has_value());
  return *std::move(metadata);
}

TEST(ReadVocabulary, KeysThatAreMissingStayEmpty) {
  const Result<text::VocabData> vocabulary = ReadVocabulary(Make({}));
  ASSERT_TRUE(vocabulary.has_value());
  EXPECT_EQ(vocabulary->model, "");
  EXPECT_FALSE(vocabulary->bos.has_value());
  EXPECT_FALSE(vocabulary->add_bos.has_value());
}

TEST(ReadVocabulary, ReadsEachKindOfKey) {
  const Result<text::VocabData> vocabulary = ReadVocabulary(
      Make({Entry("tokenizer.ggml.model", ValueType::kString, "gpt2"),
            U32("tokenizer.ggml.bos_token_id", 7), U32("tokenizer.ggml.seperator_token_id", 8),
            U32("tokenizer.ggml.prefix_token_id", 9),
            Entry("tokenizer.ggml.add_bos_token", ValueType::kBool, std::string(1, '\1')),
            Entry("general.name", ValueType::kString, "n"), TypeArray({1, 3})}));
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->bos, 7u);
  EXPECT_EQ(vocabulary->sep, 8u);
  EXPECT_EQ(vocabulary->fim_pre, 9u);
  EXPECT_EQ(vocabulary->add_bos, true);
  EXPECT_EQ(vocabulary->model_name, "n");
  EXPECT_EQ(vocabulary->types, (std::vector<uint8_t>{1, 3}));
}

TEST(ReadVocabulary, AKeyOfTheWrongTypeIsNamed) {
  const Result<text::VocabData> vocabulary =
      ReadVocabulary(Make({Entry("tokenizer.ggml.bos_token_id", ValueType::kString, "x")}));
  ASSERT_FALSE(vocabulary.has_value());
  EXPECT_EQ(vocabulary.error().code, Code::kCorrupt);
  EXPECT_NE(vocabulary.error().message.find("bos_token_id"), std::string::npos);
}

TEST(ReadVocabulary, ATokenTypeOutOfRangeIsNamed) {
  const Result<text::VocabData> vocabulary = ReadVocabulary(Make({TypeArray({1, -1})}));
  ASSERT_FALSE(vocabulary.has_value());
  EXPECT_NE(vocabulary.error().message.find("key 'tokenizer.ggml.token_type'[1]"),
            std::string::npos);
}

TEST(ReadSamplingDefaults, OverridesFieldByField) {
  const SamplingDefaults defaults = ReadSamplingDefaults(
      Make({F32("general.sampling.temp", 0.25f), U32("general.sampling.top_k", 20)}), 100);
  EXPECT_TRUE(defaults.warnings.empty());
  EXPECT_EQ(defaults.params.temperature, 0.25f);
  EXPECT_EQ(defaults.params.top_k, 20);
  EXPECT_EQ(defaults.params.top_p, sample::Params{}.top_p);
}

TEST(ReadSamplingDefaults, TheOrderOfSamplersIsRead) {
  const SamplingDefaults defaults = ReadSamplingDefaults(
      Make({Entry("general.sampling.sequence", ValueType::kString, "top_k;temperature"),
            F32("general.sampling.xtc_probability", 0.5f),
            F32("general.sampling.mirostat_tau", 3)}),
      100);
  EXPECT_TRUE(defaults.warnings.empty());
  EXPECT_TRUE(defaults.has_order);
  EXPECT_EQ(sample::OrderNames(defaults.params.order), "top_k;temperature");
  EXPECT_EQ(defaults.params.xtc_probability, 0.5f);
  EXPECT_EQ(defaults.params.mirostat_tau, 3);
  const SamplingDefaults bad = ReadSamplingDefaults(
      Make({Entry("general.sampling.sequence", ValueType::kString, "top_k;dance")}), 100);
  EXPECT_FALSE(bad.has_order);
  EXPECT_EQ(bad.params.order, sample::DefaultOrder());
  ASSERT_EQ(bad.warnings.size(), 1u);
  EXPECT_NE(bad.warnings[0].find("'dance'"), std::string::npos);
}

TEST(ReadSamplingDefaults, NonsenseIsLeftOutAndNamed) {
  const SamplingDefaults defaults = ReadSamplingDefaults(
      Make({F32("general.sampling.top_p", -3.0f), F32("general.sampling.temp", -1.0f),
            U32("general.sampling.top_k", 7)}),
      100);
  EXPECT_EQ(defaults.params.top_k, 7);
  EXPECT_EQ(defaults.params.top_p, sample::Params{}.top_p);
  EXPECT_EQ(defaults.params.temperature, sample::Params{}.temperature);
  ASSERT_EQ(defaults.warnings.size(), 2u);
  EXPECT_NE(defaults.warnings[0].find("sampling.temp"), std::string::npos);
  EXPECT_NE(defaults.warnings[1].find("sampling.top_p"), std::string::npos);
}

}  // namespace
}  // namespace mirage::session
