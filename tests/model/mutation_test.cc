// SPDX-License-Identifier: Apache-2.0
// Every term of every float32 golden model, dropped: the logits then move, by as much as they do in
// transformers without the term. So each norm, bias, scale, cap, window and rope option is in the
// forward pass, in its place, and the golden test would see it go missing.
//
// Tensors and keys are changed in the file. Terms that no file states (the activation, the scales
// of attention and embedding) are changed where the model hands them to the kernels.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <ostream>
#include <string>

#include "tests/model/gguf_edit.h"
#include "tests/model/golden_files.h"

namespace mirage::model {
namespace {

struct DroppedTerm {
  std::string golden;
  nlohmann::json term;

  [[nodiscard]] std::string kind() const { return term.at("kind"); }
  [[nodiscard]] std::string name() const { return term.at("term"); }
  friend void PrintTo(const DroppedTerm& dropped, std::ostream* out) {
    *out << dropped.golden << " without " << dropped.name();
  }
};

// The CPU's kernels with one argument overruled. Ops are plain functions, hence the statics.
struct OverruledOps {
  static inline std::optional<kernels::Activation> activation;
  static inline std::optional<float> attention_scale;
  static inline std::optional<float> embedding_scale;

  static Status Gated(kernels::Stream& stream, const kernels::GatedArgs& args) {
    kernels::GatedArgs changed = args;
    changed.activation = activation.value_or(args.activation);
    return kernels::CpuOps().gated(stream, changed);
  }
  static Status Attention(kernels::Stream& stream, const kernels::AttentionArgs& args) {
    kernels::AttentionArgs changed = args;
    changed.scale = attention_scale.value_or(args.scale);
    return kernels::CpuOps().attention(stream, changed);
  }
  static Status DequantizeRows(kernels::Stream& stream, const kernels::DequantizeRowsArgs& args) {
    kernels::DequantizeRowsArgs changed = args;
    changed.scale = embedding_scale.value_or(args.scale);
    return kernels::CpuOps().dequantize_rows(stream, changed);
  }
  static const kernels::Ops& Table() {
    static const kernels::Ops table = [] {
      kernels::Ops ops = kernels::CpuOps();
      ops.gated = Gated;
      ops.attention = Attention;
      ops.dequantize_rows = DequantizeRows;
      return ops;
    }();
    return table;
  }
  static void Reset() {
    activation.reset();
    attention_scale.reset();
    embedding_scale.reset();
  }
};

class Mutation : public testing::TestWithParam<DroppedTerm> {
 protected:
  void TearDown() override { OverruledOps::Reset(); }

  // False for a term this test does not know how to drop.
  bool Drop(GgufEdit* file, LoadOptions* options) {
    const nlohmann::json& term = GetParam().term;
    const nlohmann::json& value = term.at("value");
    if (GetParam().kind() == "tensor")
      return file->Fill(term.at("pattern").get<std::string>(), value.get<float>()) > 0;
    if (GetParam().kind() == "metadata") {
      const std::string key = term.at("key");
      if (value.is_boolean())
        file->SetKey(key, value.get<bool>());
      else if (value.is_number_float())
        file->SetKey(key, value.get<float>());
      else
        file->SetKey(key, value.get<uint32_t>());
      return true;
    }
    const std::string name = GetParam().name();
    if (name == "activation") {
      OverruledOps::activation =
          value == "silu" ? kernels::Activation::kSilu : kernels::Activation::kGeluTanh;
    } else if (name == "attention_scale") {
      OverruledOps::attention_scale = value.get<float>();
    } else if (name == "embedding_scale") {
      OverruledOps::embedding_scale = value.get<float>();
    } else if (name == "full_attention_layers") {
      file->SetKey(Architecture() + ".attention.sliding_window_pattern", uint32_t{0});
    } else if (name == "rope_factors") {
      // Which ones apply follows from the context of the session.
      options->plan.context = value == "long" ? 4096 : 32;
    } else {
      return false;
    }
    return true;
  }

  std::string Architecture() { return Goldens().at(GetParam().golden).at("architecture"); }
};

TEST_P(Mutation, MovesTheLogitsAsMuchAsInTransformers) {
  const nlohmann::json& entry = Goldens().at(GetParam().golden);
  auto file = GgufEdit::Open(ReadAll<std::byte>(GoldenPath(GetParam().golden)));
  ASSERT_TRUE(file) << file.error().message;
  LoadOptions options;
  options.plan.context = entry.at("context").get<int64_t>();
  ASSERT_TRUE(Drop(&*file, &options)) << "nothing was dropped";

  TestHost test({.ops = &OverruledOps::Table()});
  auto opened = OpenBytes(file->Build());
  ASSERT_TRUE(opened) << opened.error().message;
  auto model = Model::Load(test.host(), std::move(*opened), options);
  ASSERT_TRUE(model) << model.error().message;
  auto got = RunInChunks(**model, GoldenTokens(GetParam().golden), 1);
  ASSERT_TRUE(got) << got.error().message;

  const double moved = Compare(*got, GoldenLogits(GetParam().golden)).max;
  const double tolerance = entry.at("tolerance").at("half_kv").at("max").get<double>();
  const double recorded = GetParam().term.at("max_abs_change").get<double>();
  EXPECT_GT(moved, tolerance);
  // Llama 3's divisors follow from the base: transformers computes them anew, the file keeps its
  // own.
  if (GetParam().golden == "llama_rope_llama3" && GetParam().name() == "llama.rope.freq_base")
    return;
  // Half floats in the cache, and three digits in the record.
  EXPECT_NEAR(moved, recorded, tolerance + 0.01 * recorded);
}

std::vector<DroppedTerm> Terms() {
  std::vector<DroppedTerm> terms;
  const nlohmann::json all = ReadGoldenJson("mutations.json");
  for (const auto& golden : all.at("goldens"))
    for (const auto& term : golden.at("terms"))
      terms.push_back({golden.at("name").get<std::string>(), term});
  return terms;
}

INSTANTIATE_TEST_SUITE_P(All, Mutation, testing::ValuesIn(Terms()), [](const auto& term) {
  std::string name = term.param.golden + "_" + term.param.name();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace mirage::model
