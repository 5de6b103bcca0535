// SPDX-License-Identifier: Apache-2.0
// Packs: the same model as the file they were made of, bit for bit; every damage is named.

#include "model/pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "format/fingerprint.h"
#include "format/pack_file.h"
#include "tensor/dequantize.h"
#include "tests/model/golden_files.h"
#include "tests/model/lending.h"
#include "tests/model/packed.h"
#include "tests/model/tiny_model.h"
#include "tests/platform/temp_folder.h"

namespace mirage::model {
namespace {

using tensor::DType;

// Begins at a multiple of 64, as a mapped file does.
class AlignedBytes final : public ByteSource {
 public:
  explicit AlignedBytes(const std::vector<std::byte>& bytes)
      : memory_(bytes.size() + kAlignment), bytes_(bytes.size()) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    begin_ = memory_.data() + (kAlignment - address % kAlignment) % kAlignment;
    std::memcpy(begin_, bytes.data(), bytes.size());
  }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    MIRAGE_TRY(CheckRange(offset, out.size()));
    std::memcpy(out.data(), begin_ + offset, out.size());
    return {};
  }
  [[nodiscard]] std::span<const std::byte> Mapping() const override { return {begin_, bytes_}; }

 private:
  static constexpr size_t kAlignment = 64;
  std::vector<std::byte> memory_;
  std::byte* begin_;
  uint64_t bytes_;
  std::string name_ = "packed";
};

Result<format::ModelFile> OpenMapped(const std::vector<std::byte>& bytes) {
  return format::OpenModel({std::make_shared<AlignedBytes>(bytes)});
}

std::vector<int32_t> Tokens(int32_t vocabulary, int32_t count = 20) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * 251 % vocabulary);
  return tokens;
}

Result<std::vector<float>> LogitsOf(format::ModelFile file, int32_t vocabulary,
                                    memory::StoreStats* stats = nullptr) {
  TestHost host;
  LoadOptions options;
  options.plan.context = 256;
  MIRAGE_TRY_ASSIGN(const auto model, Model::Load(host.host(), std::move(file), options));
  auto logits = RunInChunks(*model, Tokens(vocabulary), 7);
  if (stats != nullptr) *stats = model->regions().Stats();
  return logits;
}

std::vector<TinyModel> Models() {
  std::vector<TinyModel> models;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ4_0, DType::kQ8_0}) {
    for (const bool tied : {false, true}) {
      TinyModel& model = models.emplace_back();
      model.dtype = dtype;
      model.tied = tied;
      model.vocabulary = 101;  // rows past the last group of eight
    }
  }
  TinyModel& gemma = models.emplace_back();
  gemma.architecture = "gemma3";
  gemma.tied = true;
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    TinyModel& experts = models.emplace_back();
    experts.architecture = "qwen3moe";
    experts.dtype = dtype;
    experts.vocabulary = 101;
    experts.experts = 5;
  }
  TinyModel& large = models.emplace_back();
  large.embedding = 512;
  large.heads = 8;
  large.head_dim = 64;
  large.ffn = 1536;
  large.vocabulary = 5003;
  large.dtype = DType::kQ4_K;
  large.ffn_of_layer = {1536, 1280};
  return models;
}

TEST(Pack, GivesTheSameLogitsReadInPlace) {
  for (const TinyModel& tiny : Models()) {
    const std::vector<std::byte> file = tiny.Build();
    const auto vocabulary = static_cast<int32_t>(tiny.vocabulary);
    const auto want = LogitsOf(OpenBytes(file).value(), vocabulary);
    ASSERT_TRUE(want) << want.error().message;
    memory::StoreStats stats;
    const auto got = LogitsOf(OpenMapped(PackOf(file)).value(), vocabulary, &stats);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, *want);
    EXPECT_EQ(stats.bytes_mapped, stats.bytes_total);
    EXPECT_EQ(stats.bytes_resident, 0u);
  }
}

