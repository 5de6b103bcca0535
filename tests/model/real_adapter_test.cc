// SPDX-License-Identifier: Apache-2.0
// LoRA adapters on a real model: the same as their update merged into the weights, and rows with
// unlike ones in a pass as alone.
//
// MIRAGE_TEST_MODELS names the folder that holds the files; without it every test here is skipped.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

#include "tensor/dequantize.h"
#include "tests/model/adapter_files.h"
#include "tests/model/gguf_edit.h"

namespace mirage::model {
namespace {

class RealAdapter : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MIRAGE_TEST_MODELS");
    if (folder == nullptr) GTEST_SKIP() << "MIRAGE_TEST_MODELS is not set";
    path_ = std::string(folder) + "/smollm2-135m.gguf";
    if (!std::ifstream(path_)) GTEST_SKIP() << path_ << " is not there";
    options_.plan.context = 256;
    options_.plan.logit_rows = 4;
    std::mt19937 random(3);
    for (int i = 0; i < 40; ++i) tokens_.push_back(static_cast<int32_t>(random() % 40000));
  }

  // Queries, values and the second half of the feed-forward network of every layer.
  static std::vector<std::string> SomeMatrices(const format::ModelFile& file) {
    std::vector<std::string> names;
    for (const format::TensorInfo& tensor : file.tensors())
      for (const char* part : {".attn_q.weight", ".attn_v.weight", ".ffn_down.weight"})
        if (tensor.name.ends_with(part)) names.push_back(tensor.name);
    return names;
  }

  std::string path_;
  LoadOptions options_;
  std::vector<int32_t> tokens_;
};

std::vector<float> Floats(const GgufEdit::Tensor& tensor) {
  const uint64_t row_bytes = *tensor::RowBytes(tensor.dtype, static_cast<int64_t>(tensor.dims[0]));
  std::vector<float> values(tensor.dims[0] * tensor.dims[1]);
  for (uint64_t row = 0; row < tensor.dims[1]; ++row)
    tensor::DequantizeRow(tensor.dtype, tensor.data.data() + row * row_bytes,
                          values.data() + row * tensor.dims[0],
                          static_cast<int64_t>(tensor.dims[0]));
  return values;
}

void Store(const std::vector<float>& values, GgufEdit::Tensor* tensor) {
  const auto bytes = std::as_bytes(std::span(values));
  tensor->dtype = tensor::DType::kF32;
  tensor->data.assign(bytes.begin(), bytes.end());
}

// All matrices in float32, so that little more than the order of additions differs: others round
// their inputs to int8, and what that tips grows from layer to layer.
TEST_F(RealAdapter, IsTheUpdateMergedIntoTheWeights) {
  constexpr float kScale = 0.75f;
  auto base = GgufEdit::Open(ReadAll<std::byte>(path_)).value();
  const format::ModelFile file = OpenFile(path_).value();
  const std::vector<std::string> names = SomeMatrices(file);
  ASSERT_EQ(names.size(), 90u);
  RandomAdapter random;
  random.tensors = names;
  random.rank = 16;
  random.alpha = 8.0f;
  auto adapter = GgufEdit::Open(random.Build(file)).value();

  for (GgufEdit::Tensor& tensor : base.tensors())
    if (tensor.dims.size() == 2) Store(Floats(tensor), &tensor);
  const std::vector<std::byte> base_bytes = base.Build();
  for (const std::string& name : names) {
    GgufEdit::Tensor& weight = *base.Find(name);
    std::vector<float> values = Floats(weight);
    const std::vector<float> a = Floats(*adapter.Find(name + ".lora_a"));
    const std::vector<float> b = Floats(*adapter.Find(name + ".lora_b"));
    const uint64_t cols = weight.dims[0];
    for (uint64_t row = 0; row < weight.dims[1]; ++row)
      for (uint64_t col = 0; col < cols; ++col) {
        double sum = 0;
        for (uint64_t k = 0; k < random.rank; ++k)
          sum += static_cast<double>(b[row * random.rank + k]) * a[k * cols + col];
        values[row * cols + col] +=
            static_cast<float>(kScale * random.alpha / static_cast<float>(random.rank) * sum);
      }
    Store(values, &weight);
  }

  const auto run = [&](std::vector<std::byte> bytes, bool with_adapter) {
    TestHost host({.threads = 2});
    auto model = Model::Load(host.host(), OpenBytes(std::move(bytes)).value(), options_).value();
    std::shared_ptr<const AdapterSet> set;
    if (with_adapter) set = OneAdapter(*model, OpenBytes(adapter.Build()).value(), kScale).value();
    return RunInChunks(*model, tokens_, 1, set.get()).value();
  };
  const std::vector<float> without = run(base_bytes, false);
  const std::vector<float> adapted = run(base_bytes, true);
  const std::vector<float> merged = run(base.Build(), false);
  const Difference apart = Compare(adapted, merged);
  const Difference change = Compare(without, merged);
  RecordProperty("rms_difference", std::to_string(apart.rms));
  RecordProperty("rms_change", std::to_string(change.rms));
  // Keys and values are rounded to halves: a last bit may tip one.
  EXPECT_LT(apart.rms, 0.005 * change.rms);
  EXPECT_GT(change.rms, 0.5);
}

TEST_F(RealAdapter, UnlikeOnesInAPassGiveTheBitsTheyGiveAlone) {
  TestHost host({.threads = 2});
  auto model = Model::Load(host.host(), OpenFile(path_).value(), options_).value();
  std::vector<std::shared_ptr<const AdapterSet>> sets;
  for (uint32_t i = 0; i < 2; ++i) {
    RandomAdapter random;
    random.tensors = LayerMatrices(static_cast<int>(model->config().layers.size()));
    random.rank = 8 + 8 * i;
    random.seed = i;
    sets.push_back(OneAdapter(*model, OpenBytes(random.Build(model->file())).value()).value());
  }
  const AdapterSet* const uses[] = {sets[0].get(), nullptr, sets[1].get()};
  const std::vector<int32_t> tokens(tokens_.begin(), tokens_.begin() + 12);
  std::vector<std::vector<float>> alone;
  for (const AdapterSet* use : uses) alone.push_back(RunInChunks(*model, tokens, 1, use).value());

  std::vector<kv::SequenceCache> caches;
  for (size_t i = 0; i < 3; ++i) caches.emplace_back(model->pages());
  const auto vocabulary = static_cast<size_t>(model->config().vocabulary);
  for (size_t at = 0; at < tokens.size(); ++at) {
    std::vector<Slice> slices;
    for (size_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(caches[i].Reserve(static_cast<int64_t>(at) + 1));
      slices.push_back({&caches[i], std::span(tokens).subspan(at, 1), 1, {}, uses[i]});
    }
    ASSERT_TRUE(model->Forward(slices, {}));
    for (size_t i = 0; i < 3; ++i) {
      caches[i].Commit(static_cast<int64_t>(at) + 1);
      EXPECT_EQ(std::memcmp(model->Logits(static_cast<int32_t>(i)).data(),
                            alone[i].data() + at * vocabulary, vocabulary * sizeof(float)),
                0)
          << "sequence " << i << ", position " << at;
    }
  }
}

}  // namespace
}  // namespace mirage::model
