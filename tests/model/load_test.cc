// SPDX-License-Identifier: Apache-2.0
// Loads that share a ledger, end early, or meet a file that cannot be right.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <ostream>
#include <regex>

#include "kernels/ref/ref_ops.h"
#include "model/arch/architectures.h"
#include "platform/text_file.h"
#include "tests/model/gguf_edit.h"
#include "tests/model/golden_files.h"
#include "tests/model/packed.h"
#include "tests/model/tiny_model.h"
#include "tests/platform/temp_folder.h"

namespace mirage::model {
namespace {

TEST(Load, TwoModelsOfUnlikeGeometryLiveInOneLedger) {
  LoadOptions options;
  options.plan.context = 128;
  TestHost apart;
  const auto run_alone = [&](const char* golden) {
    auto model = Model::Load(apart.host(), OpenFile(GoldenPath(golden)).value(), options);
    return RunInChunks(**model, GoldenTokens(golden), 1).value();
  };
  const std::vector<float> want_first = run_alone("gemma3");
  const std::vector<float> want_second = run_alone("quant_q4_k");

  const auto total = [&](const char* golden) {
    return MakePlan(OpenFile(GoldenPath(golden)).value(), options.plan)->total;
  };
  TestHost host({.limit_bytes = total("gemma3") + total("quant_q4_k")});
  auto first = Model::Load(host.host(), OpenFile(GoldenPath("gemma3")).value(), options);
  ASSERT_TRUE(first) << first.error().message;
  options.model_number = 1;
  auto second = Model::Load(host.host(), OpenFile(GoldenPath("quant_q4_k")).value(), options);
  ASSERT_TRUE(second) << second.error().message;

  // Token by token in turn.
  std::vector<float> got_first;
  std::vector<float> got_second;
  kv::SequenceCache first_cache((*first)->pages());
  kv::SequenceCache second_cache((*second)->pages());
  const auto step = [](Model& model, kv::SequenceCache& cache, int32_t token,
                       std::vector<float>* rows) -> Status {
    const int64_t end = cache.length() + 1;
    MIRAGE_TRY(cache.Reserve(end));
    const Slice slice{&cache, {&token, 1}, true};
    MIRAGE_TRY(model.Forward({&slice, 1}, {}));
    cache.Commit(end);
    const std::span<float> logits = model.Logits(0);
    rows->insert(rows->end(), logits.begin(), logits.end());
    return {};
  };
  const auto first_tokens = GoldenTokens("gemma3");
  const auto second_tokens = GoldenTokens("quant_q4_k");
  for (size_t i = 0; i < first_tokens.size(); ++i) {
    ASSERT_TRUE(step(**first, first_cache, first_tokens[i], &got_first));
    ASSERT_TRUE(step(**second, second_cache, second_tokens[i], &got_second));
  }
  EXPECT_EQ(got_first, want_first);
  EXPECT_EQ(got_second, want_second);

  // What the first one gives back is all of it, and the second does not notice.
  const memory::LedgerSnapshot both = host.ledger.Snapshot();
  first_cache.Clear();
  first->reset();
  EXPECT_LT(host.ledger.Snapshot().used, both.used);
  ASSERT_TRUE(step(**second, second_cache, 1, &got_second));
  second_cache.Clear();
  second->reset();
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
}

TEST(Load, OneThatDoesNotFitBesideOthersChangesNothing) {
  LoadOptions options;
  options.plan.context = 128;
  const uint64_t total = MakePlan(OpenFile(GoldenPath("gemma3")).value(), options.plan)->total;
  TestHost host({.limit_bytes = total + 100'000});
  auto first = Model::Load(host.host(), OpenFile(GoldenPath("gemma3")).value(), options);
  ASSERT_TRUE(first) << first.error().message;
  // The first one's KV is promised, not taken; with it in use nothing is left.
  kv::SequenceCache cache((*first)->pages());
  ASSERT_TRUE(cache.Reserve(128));
  const uint64_t used = host.ledger.Snapshot().used;
  auto second = Model::Load(host.host(), OpenFile(GoldenPath("quant_q4_k")).value(), options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kOutOfMemory);
  EXPECT_GT(second.error().needed_bytes, second.error().available_bytes);
  EXPECT_EQ(host.ledger.Snapshot().used, used);
}

// A sequence's pages up to the context, taken step by step: windows let go of theirs meanwhile.
Status Fill(kv::SequenceCache& cache, const Plan& plan) {
  while (cache.length() < plan.context) {
    const int64_t end = std::min(cache.length() + plan.step_tokens, plan.context);
    MIRAGE_TRY(cache.Reserve(end));
    cache.Commit(end);
  }
  return {};
}

// Loads that must share: what the first one's plan kept for its sequences is there after any second
// load, whatever that one found room for.
TEST(Load, ASecondModelLeavesTheFirstTheKvOfItsPlan) {
  LoadOptions options;
  options.plan.context = 2048;
  options.plan.sequences = 3;
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  const Plan alone = MakePlan(OpenBytes(file).value(), options.plan).value();
  LoadOptions small;
  small.plan.context = 64;
  const Plan second_alone = MakePlan(OpenBytes(file).value(), small.plan).value();
  // The second one fits whole only into bytes that are the first one's.
  for (const uint64_t beside : {second_alone.total, second_alone.total - second_alone.weights / 2,
                                second_alone.least_bytes, second_alone.least_bytes - 1}) {
    TestHost host({.limit_bytes = alone.total + beside});
    auto first = Model::Load(host.host(), OpenBytes(file).value(), options);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(host.ledger.available(), beside);
    EXPECT_EQ((*first)->committed_bytes(), alone.total);
    small.model_number = 1;
    auto second = Model::Load(host.host(), OpenBytes(file).value(), small);
    EXPECT_EQ(second.has_value(), beside >= second_alone.least_bytes);
    if (!second) {
      EXPECT_EQ(second.error().needed_bytes, second_alone.least_bytes);
      EXPECT_EQ(second.error().available_bytes, beside);
    }
    std::vector<kv::SequenceCache> caches;
    for (int i = 0; i < options.plan.sequences; ++i) {
      const Status reserved = Fill(caches.emplace_back((*first)->pages()), (*first)->plan());
      ASSERT_TRUE(reserved) << reserved.error().message;
    }
    caches.clear();
    first->reset();
    if (second) second->reset();
    EXPECT_EQ(host.ledger.Snapshot().used, 0u);
    EXPECT_EQ(host.ledger.Snapshot().promised, 0u);
  }
}

TEST(Load, TwoAtOnceDoNotPlanWithTheSameBytes) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  LoadOptions options;
  options.plan.context = 512;
  const Plan alone = MakePlan(OpenBytes(file).value(), options.plan).value();
  // Room for one whole and one that streams, whichever comes first. The first one to have its plan
  // waits for the second one's in its progress.
  TestHost host({.limit_bytes = alone.total + alone.least_bytes + (uint64_t{1} << 20)});
  std::atomic<int> planned{0};
  options.progress = [&](uint64_t done, uint64_t) {
    if (done == 0) {
      ++planned;
      while (planned < 2) std::this_thread::yield();
    }
    return true;
  };
  std::vector<Result<std::unique_ptr<Model>>> loaded(2);
  std::vector<std::thread> threads;
  for (auto& model : loaded)
    threads.emplace_back([&] {
      model = Model::Load(host.host(), OpenBytes(file).value(), options);
      ++planned;  // a load that fails must not leave the other one waiting
    });
  for (std::thread& thread : threads) thread.join();
  int streaming = 0;
  std::vector<kv::SequenceCache> caches;
  for (auto& model : loaded) {
    ASSERT_TRUE(model) << model.error().message;
    streaming += (*model)->plan().streamed_bytes_per_pass > 0;
    const Status reserved = Fill(caches.emplace_back((*model)->pages()), (*model)->plan());
    EXPECT_TRUE(reserved) << reserved.error().message;
  }
  EXPECT_EQ(streaming, 1);
}

TEST(Load, ALimitRaisedLaterGivesMorePages) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  LoadOptions options;
  options.plan.context = 64;
  const uint64_t total = MakePlan(OpenBytes(file).value(), options.plan)->total;
  TestHost host({.limit_bytes = total});
  auto model = Model::Load(host.host(), OpenBytes(file).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  kv::SequenceCache cache((*model)->pages());
  ASSERT_TRUE(cache.Reserve(64));
  const Status refused = cache.Reserve(100'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  host.ledger.SetLimit(uint64_t{4} << 30);
  const Status reserved = cache.Reserve(100'000);
  EXPECT_TRUE(reserved) << reserved.error().message;
}

// Lowers the limit on addresses for its life.
class AddressesLeft {
 public:
  explicit AddressesLeft(uint64_t bytes) {
    getrlimit(RLIMIT_AS, &before_);
    const std::string statm = platform::ReadText("/proc/self/statm").value_or("");
    const uint64_t pages = platform::ParseNumber(statm).value_or(0);
    rlimit limit = before_;
    limit.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + bytes;
    works_ = pages > 0 && setrlimit(RLIMIT_AS, &limit) == 0;
    void* const more =
        mmap(nullptr, bytes + (1 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (more != MAP_FAILED) {
      works_ = false;
      munmap(more, bytes + (1 << 20));
    }
  }
  ~AddressesLeft() { setrlimit(RLIMIT_AS, &before_); }
  [[nodiscard]] bool works() const { return works_; }

 private:
  rlimit before_{};
  bool works_ = false;
};

TEST(Load, FindsAddressesUnderALimitOnThemOrSaysHowManyThereAre) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more addresses than a limit leaves";
#endif
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  LoadOptions options;
  options.plan.context = 512;
  format::ModelFile opened = OpenBytes(file).value();
  format::ModelFile again = OpenBytes(file).value();
  TestHost host;
  {
    const AddressesLeft left(uint64_t{128} << 20);
    if (!left.works()) GTEST_SKIP() << "the limit on addresses cannot be lowered here";
    auto model = Model::Load(host.host(), std::move(opened), options);
    ASSERT_TRUE(model) << model.error().message;
    kv::SequenceCache cache((*model)->pages());
    EXPECT_TRUE(Fill(cache, (*model)->plan()));
  }
  const AddressesLeft left(uint64_t{6} << 20);
  ASSERT_TRUE(left.works());
  auto model = Model::Load(host.host(), std::move(again), options);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Code::kOutOfMemory);
  EXPECT_EQ(model.error().needed_bytes, 0u);  // no limit of ours would do
  EXPECT_NE(model.error().message.find("ulimit -v"), std::string::npos) << model.error().message;
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  EXPECT_EQ(host.ledger.Snapshot().promised, 0u);
}

TEST(Load, CancelledAtAnyPointGivesEverythingBack) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  int points = 0;
  for (int stop_at = 0;; ++stop_at) {
    TestHost host;
    LoadOptions options;
    int polls = 0;
    uint64_t last_done = 0;
    options.progress = [&](uint64_t done, uint64_t total) {
      EXPECT_LE(done, total);
      EXPECT_GE(done, last_done);
      last_done = done;
      return polls++ != stop_at;
    };
    auto model = Model::Load(host.host(), OpenBytes(file).value(), options);
    if (model) break;
    ++points;
    EXPECT_EQ(model.error().code, Code::kCancelled);
    EXPECT_EQ(host.ledger.Snapshot().used, 0u) << "cancelled at " << stop_at;
  }
  EXPECT_GT(points, 10);
}

// A file whose reads fail after a while.
class FailingSource final : public ByteSource {
 public:
  explicit FailingSource(std::vector<std::byte> data) : inner_(std::move(data)) {}
  const std::string& name() const override { return inner_.name(); }
  uint64_t bytes() const override { return inner_.bytes(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (reads_left.fetch_sub(1) <= 0) return Fail(Code::kIo, "the disk is gone");
    return inner_.ReadAt(offset, out);
  }
  mutable std::atomic<int> reads_left{1 << 20};

 private:
  const test::BytesSource inner_;
};

TEST(Load, AReadThatFailsGivesEverythingBackAndNamesTheRegion) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  for (const int good_reads : {0, 1, 5, 20, 40}) {
    auto source = std::make_shared<FailingSource>(file);
    TestHost host;
    auto opened = format::OpenModel({source});
    ASSERT_TRUE(opened);
    source->reads_left = good_reads;
    auto model = Model::Load(host.host(), std::move(*opened), {});
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Code::kIo);
    EXPECT_NE(model.error().message.find("region"), std::string::npos) << model.error().message;
    EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  }
}

TEST(Load, AReadThatFailsWhileRunningFailsThePassAndTheNextOneIsRight) {
  for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued}) {
    auto source = std::make_shared<FailingSource>(ModelOfManyRegions().Build());
    TestHost host({.streams = streams});
    auto loaded = Model::Load(host.host(), format::OpenModel({source}).value(), {});
    ASSERT_TRUE(loaded);
    Model& model = **loaded;
    const std::vector<int32_t> tokens = {5, 6, 7};
    const auto want = RunInChunks(model, tokens, 3);
    ASSERT_TRUE(want);
    for (size_t i = 0; i < model.regions().region_count(); ++i)
      ASSERT_TRUE(model.regions().Lend(static_cast<memory::RegionIndex>(i)));
    for (const int good_reads : {3, 9, 15}) {
      source->reads_left = good_reads;
      kv::SequenceCache cache(model.pages());
      ASSERT_TRUE(cache.Reserve(3));
      const Slice slice{&cache, tokens, true};
      const Status failed = model.Forward({&slice, 1}, {});
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().code, Code::kIo);
      EXPECT_EQ(cache.length(), 0);
      source->reads_left = 1 << 20;
      Status again = model.Forward({&slice, 1}, {});
      // Fills that failed ahead of their use are reported once as well.
      for (int tries = 0; !again && tries < 8; ++tries) again = model.Forward({&slice, 1}, {});
      ASSERT_TRUE(again) << again.error().message;
      const std::span<float> logits = model.Logits(0);
      EXPECT_EQ(std::vector<float>(logits.begin(), logits.end()), *want);
    }
  }
}

