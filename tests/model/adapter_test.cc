// SPDX-License-Identifier: Apache-2.0
// Passes with LoRA adapters: the logits of every golden case against peft's; rows with unlike
// adapters in one pass; what an adapter holds.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "tests/model/adapter_files.h"
#include "tests/model/lending.h"
#include "tests/model/tiny_model.h"

namespace mirage::model {
namespace {

const nlohmann::json& AdapterCases() {
  static const nlohmann::json cases = ReadGoldenJson("adapters.json").at("adapters");
  return cases;
}

Result<std::shared_ptr<const AdapterSet>> AdaptersOf(const Model& model,
                                                     const nlohmann::json& entry) {
  std::vector<AdapterUse> uses;
  for (size_t i = 0; i < entry.at("files").size(); ++i) {
    MIRAGE_TRY_ASSIGN(
        const format::ModelFile file,
        OpenFile(std::string(kGoldenFolder) + "data/" + entry.at("files")[i].get<std::string>()));
    MIRAGE_TRY_ASSIGN(std::shared_ptr<const Adapter> adapter, model.LoadAdapter(file));
    uses.push_back({std::move(adapter), entry.at("scales")[i].get<float>()});
  }
  return MakeAdapterSet(std::move(uses));
}

std::unique_ptr<Model> LoadGolden(TestHost& host, const std::string& golden, int rows = 4) {
  LoadOptions options;
  options.plan.context = 256;
  options.plan.logit_rows = rows;
  auto model = Model::Load(host.host(), OpenFile(GoldenPath(golden)).value(), options);
  EXPECT_TRUE(model) << model.error().message;
  return *std::move(model);
}

class AdapterGolden : public testing::TestWithParam<size_t> {};

TEST_P(AdapterGolden, LogitsOfEveryTokenAgreeWithPeft) {
  const nlohmann::json& entry = AdapterCases().at(GetParam());
  const auto golden = entry.at("golden").get<std::string>();
  const auto name = entry.at("name").get<std::string>();
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, golden);
  const auto adapters = AdaptersOf(*model, entry);
  ASSERT_TRUE(adapters) << adapters.error().message;
  const auto got = RunInChunks(*model, GoldenTokens(golden), 1, adapters->get());
  ASSERT_TRUE(got) << got.error().message;
  const std::vector<float> want = GoldenLogits(name);
  ASSERT_EQ(got->size(), want.size());
  const Difference difference = Compare(*got, want);
  double max = 0;
  double rms = 0;
  for (const auto& [rounding, size] : entry.at("tolerance").items()) {
    max += size.at("max").get<double>();
    rms += size.at("rms").get<double>();
  }
  EXPECT_LE(difference.max, max);
  EXPECT_LE(difference.rms, rms);
  RecordProperty("max_abs_error", std::to_string(difference.max));
  RecordProperty("rms_error", std::to_string(difference.rms));
}

TEST_P(AdapterGolden, ChunksThreadsAndLendingDoNotMatter) {
  const nlohmann::json& entry = AdapterCases().at(GetParam());
  const auto golden = entry.at("golden").get<std::string>();
  const std::vector<int32_t> tokens = GoldenTokens(golden);
  std::vector<float> every;
  for (const int threads : {1, 3}) {
    TestHost host({.threads = threads});
    const std::unique_ptr<Model> model = LoadGolden(host, golden);
    const auto adapters = AdaptersOf(*model, entry);
    ASSERT_TRUE(adapters);
    const auto single = RunInChunks(*model, tokens, 1, adapters->get());
    ASSERT_TRUE(single);
    if (every.empty()) every = *single;
    EXPECT_EQ(*single, every) << threads << " threads";
    for (const size_t chunk : {5, 64}) {
      const auto rows = RunInChunks(*model, tokens, chunk, adapters->get());
      ASSERT_TRUE(rows);
      const size_t vocabulary = every.size() / tokens.size();
      for (size_t row = 0; row * vocabulary < rows->size(); ++row) {
        const size_t last = std::min((row + 1) * chunk, tokens.size()) - 1;
        EXPECT_EQ(std::memcmp(rows->data() + row * vocabulary, every.data() + last * vocabulary,
                              vocabulary * sizeof(float)),
                  0)
            << "position " << last << " in chunks of " << chunk;
      }
    }
    for (size_t i = 0; i < model->regions().region_count(); ++i)
      ASSERT_TRUE(model->regions().Lend(static_cast<memory::RegionIndex>(i)));
    const auto lent = RunInChunks(*model, tokens, 1, adapters->get());
    ASSERT_TRUE(lent);
    EXPECT_EQ(*lent, every) << "streamed";
  }
}

std::string CaseName(const testing::TestParamInfo<size_t>& index) {
  return AdapterCases().at(index.param).at("name").get<std::string>();
}

INSTANTIATE_TEST_SUITE_P(All, AdapterGolden, testing::Range(size_t{0}, AdapterCases().size()),
                         CaseName);

// Sequences side by side in every pass, some with adapters.
class Company {
 public:
  explicit Company(Model& model) : model_(model) {}
  void Add(std::vector<int32_t> tokens, const AdapterSet* adapters) {
    tokens_.push_back(std::move(tokens));
    adapters_.push_back(adapters);
    rows_.emplace_back();
  }
  // All logits of each, `chunk` tokens of every one a pass.
  std::vector<std::vector<float>> Run() {
    std::vector<kv::SequenceCache> caches;
    for (size_t i = 0; i < tokens_.size(); ++i) caches.emplace_back(model_.pages());
    for (size_t at = 0; at < tokens_[0].size(); ++at) {
      std::vector<Slice> slices;
      for (size_t i = 0; i < tokens_.size(); ++i) {
        EXPECT_TRUE(caches[i].Reserve(static_cast<int64_t>(at) + 1));
        slices.push_back({&caches[i], std::span(tokens_[i]).subspan(at, 1), 1, {}, adapters_[i]});
      }
      const Status passed = model_.Forward(slices, {});
      EXPECT_TRUE(passed) << passed.error().message;
      for (size_t i = 0; i < tokens_.size(); ++i) {
        caches[i].Commit(static_cast<int64_t>(at) + 1);
        const std::span<float> logits = model_.Logits(static_cast<int32_t>(i));
        rows_[i].insert(rows_[i].end(), logits.begin(), logits.end());
      }
    }
    return rows_;
  }