TEST(Pack, GivesTheSameLogitsWhereItCannotBeMapped) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  const auto want = LogitsOf(OpenBytes(file).value(), 5003);
  const std::vector<std::byte> packed = PackOf(file);
  // One byte off: kernels load whole cache lines.
  std::vector<std::byte> shifted(packed.size() + 64);
  auto* begin = shifted.data() + (65 - reinterpret_cast<uintptr_t>(shifted.data()) % 64);
  std::memcpy(begin, packed.data(), packed.size());
  auto source = std::make_shared<MemorySource>(std::span<const std::byte>(begin, packed.size()));
  memory::StoreStats stats;
  const auto got = LogitsOf(format::OpenModel({source}).value(), 5003, &stats);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, *want);
  EXPECT_EQ(stats.bytes_mapped, 0u);
}

TEST(Pack, GivesTheSameLogitsWhenItsRegionsAreLent) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  const std::vector<int32_t> tokens = Tokens(5003);
  LoadOptions options;
  options.plan.context = 256;
  const auto want = RunKeeping(file, options, tokens);
  ASSERT_TRUE(want) << want.error().message;
  const std::vector<std::byte> packed = PackOf(file);
  for (const Lending lending : {Lending::kAfterEveryLayer, Lending::kAtRandom}) {
    TestHost host;
    auto lends = Model::Load(host.host(), OpenMapped(packed).value(), options);
    ASSERT_TRUE(lends) << lends.error().message;
    while ((*lends)->MakeLender().LeaveMapping(UINT64_MAX)) {
    }
    ASSERT_FALSE((*lends)->regions().any_mapped());
    const auto got = RunLending(**lends, tokens, lending);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, *want);
    EXPECT_GT((*lends)->regions().Stats().acquires_streamed, 0u);
  }
}

TEST(Pack, AndTheFileItWasMadeOfAreTheSameReadPastTheCache) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  const std::vector<int32_t> tokens = Tokens(5003);
  LoadOptions options;
  options.plan.context = 256;
  const auto want = RunKeeping(file, options, tokens);
  ASSERT_TRUE(want) << want.error().message;
  options.caching = [] { return Caching::kUncached; };
  const platform::TempFolder folder;
  for (const std::vector<std::byte>& bytes : {file, PackOf(file)}) {
    const std::string path =
        folder.Write("model", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    TestHost host;
    auto lends = Model::Load(host.host(), OpenFile(path).value(), options);
    ASSERT_TRUE(lends) << lends.error().message;
    while ((*lends)->MakeLender().LeaveMapping(UINT64_MAX)) {
    }
    ASSERT_FALSE((*lends)->regions().any_mapped());
    const auto got = RunLending(**lends, tokens, Lending::kAfterEveryLayer);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, *want);
    EXPECT_GT((*lends)->regions().Stats().bytes_streamed, 0u);
  }
}

TEST(Pack, TakesWhatThePlanSaidAndGivesItBack) {
  const std::vector<std::byte> packed = PackOf(ModelOfManyRegions().Build());
  TestHost host;
  LoadOptions options;
  options.plan.context = 256;
  {
    auto model = Model::Load(host.host(), OpenMapped(packed).value(), options);
    ASSERT_TRUE(model) << model.error().message;
    const memory::LedgerSnapshot held = host.ledger.Snapshot();
    const auto mapped = held.by_owner[static_cast<size_t>(memory::Owner::kMapped)];
    EXPECT_EQ(mapped, (*model)->regions().Stats().bytes_total);
    EXPECT_LE(held.used + held.promised, (*model)->plan().total);
  }
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  EXPECT_EQ(host.ledger.Snapshot().promised, 0u);
}

TEST(Pack, ItsTensorsReadAsThoseOfTheFile) {
  for (const TinyModel& tiny : Models()) {
    const format::ModelFile file = OpenBytes(tiny.Build()).value();
    const format::ModelFile pack = OpenMapped(Pack(file).value()).value();
    ASSERT_EQ(pack.tensors().size(), file.tensors().size());
    for (size_t i = 0; i < file.tensors().size(); ++i) {
      const format::TensorInfo& from = file.tensors()[i];
      const format::TensorInfo& to = pack.tensors()[i];
      EXPECT_EQ(from.name, to.name);
      EXPECT_EQ(from.dtype, to.dtype);
      std::vector<std::byte> want(from.extent.bytes);
      std::vector<std::byte> got(to.extent.bytes);
      ASSERT_TRUE(file.ReadTensor(from, 0, want));
      ASSERT_TRUE(pack.ReadTensor(to, 0, got));
      EXPECT_EQ(got, want) << from.name;
      // From anywhere, across rows.
      const size_t begin = want.size() / 3;
      std::vector<std::byte> part(want.size() / 2);
      ASSERT_TRUE(pack.ReadTensor(to, begin, part));
      EXPECT_TRUE(std::equal(part.begin(), part.end(), want.begin() + begin)) << from.name;
    }
    EXPECT_EQ(format::FingerprintOf(pack).value(), format::FingerprintOf(file).value());
  }
}