// Read from where it was, and in place, which would end the process.
TEST(Load, AFileThatBecomesShorterFailsThePassesThatNeedItUntilItIsWhole) {
  const std::vector<std::byte> gguf = ModelOfManyRegions().Build();
  const std::vector<int32_t> tokens = {5, 6, 7};
  const platform::TempFolder folder;
  for (const std::vector<std::byte>& bytes : {gguf, PackOf(gguf)})
    for (const Caching caching : {Caching::kCached, Caching::kUncached}) {
      const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const std::string path = folder.Write("model", whole);
      LoadOptions options;
      options.plan.context = 64;
      options.caching = [&] { return caching; };
      TestHost host;
      auto loaded = Model::Load(host.host(), OpenFile(path).value(), options);
      ASSERT_TRUE(loaded) << loaded.error().message;
      Model& model = **loaded;
      const auto want = RunInChunks(model, tokens, 3);
      ASSERT_TRUE(want);
      for (memory::RegionIndex i = 0; i < model.regions().region_count(); ++i)
        if (model.regions().state(i) == memory::RegionState::kResident) {
          ASSERT_TRUE(model.regions().Lend(i));
        }
      ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(bytes.size() / 2)), 0);
      const auto failed = RunInChunks(model, tokens, 3);
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().code, Code::kCorrupt);
      EXPECT_NE(failed.error().message.find("ends at"), std::string::npos)
          << failed.error().message;
      folder.Write("model", whole);
      auto again = RunInChunks(model, tokens, 3);
      // Fills that failed ahead of their use are reported once as well.
      for (int tries = 0; !again && tries < 8; ++tries) again = RunInChunks(model, tokens, 3);
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(*again, *want);
    }
}