 private:
  Model& model_;
  std::vector<std::vector<int32_t>> tokens_;
  std::vector<const AdapterSet*> adapters_;
  std::vector<std::vector<float>> rows_;
};

std::vector<int32_t> RandomTokens(const Model& model, size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random() % static_cast<unsigned>(model.config().vocabulary));
  return tokens;
}

class AdapterCompany : public testing::TestWithParam<const char*> {};

TEST_P(AdapterCompany, RowsWithUnlikeAdaptersInOnePassHaveTheBitsTheyHaveAlone) {
  TestHost host({.threads = 2});
  const std::unique_ptr<Model> model = LoadGolden(host, GetParam(), 6);
  const auto layers = static_cast<int>(model->config().layers.size());
  const auto make = [&](uint32_t rank, uint32_t seed) {
    RandomAdapter adapter;
    adapter.tensors = LayerMatrices(layers);
    if (model->file().FindTensor("output.weight") != nullptr)
      adapter.tensors.emplace_back("output.weight");
    adapter.rank = rank;
    adapter.seed = seed;
    return model->LoadAdapter(OpenBytes(adapter.Build(model->file())).value()).value();
  };
  const auto first = make(3, 1);
  const auto second = make(16, 2);
  const auto one = MakeAdapterSet({{first, 1.0f}}).value();
  const auto one_again = MakeAdapterSet({{first, 1.0f}}).value();
  const auto weaker = MakeAdapterSet({{first, 0.5f}}).value();
  const auto both = MakeAdapterSet({{second, 1.0f}, {first, -0.25f}}).value();
  const AdapterSet* const sets[] = {one.get(), nullptr,    one_again.get(),
                                    one.get(), both.get(), weaker.get()};

  TestHost plain_host({.threads = 2});
  const std::unique_ptr<Model> plain = LoadGolden(plain_host, GetParam(), 6);
  Company company(*model);
  std::vector<std::vector<float>> alone;
  for (unsigned i = 0; i < 6; ++i) {
    const std::vector<int32_t> tokens = RandomTokens(*model, 40, i % 2);
    company.Add(tokens, sets[i]);
    // Without adapters: as a model that never had any.
    alone.push_back(RunInChunks(sets[i] == nullptr ? *plain : *model, tokens, 1, sets[i]).value());
  }
  const std::vector<std::vector<float>> together = company.Run();
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(together[i], alone[i]) << "sequence " << i;
  // Of equal tokens the even ones, and the odd ones.
  EXPECT_EQ(alone[0], alone[2]);
  EXPECT_NE(alone[2], alone[4]);
  EXPECT_NE(alone[1], alone[3]);
  EXPECT_NE(alone[3], alone[5]);
}