TEST(Pack, OfAPackIsThatPack) {
  const format::ModelFile file = OpenBytes(ModelOfManyRegions().Build()).value();
  const std::vector<std::byte> once = Pack(file).value();
  const format::ModelFile pack = OpenMapped(once).value();
  const std::vector<std::byte> twice = Pack(pack).value();
  const format::ModelFile again = OpenMapped(twice).value();
  ASSERT_EQ(once.size(), twice.size());
  ASSERT_EQ(pack.regions().size(), again.regions().size());
  for (size_t i = 0; i < pack.regions().size(); ++i)
    EXPECT_EQ(pack.regions()[i].checksum, again.regions()[i].checksum);
}

TEST(Pack, SectionsAreAlignedForDirectReads) {
  TinyModel tiny = ModelOfManyRegions();
  PackSummary summary;
  const std::vector<std::byte> bytes = Pack(OpenBytes(tiny.Build()).value(), {}, &summary).value();
  EXPECT_EQ(bytes.size(), summary.file_bytes);
  EXPECT_EQ(bytes.size() % 4096, 0u);
  const format::ModelFile pack = OpenMapped(bytes).value();
  EXPECT_EQ(pack.regions().size(), summary.regions);
  for (const format::StoredRegion& region : pack.regions())
    EXPECT_EQ(region.offset % (region.bytes >= (1 << 20) ? 65536 : 4096), 0u);
}

TEST(Pack, ADamagedByteIsNamedByItsRegion) {
  TinyModel tiny;
  tiny.dtype = DType::kQ8_0;
  const std::vector<std::byte> good = PackOf(tiny.Build());
  const format::ModelFile pack = OpenMapped(good).value();
  for (size_t i = 0; i < pack.regions().size(); ++i) {
    const format::StoredRegion& region = pack.regions()[i];
    for (const uint64_t at : {region.offset, region.offset + region.bytes - 1}) {
      std::vector<std::byte> bad = good;
      bad[at] ^= std::byte{1};
      for (const bool mapped : {true, false}) {
        auto opened = mapped ? OpenMapped(bad) : OpenBytes(bad);
        ASSERT_TRUE(opened) << opened.error().message;
        const auto logits = LogitsOf(*std::move(opened), 96);
        ASSERT_FALSE(logits);
        EXPECT_EQ(logits.error().code, Code::kCorrupt);
        EXPECT_NE(logits.error().message.find("region " + std::to_string(i) + " "),
                  std::string::npos)
            << logits.error().message;
      }
      EXPECT_FALSE(CheckPack(OpenMapped(bad).value(), nullptr));
      const auto repacked = Pack(OpenMapped(bad).value());  // would get checksums that are right
      ASSERT_FALSE(repacked);
      EXPECT_EQ(repacked.error().code, Code::kCorrupt);
    }
  }
  EXPECT_TRUE(CheckPack(pack, nullptr));
}

// Of all other bytes, those that mean anything are found when the file is opened or loaded.
TEST(Pack, ADamagedByteOutsideOfTheRegionsIsFoundOrIsPadding) {
  TinyModel tiny;
  tiny.dtype = DType::kQ4_0;
  tiny.layers = 1;
  const std::vector<std::byte> good = PackOf(tiny.Build());
  const format::ModelFile pack = OpenMapped(good).value();
  const auto want = LogitsOf(OpenMapped(good).value(), 96).value();
  uint64_t found = 0;
  for (uint64_t at = 0; at < good.size(); at += at < 2048 ? 1 : 61) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{0x10};
    auto opened = OpenMapped(bad);
    const auto logits = opened ? LogitsOf(*std::move(opened), 96)
                               : Result<std::vector<float>>(Fail(opened.error()));
    if (!logits)
      ++found;
    else
      EXPECT_EQ(*logits, want) << "byte " << at;
  }
  EXPECT_GT(found, 2048u - 128u);
}