// ---- files that cannot be right ----

struct Spoiled {
  std::string name;
  std::function<void(GgufEdit&)> spoil;
  Code code;
  std::string named;  // in the message
  std::string architecture = "llama";
  std::string key = {};  // that was spoiled, if it was one
  friend void PrintTo(const Spoiled& s, std::ostream* out) { *out << s.name; }
};

class HostileFile : public testing::TestWithParam<Spoiled> {};

// "test.gguf: byte 1184: key 'llama.block_count' is ...": the file; where the key or tensor stands,
// if the file has it; and its name.
void ExpectPlaceNamed(const format::ModelFile& file, const std::string& message) {
  std::smatch named;
  ASSERT_TRUE(std::regex_search(
      message, named, std::regex("^test\\.gguf: (?:byte ([0-9]+): )?(key|tensor) '([^']+)' ")))
      << message;
  const auto expect_within = [&](uint64_t begin, uint64_t bytes) {
    ASSERT_TRUE(named[1].matched) << message;
    const uint64_t byte = std::stoull(named[1]);
    EXPECT_TRUE(byte >= begin && byte < begin + bytes)
        << message << ": stands at " << begin << ", " << bytes << " bytes";
  };
  if (named[2] == "tensor") {
    if (const format::TensorInfo* tensor = file.FindTensor(named[3].str()))
      return expect_within(tensor->extent.offset, tensor->extent.bytes);
  } else if (const format::MetadataEntry* entry = file.metadata().Find(named[3].str())) {
    return expect_within(entry->offset, entry->bytes);
  }
  EXPECT_FALSE(named[1].matched) << message;
}