INSTANTIATE_TEST_SUITE_P(Models, AdapterCompany,
                         testing::Values("llama_mha", "llama_gqa_tied", "quant_q8_0", "quant_q4_k"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Adapter, ScoresAreThoseOfTheLogits) {
  TestHost host;
  TinyModel tiny;
  tiny.vocabulary = 5003;  // a head of several regions
  tiny.embedding = 512;
  tiny.dtype = tensor::DType::kQ8_0;
  LoadOptions options;
  options.plan.context = 256;
  auto loaded = Model::Load(host.host(), OpenBytes(tiny.Build()).value(), options);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Model& model = **loaded;
  RandomAdapter random;
  random.tensors = LayerMatrices(2);
  random.tensors.emplace_back("output.weight");
  random.rank = 5;
  const auto set = OneAdapter(model, OpenBytes(random.Build(model.file())).value()).value();
  const std::vector<int32_t> tokens = RandomTokens(model, 12, 1);
  const std::vector<float> logits = RunInChunks(model, tokens, 1, set.get()).value();

  // Beside a sequence without, whose rows lie between two of the adapter's.
  std::vector<kv::SequenceCache> caches;
  std::vector<std::vector<double>> all(3, std::vector<double>(11));
  std::vector<Slice> slices;
  for (size_t i = 0; i < 3; ++i) {
    caches.emplace_back(model.pages());
    ASSERT_TRUE(caches.back().Reserve(12));
  }
  for (size_t i = 0; i < 3; ++i)
    slices.push_back({&caches[i],
                      tokens,
                      0,
                      {0, std::span(tokens).subspan(1), all[i], 0, {}},
                      i == 1 ? nullptr : set.get()});
  ASSERT_TRUE(model.Forward(slices, {}));
  const std::vector<double>& logprobs = all[0];
  EXPECT_EQ(all[2], all[0]);
  EXPECT_NE(all[1], all[0]);
  for (size_t i = 0; i < 11; ++i) {
    const auto row = std::span(logits).subspan(i * 5003, 5003);
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    EXPECT_NEAR(logprobs[i], row[static_cast<size_t>(tokens[i + 1])] - std::log(sum), 1e-6);
  }
}

TEST(Adapter, HoldsWhatItSaysAndGivesItAllBack) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = LayerMatrices(3);
  random.rank = 64;
  const format::ModelFile file = OpenBytes(random.Build(model->file())).value();
  const memory::LedgerSnapshot before = host.ledger.Snapshot();
  const auto held = [&] {
    return host.ledger.Snapshot().by_owner[static_cast<size_t>(memory::Owner::kAdapters)];
  };
  EXPECT_EQ(held(), 0u);
  for (int round = 0; round < 3; ++round) {
    const auto first = model->LoadAdapter(file).value();
    EXPECT_EQ(held(), first->bytes());
    EXPECT_GE(first->bytes(), file.tensor_bytes());
    EXPECT_EQ(first->rank(), 64);
    const auto second = model->LoadAdapter(file).value();
    EXPECT_EQ(held(), first->bytes() + second->bytes());
    EXPECT_EQ(first->fingerprint(), second->fingerprint());
  }
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(host.ledger.Snapshot().used, before.used);
  EXPECT_EQ(host.ledger.Snapshot().promised, before.promised);
}