TEST(Pack, OfALaterMinorVersionOpensOfALaterMajorIsRefusedWithBothNumbers) {
  std::vector<std::byte> bytes = PackOf(TinyModel().Build());
  bytes[10] = std::byte{7};
  EXPECT_TRUE(OpenMapped(bytes));
  bytes[8] = std::byte{2};
  const auto later = OpenMapped(bytes);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Code::kUnsupported);
  EXPECT_NE(later.error().message.find("2.7"), std::string::npos) << later.error().message;
  EXPECT_NE(later.error().message.find("1.x"), std::string::npos) << later.error().message;
}

TEST(Pack, CutShortAnywhereOrWithMoreBehindItIsCorrupt) {
  TinyModel tiny;
  tiny.layers = 1;
  const std::vector<std::byte> good = PackOf(tiny.Build());
  ASSERT_TRUE(OpenMapped(good));
  std::vector<uint64_t> lengths = {good.size() - 1, good.size() + 1, good.size() + 4096};
  for (uint64_t length = 4; length < good.size(); length += length < 1024 ? 1 : 97)
    lengths.push_back(length);
  for (const uint64_t length : lengths) {
    std::vector<std::byte> other = good;
    other.resize(length);
    const auto cut = OpenMapped(other);
    ASSERT_FALSE(cut) << length;
    EXPECT_TRUE(cut.error().code == Code::kCorrupt || length < 8) << cut.error().message;
  }
}

TEST(Pack, CutOtherwiseItIsReadAsAnyFile) {
  // The regions of another version, whose matrices were cut elsewhere.
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  const format::ModelFile pack = OpenMapped(PackOf(file)).value();
  format::ModelFile::Parts parts;
  parts.format = pack.format();
  parts.version = pack.version();
  parts.alignment = pack.alignment();
  parts.metadata = pack.metadata();
  parts.tensors.assign(pack.tensors().begin(), pack.tensors().end());
  parts.shards.assign(pack.shards().begin(), pack.shards().end());
  parts.regions.assign(pack.regions().begin(), pack.regions().end());
  parts.regions.pop_back();
  memory::StoreStats stats;
  const auto got = LogitsOf(format::ModelFile::Make(parts).value(), 5003, &stats);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, LogitsOf(OpenBytes(file).value(), 5003).value());
  EXPECT_EQ(stats.bytes_mapped, 0u);
  // Its checksums hold all the same.
  parts.regions[2].checksum ^= 1;
  const auto damaged = LogitsOf(format::ModelFile::Make(parts).value(), 5003);
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message.find("region 2"), std::string::npos) << damaged.error().message;
}

TEST(Pack, QuantizesWithTheErrorOfTheType) {
  TinyModel tiny;
  tiny.embedding = 256;
  tiny.heads = 4;
  tiny.head_dim = 64;
  tiny.ffn = 512;
  const format::ModelFile file = OpenBytes(tiny.Build()).value();
  // Root mean square error over that of the weights, of weights drawn from a normal distribution.
  const std::pair<DType, double> expected[] = {{DType::kF16, 0.0005},
                                               {DType::kQ8_0, 0.01},
                                               {DType::kQ6_K, 0.025},
                                               {DType::kQ4_K, 0.09},
                                               {DType::kQ4_0, 0.11}};
  for (const auto& [dtype, most] : expected) {
    const format::ModelFile pack = OpenMapped(Pack(file, {.quant = dtype}).value()).value();
    ASSERT_TRUE(LogitsOf(OpenMapped(Pack(file, {.quant = dtype}).value()).value(), 96));
    const format::TensorInfo& from = *file.FindTensor("blk.0.ffn_up.weight");
    const format::TensorInfo& to = *pack.FindTensor("blk.0.ffn_up.weight");
    EXPECT_EQ(to.dtype, dtype);
    std::vector<std::byte> raw(to.extent.bytes);
    ASSERT_TRUE(pack.ReadTensor(to, 0, raw));
    std::vector<float> want(static_cast<size_t>(from.shape.elements()));
    ASSERT_TRUE(file.ReadTensor(from, 0, std::as_writable_bytes(std::span(want))));
    std::vector<float> got(want.size());
    const size_t row_bytes = raw.size() / static_cast<size_t>(to.shape.rows());
    for (int64_t row = 0; row < to.shape.rows(); ++row)
      tensor::DequantizeRow(dtype, raw.data() + static_cast<size_t>(row) * row_bytes,
                            got.data() + row * to.shape.cols(), to.shape.cols());
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      error += (got[i] - want[i]) * (got[i] - want[i]);
      size += want[i] * want[i];
    }
    EXPECT_LT(std::sqrt(error / size), most) << tensor::Name(dtype);
    EXPECT_EQ(pack.metadata().Get<uint32_t>("general.file_type").has_value(), true);
  }
}