TEST_P(HostileFile, IsRefusedWithAWordAndNothingTaken) {
  TinyModel tiny;
  tiny.architecture = GetParam().architecture;
  auto file = GgufEdit::Open(tiny.Build());
  ASSERT_TRUE(file) << file.error().message;
  GetParam().spoil(*file);
  auto opened = OpenBytes(file->Build());
  ASSERT_TRUE(opened) << opened.error().message;

  const auto planned = MakePlan(*opened, {});
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().code, GetParam().code) << planned.error().message;
  EXPECT_NE(planned.error().message.find(GetParam().named), std::string::npos)
      << planned.error().message;
  ExpectPlaceNamed(*opened, planned.error().message);

  TestHost host;
  auto model = Model::Load(host.host(), std::move(*opened), {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().message, planned.error().message);
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Spoiled> SpoiledFiles() {
  std::vector<Spoiled> files;
  const auto add = [&](std::string name, Code code, std::string named,
                       std::function<void(GgufEdit&)> spoil, const char* architecture = "llama") {
    files.push_back({std::move(name), std::move(spoil), code, std::move(named), architecture});
  };
  const auto key = [&](const std::string& name, const std::string& suffix, auto value, Code code,
                       const std::string& named, const std::string& architecture = "llama") {
    add(
        name, code, named,
        [suffix, value, architecture](GgufEdit& file) {
          file.SetKey(architecture + "." + suffix, value);
        },
        architecture.c_str());
    files.back().key = architecture + "." + suffix;
  };

  // Tensors.
  for (const std::string tensor :
       {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.1.attn_q.weight",
        "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.1.attn_output.weight",
        "blk.0.ffn_norm.weight", "blk.1.ffn_gate.weight", "blk.0.ffn_up.weight",
        "blk.1.ffn_down.weight"}) {
    std::string plain = tensor;
    std::replace(plain.begin(), plain.end(), '.', '_');
    add("missing_" + plain, Code::kCorrupt, tensor,
        [tensor](GgufEdit& file) { file.RemoveTensor(tensor); });
    if (tensor == "token_embd.weight") continue;  // its rows are what the vocabulary is
    add("one_row_less_" + plain, Code::kCorrupt, tensor, [tensor](GgufEdit& file) {
      GgufEdit::Tensor& found = *file.Find(tensor);
      found.data.resize(found.data.size() / found.dims.back() * (found.dims.back() - 1));
      --found.dims.back();
    });
    add("dimensions_swapped_" + plain, Code::kCorrupt, tensor, [tensor](GgufEdit& file) {
      GgufEdit::Tensor& found = *file.Find(tensor);
      if (found.dims.size() == 2 && found.dims[0] != found.dims[1]) {
        std::swap(found.dims[0], found.dims[1]);
      } else {
        found.dims = {found.dims[0] / 2, found.data.size() / sizeof(float) / (found.dims[0] / 2)};
      }
    });
  }
  add("unknown_tensor", Code::kUnsupported, "blk.0.attn_sinks.weight", [](GgufEdit& file) {
    file.tensors().push_back(
        {"blk.0.attn_sinks.weight", tensor::DType::kF32, {4}, std::vector<std::byte>(16)});
  });
  add("tensor_of_a_layer_too_many", Code::kUnsupported, "blk.2.attn_norm.weight",
      [](GgufEdit& file) {
        GgufEdit::Tensor copy = *file.Find("blk.1.attn_norm.weight");
        copy.name = "blk.2.attn_norm.weight";
        file.tensors().push_back(std::move(copy));
      });
  add("qk_norms_in_a_llama", Code::kUnsupported, "attn_q_norm", [](GgufEdit& file) {
    file.tensors().push_back(
        {"blk.0.attn_q_norm.weight", tensor::DType::kF32, {16}, std::vector<std::byte>(64)});
  });
  add("integers_for_a_matrix", Code::kUnsupported, "blk.0.attn_q.weight",
      [](GgufEdit& file) { file.Find("blk.0.attn_q.weight")->dtype = tensor::DType::kI32; });

  // The architecture.
  add("unknown_architecture", Code::kUnsupported, "'mamba'",
      [](GgufEdit& file) { file.SetKey("general.architecture", std::string("mamba")); });
  add("no_architecture", Code::kCorrupt, "general.architecture",
      [](GgufEdit& file) { file.RemoveKey("general.architecture"); });
  add("architecture_a_number", Code::kCorrupt, "general.architecture",
      [](GgufEdit& file) { file.SetKey("general.architecture", uint32_t{7}); });

  // Sizes.
  for (const std::string suffix :
       {"block_count", "embedding_length", "context_length", "attention.layer_norm_rms_epsilon",
        "attention.head_count", "feed_forward_length"})
    add("no_" + suffix.substr(suffix.rfind('.') + 1), Code::kCorrupt, suffix,
        [suffix](GgufEdit& file) { file.RemoveKey("llama." + suffix); });
  key("no_layers", "block_count", uint32_t{0}, Code::kCorrupt, "block_count");
  key("one_layer_too_many", "block_count", uint32_t{3}, Code::kCorrupt, "blk.2.");
  key("one_layer_too_few", "block_count", uint32_t{1}, Code::kUnsupported, "blk.1.");
  key("a_billion_layers", "block_count", uint32_t{1'000'000'000}, Code::kCorrupt, "block_count");
  key("layers_of_64_bits", "block_count", ~uint64_t{0}, Code::kCorrupt, "block_count");
  key("negative_layers", "block_count", int32_t{-2}, Code::kCorrupt, "block_count");
  key("layers_a_string", "block_count", std::string("2"), Code::kCorrupt, "block_count");
  key("no_width", "embedding_length", uint32_t{0}, Code::kCorrupt, "embedding_length");
  key("huge_width", "embedding_length", uint64_t{1} << 40, Code::kCorrupt, "embedding_length");
  key("other_width", "embedding_length", uint32_t{32}, Code::kCorrupt, "shape");
  key("vocabulary_size_a_string", "vocab_size", std::string("many"), Code::kCorrupt, "vocab_size");
  add("fewer_rows_than_tokens", Code::kCorrupt, "rows for the", [](GgufEdit& file) {
    const auto rows = file.Find("token_embd.weight")->dims[1];
    file.SetKey("tokenizer.ggml.tokens", std::vector<std::string>(rows + 1, "a"));
  });
  key("no_context", "context_length", uint32_t{0}, Code::kCorrupt, "context_length");
  key("negative_context", "context_length", int64_t{-5}, Code::kCorrupt, "context_length");
  key("huge_context", "context_length", uint64_t{1} << 50, Code::kCorrupt, "context_length");
  key("no_heads", "attention.head_count", uint32_t{0}, Code::kCorrupt, "head_count");
  key("huge_heads", "attention.head_count", uint32_t{0xFFFFFFFF}, Code::kCorrupt, "head_count");
  key("kv_heads_do_not_divide", "attention.head_count_kv", uint32_t{3}, Code::kCorrupt, "attn_k");
  key("no_kv_heads", "attention.head_count_kv", uint32_t{0}, Code::kCorrupt, "head_count_kv");
  key("more_kv_heads_than_heads", "attention.head_count_kv", uint32_t{8}, Code::kCorrupt, "attn_k");
  key("kv_heads_for_three_layers", "attention.head_count_kv", std::vector<uint32_t>{2, 2, 2},
      Code::kCorrupt, "head_count_kv");
  key("ffn_for_one_layer", "feed_forward_length", std::vector<uint32_t>{128}, Code::kCorrupt,
      "feed_forward_length");
  key("no_ffn", "feed_forward_length", uint32_t{0}, Code::kCorrupt, "feed_forward_length");
  key("huge_ffn", "feed_forward_length", uint64_t{1} << 33, Code::kCorrupt, "feed_forward_length");
  key("no_head_length", "attention.key_length", uint32_t{0}, Code::kCorrupt, "key_length");
  key("unlike_head_lengths", "attention.value_length", uint32_t{8}, Code::kUnsupported,
      "value_length");

  // Numbers that are none.
  for (const auto& [name, value] : std::vector<std::pair<std::string, float>>{
           {"nan", kNan}, {"infinite", kInfinity}, {"negative", -1e-5f}, {"zero", 0.0f}}) {
    key(name + "_epsilon", "attention.layer_norm_rms_epsilon", value, Code::kCorrupt, "epsilon");
    key(name + "_rope_base", "rope.freq_base", value, Code::kCorrupt, "rope");
    key(name + "_rope_factor", "rope.scaling.factor", value, Code::kCorrupt, "rope");
  }
  key("odd_rope", "rope.dimension_count", uint32_t{5}, Code::kCorrupt, "odd");
  key("rope_wider_than_a_head", "rope.dimension_count", uint32_t{32}, Code::kCorrupt,
      "rope.dimension_count");
  key("unknown_rope_scaling", "rope.scaling.type", std::string("banana"), Code::kUnsupported,
      "banana");
  add("yarn_without_its_keys", Code::kCorrupt, "rope.scaling",
      [](GgufEdit& file) { file.SetKey("llama.rope.scaling.type", std::string("yarn")); });
  add("yarn_of_no_context", Code::kCorrupt, "original_context_length", [](GgufEdit& file) {
    file.SetKey("llama.rope.scaling.type", std::string("yarn"));
    file.SetKey("llama.rope.scaling.factor", 4.0f);
    file.SetKey("llama.rope.scaling.original_context_length", 0.0f);
  });
  for (const float value : {0.0f, -1.0f, kNan})
    add("rope_divisors_" + std::string(std::isnan(value) ? "nan"
                                       : value < 0       ? "negative"
                                                         : "zero"),
        Code::kCorrupt, "for frequency 0", [value](GgufEdit& file) {
          file.tensors().push_back({"rope_freqs.weight",
                                    tensor::DType::kF32,
                                    {8},
                                    std::vector<std::byte>(8 * sizeof(float))});
          file.Fill("rope_freqs.weight", value);
        });
  key("no_window", "attention.sliding_window", uint32_t{0}, Code::kCorrupt, "sliding_window",
      "gemma3");
  key("negative_window", "attention.sliding_window", int32_t{-1}, Code::kCorrupt, "sliding_window",
      "gemma3");
  key("huge_window", "attention.sliding_window", uint64_t{1} << 60, Code::kCorrupt,
      "sliding_window", "gemma3");
  key("nan_softcap", "final_logit_softcapping", kNan, Code::kCorrupt, "softcapping", "gemma3");
  key("negative_softcap", "final_logit_softcapping", -3.0f, Code::kCorrupt, "softcapping",
      "gemma3");

  // Experts: 6 of them, 2 used.
  const char* const moe = "qwen3moe";
  for (const std::string suffix :
       {"expert_count", "expert_used_count", "expert_feed_forward_length"}) {
    add(
        "no_" + suffix, Code::kCorrupt, suffix,
        [suffix](GgufEdit& file) { file.RemoveKey("qwen3moe." + suffix); }, moe);
    key("zero_" + suffix, suffix, uint32_t{0}, Code::kCorrupt, suffix, moe);
    key("huge_" + suffix, suffix, uint64_t{1} << 40, Code::kCorrupt, suffix, moe);
    key("negative_" + suffix, suffix, int32_t{-1}, Code::kCorrupt, suffix, moe);
  }
  key("more_used_than_there_are", "expert_used_count", uint32_t{7}, Code::kCorrupt,
      "expert_used_count", moe);
  key("an_expert_less", "expert_count", uint32_t{5}, Code::kCorrupt, "ffn_gate_inp", moe);
  key("a_billion_experts", "expert_count", uint32_t{1} << 30, Code::kCorrupt, "ffn_gate_inp", moe);
  key("narrower_experts", "expert_feed_forward_length", uint32_t{64}, Code::kCorrupt,
      "ffn_gate_exps", moe);
  key("normalised_by_a_string", "expert_weights_norm", std::string("yes"), Code::kCorrupt,
      "expert_weights_norm", moe);
  for (const std::string stem : {"ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"})
    add(
        "missing_" + stem, Code::kCorrupt, stem,
        [stem](GgufEdit& file) { file.RemoveTensor("blk.1." + stem + ".weight"); }, moe);
  // The same bytes with their rows cut otherwise, and as one matrix.
  for (const std::string stem : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    add(
        "rows_and_experts_swapped_in_" + stem, Code::kCorrupt, stem,
        [stem](GgufEdit& file) {
          auto& dims = file.Find("blk.0." + stem + ".weight")->dims;
          std::swap(dims[1], dims[2]);
        },
        moe);
    add(
        "one_matrix_" + stem, Code::kCorrupt, stem,
        [stem](GgufEdit& file) {
          auto& dims = file.Find("blk.0." + stem + ".weight")->dims;
          dims = {dims[0], dims[1] * dims[2]};
        },
        moe);
  }
  add(
      "integers_for_experts", Code::kUnsupported, "ffn_up_exps",
      [](GgufEdit& file) { file.Find("blk.0.ffn_up_exps.weight")->dtype = tensor::DType::kI32; },
      moe);
  add(
      "a_feed_forward_beside_experts", Code::kUnsupported, "blk.0.ffn_up.weight",
      [](GgufEdit& file) {
        file.tensors().push_back(
            {"blk.0.ffn_up.weight", tensor::DType::kF32, {4}, std::vector<std::byte>(16)});
      },
      moe);
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, HostileFile, testing::ValuesIn(SpoiledFiles()),
                         [](const auto& file) { return file.param.name; });

TEST(HostileFile, AnUnknownArchitectureIsToldWhichAreKnown) {
  auto file = GgufEdit::Open(TinyModel().Build()).value();
  file.SetKey("general.architecture", std::string("mamba"));
  const auto planned = MakePlan(OpenBytes(file.Build()).value(), {});
  ASSERT_FALSE(planned);
  for (const Architecture& known : Architectures())
    EXPECT_NE(planned.error().message.find(known.name), std::string::npos)
        << planned.error().message;
}

TEST(HostileFile, HeadsLongerThanAnyKernelsAreRefusedBeforeTheLoad) {
  TinyModel tiny;
  tiny.head_dim = kernels::kMaxHeadDim + 2;
  const auto planned = MakePlan(OpenBytes(tiny.Build()).value(), {});
  EXPECT_FALSE(planned);
}

// ---- weights that are no numbers ----

// The byte in the file of element `index` of an F32 tensor.
uint64_t ByteOf(const std::vector<std::byte>& file, std::string_view tensor, uint64_t index) {
  return OpenBytes(file)->FindTensor(tensor)->extent.offset + index * sizeof(float);
}

std::vector<std::byte> With(std::vector<std::byte> file, uint64_t byte, float value) {
  std::memcpy(file.data() + byte, &value, sizeof value);
  return file;
}

void ExpectWeightNamed(const Error& error, uint64_t byte, const std::string& tensor) {
  EXPECT_EQ(error.code, Code::kCorrupt);
  const std::string words = "test.gguf: byte " + std::to_string(byte) + ": tensor '" + tensor +
                            "' holds a weight that is not a finite number";
  EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
}

TEST(BadWeight, FailsTheLoadNamingFileTensorAndByte) {
  const std::vector<std::byte> good = TinyModel().Build();
  for (const std::string tensor : {"blk.0.attn_norm.weight", "blk.1.attn_q.weight",
                                   "blk.0.ffn_down.weight", "output_norm.weight"})
    for (const float value : {kNan, kInfinity, -kInfinity}) {
      const uint64_t byte = ByteOf(good, tensor, 37);
      TestHost host;
      auto model = Model::Load(host.host(), OpenBytes(With(good, byte, value)).value(), {});
      ASSERT_FALSE(model) << tensor;
      ExpectWeightNamed(model.error(), byte, tensor);
      EXPECT_EQ(host.ledger.Snapshot().used, 0u);
    }
}

TEST(BadWeight, OfOneTokensEmbeddingSpoilsTheTextsOfThatTokenAlone) {
  TinyModel tiny;
  tiny.tied = false;
  const std::vector<std::byte> good = tiny.Build();
  constexpr int32_t kBad = 9;
  const uint64_t byte =
      ByteOf(good, "token_embd.weight", static_cast<uint64_t>(kBad) * tiny.embedding + 3);
  TestHost host;
  LoadOptions options;
  options.plan.sequences = options.plan.logit_rows = 2;
  auto model = Model::Load(host.host(), OpenBytes(With(good, byte, kNan)).value(), options);
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<int32_t> tokens = {5, 6, 7};
  const std::vector<int32_t> spoilt = {5, kBad, 7};
  const auto alone = RunInChunks(**model, tokens, 3);
  ASSERT_TRUE(alone);
  for (int round = 0; round < 2; ++round) {
    kv::SequenceCache sound((*model)->pages());
    kv::SequenceCache spoilt_cache((*model)->pages());
    ASSERT_TRUE(sound.Reserve(3));
    ASSERT_TRUE(spoilt_cache.Reserve(3));
    const Slice slices[] = {{&spoilt_cache, spoilt, true}, {&sound, tokens, true}};
    const Status status = (*model)->Forward(slices, {});
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_TRUE(std::isnan((*model)->Logits(0)[0]));
    const std::span<float> logits = (*model)->Logits(1);
    EXPECT_EQ(std::vector<float>(logits.begin(), logits.end()), *alone);
  }
}

TEST(VocabularySize, TheKeyAndRowsOfPaddingMayDifferFromTheTokens) {
  const std::vector<std::byte> tiny = TinyModel().Build();
  for (const uint32_t stated : {0u, 1u, ~0u}) {
    auto file = GgufEdit::Open(tiny).value();
    const auto rows = file.Find("token_embd.weight")->dims[1];
    file.SetKey("tokenizer.ggml.tokens", std::vector<std::string>(rows - 1, "a"));
    file.SetKey("llama.vocab_size", stated);
    const auto edited = OpenBytes(file.Build());
    ASSERT_TRUE(edited) << edited.error().message;
    EXPECT_TRUE(MakePlan(*edited, {})) << stated;
  }
}

TEST(OddSizes, OfFloatWeightsRunAsTheReferenceDoes) {
  TinyModel tiny;
  tiny.embedding = 50;
  tiny.heads = 3;
  tiny.kv_heads = 3;
  tiny.head_dim = 22;
  tiny.ffn = 37;
  tiny.vocabulary = 61;
  const std::vector<std::byte> bytes = tiny.Build();
  const std::vector<int32_t> tokens = {1, 2, 3, 60, 0, 17, 33};
  const auto run = [&](const kernels::Ops& ops) {
    TestHost host({.ops = &ops});
    auto model = Model::Load(host.host(), OpenBytes(bytes).value(), {});
    EXPECT_TRUE(model) << model.error().message;
    return RunInChunks(**model, tokens, 3).value();
  };
  const std::vector<float> want = run(kernels::RefOps());
  for (const kernels::Ops* ops : kernels::RunnableOps())
    EXPECT_LT(Compare(run(*ops), want).max, 1e-4) << ops->name;
}

}  // namespace
}  // namespace mirage::model
