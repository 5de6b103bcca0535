// SPDX-License-Identifier: Apache-2.0
// What an adapter's file must be, and how one that is not is refused.

#include "model/adapter_map.h"

#include <gtest/gtest.h>

#include <functional>

#include "model/arch/architectures.h"
#include "tests/model/adapter_files.h"
#include "tests/model/gguf_edit.h"

namespace mirage::model {
namespace {

using test::GgufBuilder;

struct Base {
  explicit Base(const char* golden)
      : file(OpenFile(GoldenPath(golden)).value()),
        description(Describe(file, 256).value()),
        embedding(file.tensors()[description.map.embedding.tensor].name) {}
  [[nodiscard]] Result<AdapterMap> Describe_(std::vector<std::byte> adapter) const {
    MIRAGE_TRY_ASSIGN(const format::ModelFile opened, OpenBytes(std::move(adapter)));
    return DescribeAdapter(opened, file, description.map);
  }
  format::ModelFile file;
  Description description;
  std::string embedding;
};

TEST(AdapterMap, EveryMatrixOfAModelHasItsUpdate) {
  const Base base("llama_mha");
  RandomAdapter adapter;
  adapter.tensors = LayerMatrices(3);
  adapter.tensors.emplace_back("output.weight");
  const auto map = base.Describe_(adapter.Build(base.file));
  ASSERT_TRUE(map) << map.error().message;
  ASSERT_EQ(map->pieces.size(), 22u);
  for (const AdapterPiece& piece : map->pieces) {
    EXPECT_EQ(piece.rank, 4);
    EXPECT_EQ(piece.scale, 2.0f);
    EXPECT_EQ(piece.b.row0, 0);
  }
  EXPECT_EQ(map->pieces.back().layer, 3);
}

TEST(AdapterMap, AFusedTensorIsAnUpdateOfEachOfItsMatrices) {
  const Base base("phi3");
  RandomAdapter adapter;
  adapter.tensors = {"blk.1.attn_qkv.weight", "blk.0.ffn_up.weight"};
  const auto map = base.Describe_(adapter.Build(base.file));
  ASSERT_TRUE(map) << map.error().message;
  ASSERT_EQ(map->pieces.size(), 5u);
  const int64_t row0[] = {0, 32, 64, 0, 56};
  const Matrix matrices[] = {Matrix::kQ, Matrix::kK, Matrix::kV, Matrix::kGate, Matrix::kUp};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(map->pieces[i].matrix, matrices[i]);
    EXPECT_EQ(map->pieces[i].layer, i < 3 ? 1 : 0);
    EXPECT_EQ(map->pieces[i].b.row0, row0[i]);
    EXPECT_EQ(map->pieces[i].a.row0, 0);
  }
}

TEST(AdapterMap, WithoutAnAlphaTheScaleIsOne) {
  const Base base("llama_mha");
  for (const float alpha : {0.0f, -0.0f}) {
    RandomAdapter adapter;
    adapter.tensors = {"blk.0.attn_q.weight"};
    adapter.alpha = alpha;
    EXPECT_EQ(base.Describe_(adapter.Build(base.file))->pieces[0].scale, 1.0f);
    auto edit = GgufEdit::Open(adapter.Build(base.file)).value();
    edit.RemoveKey("adapter.lora.alpha");
    EXPECT_EQ(base.Describe_(edit.Build())->pieces[0].scale, 1.0f);
  }
}

struct Refusal {
  const char* name;
  Code code;
  const char* says;
  std::function<void(GgufEdit&)> spoil;
};

GgufEdit::Tensor Zeros(const std::string& name, std::vector<uint64_t> dims,
                       tensor::DType dtype = tensor::DType::kF32) {
  uint64_t elements = 1;
  for (const uint64_t dim : dims) elements *= dim;
  const tensor::DTypeInfo& info = tensor::Info(dtype);
  return {name, dtype, std::move(dims),
          std::vector<std::byte>(elements / info.block_elements * info.block_bytes)};
}

// q [32, 32], the adapter of rank 4.
const Refusal kRefusals[] = {
    {"a_model", Code::kInvalidArgument, "general.type",
     [](GgufEdit& e) { e.RemoveKey("general.type"); }},
    {"another_type", Code::kInvalidArgument, "'mmproj'",
     [](GgufEdit& e) { e.SetKey("general.type", std::string("mmproj")); }},
    {"a_type_of_another_type", Code::kCorrupt, "general.type",
     [](GgufEdit& e) { e.SetKey("general.type", uint32_t{7}); }},
    {"no_kind", Code::kCorrupt, "adapter.type", [](GgufEdit& e) { e.RemoveKey("adapter.type"); }},
    {"another_kind", Code::kUnsupported, "'control_vector'",
     [](GgufEdit& e) { e.SetKey("adapter.type", std::string("control_vector")); }},
    {"no_architecture", Code::kCorrupt, "general.architecture",
     [](GgufEdit& e) { e.RemoveKey("general.architecture"); }},
    {"another_architecture", Code::kInvalidArgument, "'qwen2'",
     [](GgufEdit& e) { e.SetKey("general.architecture", std::string("qwen2")); }},
    {"invocation_tokens", Code::kUnsupported, "adapter.alora.invocation_tokens",
     [](GgufEdit& e) {
       e.SetKey("adapter.alora.invocation_tokens", std::vector<uint32_t>{1, 2});
     }},
    {"alpha_no_number", Code::kCorrupt, "adapter.lora.alpha",
     [](GgufEdit& e) { e.SetKey("adapter.lora.alpha", NAN); }},
    {"alpha_a_text", Code::kCorrupt, "adapter.lora.alpha",
     [](GgufEdit& e) { e.SetKey("adapter.lora.alpha", std::string("16")); }},
    {"no_tensors", Code::kCorrupt, "no tensors", [](GgufEdit& e) { e.tensors().clear(); }},
    {"b_missing", Code::kCorrupt, "'blk.0.attn_q.weight.lora_b' is missing",
     [](GgufEdit& e) { e.RemoveTensor("blk.0.attn_q.weight.lora_b"); }},
    {"a_missing", Code::kCorrupt, "'blk.0.attn_q.weight.lora_a' is missing",
     [](GgufEdit& e) { e.RemoveTensor("blk.0.attn_q.weight.lora_a"); }},
    {"a_norm", Code::kUnsupported, "'blk.0.attn_norm.weight'",
     [](GgufEdit& e) { e.tensors().push_back(Zeros("blk.0.attn_norm.weight", {32})); }},
    {"a_layer_too_many", Code::kInvalidArgument, "no tensor 'blk.3.attn_q.weight'",
     [](GgufEdit& e) {
       e.tensors().push_back(Zeros("blk.3.attn_q.weight.lora_a", {32, 4}));
       e.tensors().push_back(Zeros("blk.3.attn_q.weight.lora_b", {4, 32}));
     }},
    {"an_update_of_a_norm", Code::kUnsupported, "'output_norm.weight'",
     [](GgufEdit& e) {
       e.tensors().push_back(Zeros("output_norm.weight.lora_a", {32, 4}));
       e.tensors().push_back(Zeros("output_norm.weight.lora_b", {4, 1}));
     }},
    {"the_token_embedding", Code::kUnsupported, "token embedding",
     [](GgufEdit& e) {
       e.tensors().push_back(Zeros("token_embd.weight.lora_a", {4, 101}));
       e.tensors().push_back(Zeros("token_embd.weight.lora_b", {4, 32}));
     }},
    {"inputs_of_another_model", Code::kInvalidArgument, "do not fit",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") = Zeros("blk.0.attn_q.weight.lora_a", {48, 4});
     }},
    {"outputs_of_another_model", Code::kInvalidArgument, "do not fit",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_b") = Zeros("blk.0.attn_q.weight.lora_b", {4, 64});
     }},
    {"two_ranks", Code::kCorrupt, "two ranks",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_b") = Zeros("blk.0.attn_q.weight.lora_b", {5, 32});
     }},
    {"transposed", Code::kCorrupt, "two ranks",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") = Zeros("blk.0.attn_q.weight.lora_a", {32, 32});
     }},
    {"three_dimensions", Code::kCorrupt, "3 dimensions",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") = Zeros("blk.0.attn_q.weight.lora_a", {32, 2, 2});
     }},
    {"one_dimension", Code::kCorrupt, "1 dimensions",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") = Zeros("blk.0.attn_q.weight.lora_a", {128});
     }},
    {"a_type_without_a_decoder", Code::kUnsupported, "I32",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") =
           Zeros("blk.0.attn_q.weight.lora_a", {32, 4}, tensor::DType::kI32);
     }},
    {"a_rank_above_the_bound", Code::kUnsupported, "rank 4097",
     [](GgufEdit& e) {
       *e.Find("blk.0.attn_q.weight.lora_a") = Zeros("blk.0.attn_q.weight.lora_a", {32, 4097});
       *e.Find("blk.0.attn_q.weight.lora_b") = Zeros("blk.0.attn_q.weight.lora_b", {4097, 32});
     }},
};

class AdapterRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(AdapterRefusal, NamesTheThing) {
  const Base base("llama_mha");
  RandomAdapter adapter;
  adapter.tensors = {"blk.0.attn_q.weight"};
  auto edit = GgufEdit::Open(adapter.Build(base.file)).value();
  GetParam().spoil(edit);
  const auto map = base.Describe_(edit.Build());
  ASSERT_FALSE(map);
  EXPECT_EQ(map.error().code, GetParam().code) << map.error().message;
  EXPECT_NE(map.error().message.find(GetParam().says), std::string::npos) << map.error().message;
  EXPECT_EQ(map.error().message.rfind("test.gguf: ", 0), 0u) << map.error().message;
  const bool of_nothing_there =
      std::string(GetParam().name).rfind("no", 0) == 0 || std::string(GetParam().name) == "a_model";
  EXPECT_EQ(map.error().message.find(": byte ") == std::string::npos, of_nothing_there)
      << map.error().message;
}

INSTANTIATE_TEST_SUITE_P(All, AdapterRefusal, testing::ValuesIn(kRefusals),
                         [](const auto& refusal) { return std::string(refusal.param.name); });

TEST(AdapterMap, AnUpdateOfExpertsIsRefusedByItsName) {
  const Base base("qwen3moe");
  for (const std::string tensor : {"blk.1.ffn_up_exps.weight", "blk.0.ffn_gate_inp.weight"}) {
    RandomAdapter adapter;
    adapter.tensors = {"blk.0.attn_q.weight"};
    auto edit = GgufEdit::Open(adapter.Build(base.file)).value();
    ASSERT_TRUE(base.Describe_(edit.Build()));
    edit.tensors().push_back(Zeros(tensor + ".lora_a", {48, 4}));
    edit.tensors().push_back(Zeros(tensor + ".lora_b", {4, 20}));
    const auto map = base.Describe_(edit.Build());
    ASSERT_FALSE(map);
    EXPECT_EQ(map.error().code, Code::kUnsupported);
    EXPECT_NE(map.error().message.find("'" + tensor + "' is no matrix that this build adapts"),
              std::string::npos)
        << map.error().message;
  }
}

}  // namespace
}  // namespace mirage::model