TEST(Pack, RowsThatAreNoWholeBlocksGetTheNearestTypeThatFits) {
  EXPECT_EQ(FallbackType(DType::kQ4_K, 512), DType::kQ4_K);
  EXPECT_EQ(FallbackType(DType::kQ4_K, 576), DType::kQ5_0);
  EXPECT_EQ(FallbackType(DType::kQ6_K, 576), DType::kQ8_0);
  EXPECT_EQ(FallbackType(DType::kQ4_K, 72), DType::kF16);
  EXPECT_EQ(FallbackType(DType::kQ8_0, 72), DType::kF16);
}

TEST(Pack, AnotherTypeIsRefused) {
  const auto packed = Pack(OpenBytes(TinyModel().Build()).value(), {.quant = DType::kQ2_K});
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, Code::kUnsupported);
  EXPECT_NE(packed.error().message.find("Q2_K"), std::string::npos);
}

TEST(Pack, OfWeightsThatAreNoNumbersIsRefusedByTheirName) {
  TinyModel tiny;
  std::vector<std::byte> file = tiny.Build();
  const format::TensorInfo tensor = *OpenBytes(file)->FindTensor("blk.1.ffn_up.weight");
  const float nan = std::nanf("");
  std::memcpy(file.data() + tensor.extent.offset + 400, &nan, sizeof nan);
  for (const std::optional<DType> quant : {std::optional<DType>(), std::optional(DType::kQ8_0)}) {
    const auto packed = Pack(OpenBytes(file).value(), {.quant = quant});
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, Code::kCorrupt);
    EXPECT_NE(packed.error().message.find("blk.1.ffn_up.weight"), std::string::npos)
        << packed.error().message;
  }
}

TEST(Pack, CanBeCancelledAtAnyPointAndSaysHowFarItIs) {
  const format::ModelFile file = OpenBytes(TinyModel().Build()).value();
  for (int stop_at = 0;; ++stop_at) {
    PackProgress progress;
    uint64_t last = 0;
    int reports = 0;
    progress.report = [&](uint64_t done, uint64_t total) {
      EXPECT_GE(done, last);
      EXPECT_LE(done, total);
      last = done;
      return reports++ < stop_at;
    };
    const auto packed = Pack(file, {}, nullptr, &progress);
    if (packed) {
      const auto checked = CheckPack(OpenMapped(*packed).value(), &progress);
      if (!checked) continue;
      EXPECT_EQ(last, progress.total);
      EXPECT_GT(stop_at, 3);
      break;
    }
    EXPECT_EQ(packed.error().code, Code::kCancelled);
  }
}

TEST(Pack, SinkErrorsAreHandedOn) {
  const format::ModelFile file = OpenBytes(TinyModel().Build()).value();
  PackProgress progress;
  const auto packed = WritePack(
      file, {},
      [](uint64_t, std::span<const std::byte>) -> Status {
        return Fail(Code::kIo, "the disk is full");
      },
      &progress);
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, Code::kIo);
}