TEST(Adapter, OneThatDoesNotFitIsRefusedWithTheNumbers) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = LayerMatrices(3);
  const format::ModelFile file = OpenBytes(random.Build(model->file())).value();
  const uint64_t bytes = model->LoadAdapter(file).value()->bytes();
  const memory::LedgerSnapshot before = host.ledger.Snapshot();
  host.ledger.SetLimit(host.ledger.committed() + bytes - 1);
  const auto refused = model->LoadAdapter(file);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_GT(refused.error().needed_bytes, refused.error().available_bytes);
  EXPECT_EQ(host.ledger.Snapshot().used, before.used);
  host.ledger.SetLimit(UINT64_MAX);
  EXPECT_TRUE(model->LoadAdapter(file));
}

TEST(Adapter, AFileCutShortIsCorrupt) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = {"blk.0.attn_q.weight"};
  std::vector<std::byte> bytes = random.Build(model->file());
  bytes.resize(bytes.size() - 1);
  const auto opened = OpenBytes(bytes);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kCorrupt);
}

// A file that cannot be read any more.
class FailingSource final : public ByteSource {
 public:
  explicit FailingSource(std::vector<std::byte> data) : inner_(std::move(data)) {}
  const std::string& name() const override { return inner_.name(); }
  uint64_t bytes() const override { return inner_.bytes(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (fails) return Fail(Code::kIo, "the disk is gone");
    return inner_.ReadAt(offset, out);
  }
  bool fails = false;

 private:
  const test::BytesSource inner_;
};

TEST(Adapter, AFileThatCannotBeReadLeavesNothing) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = LayerMatrices(3);
  auto source = std::make_shared<FailingSource>(random.Build(model->file()));
  const format::ModelFile file = format::OpenModel({source}).value();
  const uint64_t used = host.ledger.Snapshot().used;
  source->fails = true;
  const auto loaded = model->LoadAdapter(file);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kIo);
  EXPECT_EQ(host.ledger.Snapshot().used, used);
}

TEST(AdapterSet, HasTheIdOfWhatItComputes) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = LayerMatrices(3);
  const auto load = [&](uint32_t seed, float alpha) {
    random.seed = seed;
    random.alpha = alpha;
    return model->LoadAdapter(OpenBytes(random.Build(model->file())).value()).value();
  };
  const auto a = load(1, 8.0f);
  const auto a_again = load(1, 8.0f);
  const auto b = load(2, 8.0f);
  const auto a_stronger = load(1, 9.0f);
  const auto id = [](std::vector<AdapterUse> uses) {
    return MakeAdapterSet(std::move(uses)).value()->id;
  };
  EXPECT_EQ(id({{a, 1.0f}}), id({{a_again, 1.0f}}));
  EXPECT_EQ(id({{a, 1.0f}}), id({{b, 0.0f}, {a, 1.0f}}));
  EXPECT_NE(id({{a, 1.0f}}), id({{b, 1.0f}}));
  EXPECT_NE(id({{a, 1.0f}}), id({{a, 1.0000001f}}));
  EXPECT_NE(id({{a, 1.0f}}), id({{a_stronger, 1.0f}}));
  EXPECT_NE(id({{a, 1.0f}, {b, 1.0f}}), id({{b, 1.0f}, {a, 1.0f}}));
  EXPECT_EQ(MakeAdapterSet({}).value(), nullptr);
  EXPECT_EQ(MakeAdapterSet({{a, 0.0f}}).value(), nullptr);
}

TEST(AdapterSet, RefusesScalesTwinsAndTooMany) {
  TestHost host;
  const std::unique_ptr<Model> model = LoadGolden(host, "llama_mha");
  RandomAdapter random;
  random.tensors = {"blk.0.attn_q.weight"};
  const auto adapter = model->LoadAdapter(OpenBytes(random.Build(model->file())).value()).value();
  const auto code = [](std::vector<AdapterUse> uses) {
    return MakeAdapterSet(std::move(uses)).error().code;
  };
  EXPECT_EQ(code({{adapter, NAN}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{adapter, INFINITY}}), Code::kInvalidArgument);
  EXPECT_EQ(code({{adapter, 1.0f}, {adapter, 2.0f}}), Code::kInvalidArgument);
  EXPECT_EQ(code(std::vector<AdapterUse>(kMostAdapters + 1, {adapter, 1.0f})),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace mirage::model