TEST(Pack, WeightsThatTheTypeCannotHoldAreNamed) {
  std::vector<std::byte> file = TinyModel().Build();
  for (const char* name : {"blk.1.ffn_up.weight", "token_embd.weight"}) {
    std::vector<std::byte> large = file;
    const format::TensorInfo tensor = *OpenBytes(file)->FindTensor(name);
    const float value = 1e6f;
    std::memcpy(large.data() + tensor.extent.offset + 400, &value, sizeof value);
    const auto packed = Pack(OpenBytes(large).value(), {.quant = DType::kF16});
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, Code::kUnsupported);
    EXPECT_NE(packed.error().message.find(name), std::string::npos) << packed.error().message;
    EXPECT_NE(packed.error().message.find("F16"), std::string::npos) << packed.error().message;
  }
}

// A row of an embedding that is no number is the failure of the texts that have its token.
TEST(Pack, AnEmbeddingRowThatIsNoNumberIsKeptAsItIs) {
  std::vector<std::byte> file = TinyModel().Build();
  const format::TensorInfo tensor = *OpenBytes(file)->FindTensor("token_embd.weight");
  const float nan = std::nanf("");
  std::memcpy(file.data() + tensor.extent.offset + 95 * 64 * sizeof(float), &nan, sizeof nan);
  const auto got = LogitsOf(OpenMapped(PackOf(file)).value(), 90);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, LogitsOf(OpenBytes(file).value(), 90).value());
}

// Rows of a tied embedding are gathered from the head's regions, which may be streamed later.
TEST(Pack, DamageInWhatIsGatheredIsFoundBeforeItIs) {
  TinyModel tiny = ModelOfManyRegions();
  tiny.tied = true;
  const std::vector<std::byte> good = PackOf(tiny.Build());
  const format::ModelFile pack = OpenMapped(good).value();
  std::vector<std::byte> bad = good;
  bad[pack.FindTensor("token_embd.weight")->runs[0].offset] ^= std::byte{1};
  TestHost ample;
  LoadOptions options;
  options.plan.context = 256;
  const auto whole = Model::Load(ample.host(), OpenMapped(good).value(), options);
  ASSERT_TRUE(whole);
  const uint64_t limit = (*whole)->plan().least_bytes + (1 << 20);
  TestHost small({.limit_bytes = limit});
  ASSERT_TRUE(Model::Load(small.host(), OpenMapped(good).value(), options));
  const auto loaded = Model::Load(small.host(), OpenMapped(bad).value(), options);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kCorrupt);
}

TEST(Pack, DamageOutsideOfTheRegionsNamesTheTensor) {
  const std::vector<std::byte> good = PackOf(TinyModel().Build());
  std::vector<std::byte> bad = good;
  bad[OpenMapped(good)->FindTensor("token_embd.weight")->extent.offset + 5] ^= std::byte{1};
  const auto logits = LogitsOf(OpenMapped(bad).value(), 96);
  ASSERT_FALSE(logits);
  EXPECT_EQ(logits.error().code, Code::kCorrupt);
  EXPECT_NE(logits.error().message.find("token_embd.weight"), std::string::npos)
      << logits.error().message;
}

TEST(Pack, KeepsTheKeysThatSayNothingOfTheFile) {
  TinyModel tiny;
  test::GgufBuilder builder = tiny.File();
  builder.AddKey("general.license", "apache-2.0")
      .AddKey("general.file_type", uint32_t{0})
      .AddKey("tokenizer.ggml.long", std::vector<std::string>(3000, "word"))
      .AddKey("split.count", uint16_t{0});
  const format::ModelFile pack =
      OpenMapped(PackOf(builder.Build(), {.quant = DType::kF16})).value();
  EXPECT_EQ(pack.metadata().Get<std::string>("general.license").value(), "apache-2.0");
  EXPECT_EQ(pack.metadata().Get<uint32_t>("general.file_type").value(), 1u);
  EXPECT_EQ(pack.metadata().Get<StringTable>("tokenizer.ggml.long")->count(), 3000u);
  EXPECT_FALSE(pack.metadata().Has("split.count"));
  // Where it comes from, also through another pack.
  const std::string hash = pack.metadata().Get<std::string>("mirage.pack.source_xxh3_128").value();
  EXPECT_EQ(hash.size(), 32u);
  const format::ModelFile again = OpenMapped(Pack(pack).value()).value();
  EXPECT_EQ(again.metadata().Get<std::string>("mirage.pack.source_xxh3_128").value(), hash);
}

}  // namespace
}  // namespace mirage::model
