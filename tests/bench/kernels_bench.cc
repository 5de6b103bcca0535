// SPDX-License-Identifier: Apache-2.0

// Speed of each matmul and of attention, for the shapes of real models, beside what the machine can
// do.
//
//   kernels_bench --benchmark_filter='avx2/Q4_1.*M1$'
//
// One token (M1) is measured over enough copies of the weight that it comes from memory: GB/s of
// weights, and their part of the measured read bandwidth. More tokens: GMAC/s, and their part of
// the measured multiply-add peak. The number of threads is the environment's MIRAGE_BENCH_THREADS,
// else the machine's cores.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "kernels/cpu/cpu_ops.h"
#include "platform/cpu.h"
#include "platform/host_memory.h"
#include "platform/host_stream.h"
#include "tests/bench/peak.h"

namespace mirage::kernels {
namespace {

struct MatrixShape {
  const char* name;
  DType dtype;
  int32_t rows;
  int32_t cols;
};

constexpr MatrixShape kMatrices[] = {
    {"smollm2-135m/attn_q", DType::kQ4_1, 576, 576},
    {"smollm2-135m/ffn_up", DType::kQ4_1, 1536, 576},
    {"smollm2-135m/ffn_down", DType::kQ4_1, 576, 1536},
    {"smollm2-135m/head", DType::kQ8_0, 49152, 576},
    {"gemma3-270m/ffn_up", DType::kQ5_0, 2048, 640},
    {"gemma3-270m/ffn_down", DType::kQ4_K, 640, 2048},
    {"gemma3-270m/ffn_down", DType::kQ6_K, 640, 2048},
    {"gemma3-270m/head", DType::kQ8_0, 262144, 640},
    {"2048-wide/ffn_up", DType::kQ4_0, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ4_1, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ5_0, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ5_1, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ8_0, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ2_K, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ3_K, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ4_K, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ5_K, 8192, 2048},
    {"2048-wide/ffn_up", DType::kQ6_K, 8192, 2048},
    {"2048-wide/ffn_up", DType::kIQ4_NL, 8192, 2048},
    {"2048-wide/ffn_up", DType::kIQ4_XS, 8192, 2048},
    {"2048-wide/ffn_up", DType::kMXFP4, 8192, 2048},
    {"2048-wide/ffn_up", DType::kF16, 8192, 2048},
    {"2048-wide/ffn_up", DType::kBF16, 8192, 2048},
    {"2048-wide/ffn_up", DType::kF32, 8192, 2048},
    {"8b/ffn_up", DType::kQ4_K, 14336, 4096},
    {"8b/ffn_down", DType::kQ6_K, 4096, 14336},
};
constexpr int32_t kTokens[] = {1, 2, 4, 8, 16, 512};
constexpr double kBeyondCaches = 192e6;

struct Machine {
  platform::ThreadPool pool;
  SteadyClock clock;
  std::unique_ptr<platform::HostStream> stream;
  double bandwidth;
  explicit Machine(int threads)
      : pool(threads),
        stream(platform::MakeInlineStream(pool, clock)),
        bandwidth(bench::ReadBandwidth(pool)) {}
};

Machine& TheMachine() {
  static Machine machine([] {
    const char* threads = std::getenv("MIRAGE_BENCH_THREADS");
    return threads != nullptr ? std::atoi(threads) : platform::UsableCores();
  }());
  return machine;
}

bench::Product ProductOf(DType dtype) {
  if (!ReadsQuantized(dtype)) return bench::Product::kFloat;
  const bool is_signed =
      dtype == DType::kQ8_0 || dtype == DType::kIQ4_NL || dtype == DType::kIQ4_XS;
  return is_signed ? bench::Product::kSigned : bench::Product::kUnsigned;
}

double Peak(const Ops& ops, bench::Product product) {
  static std::map<std::pair<std::string, bench::Product>, double> peaks;
  double& peak = peaks[{ops.name, product}];
  if (peak == 0) peak = bench::MultiplyAddPeak(TheMachine().pool, ops.name, product);
  return peak;
}

// Memory as an arena has it, in large pages where the system gives them.
class ArenaMemory {
 public:
  explicit ArenaMemory(uint64_t bytes) : bytes_((bytes + kPage - 1) / kPage * kPage) {
    auto reserved = platform::ReserveHostAddresses(bytes_);
    if (!reserved || !platform::BackHostMemory(*reserved, bytes_)) std::abort();
    data_ = *reserved;
    // Valid for every type: small positive halves, in whatever place a type reads them.
    for (uint64_t i = 0; i < bytes_; ++i) data_[i] = static_cast<std::byte>(0x20 + i % 11);
  }
  ~ArenaMemory() {
    platform::UnbackHostMemory(data_, bytes_);
    platform::ReleaseHostAddresses(data_, bytes_);
  }
  ArenaMemory(const ArenaMemory&) = delete;
  ArenaMemory& operator=(const ArenaMemory&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  static constexpr uint64_t kPage = uint64_t{2} << 20;
  uint64_t bytes_;
  std::byte* data_;
};

void MatMul(benchmark::State& state, const Ops& ops, const MatrixShape& shape, int32_t tokens) {
  Machine& machine = TheMachine();
  const uint64_t bytes =
      *tensor::RowBytes(shape.dtype, shape.cols) * static_cast<uint64_t>(shape.rows);
  const auto copies =
      static_cast<uint64_t>(tokens <= 16 ? kBeyondCaches / static_cast<double>(bytes) + 1 : 1);
  const ArenaMemory weights(bytes * copies);
  const std::vector<float> x(static_cast<size_t>(tokens) * static_cast<size_t>(shape.cols), 0.5f);
  std::vector<ActBlock> q8(x.size() / kBlock);
  if (!ops.quantize(*machine.stream, {x.data(), q8.data(), tokens, shape.cols})) std::abort();
  std::vector<float> y(static_cast<size_t>(tokens) * static_cast<size_t>(shape.rows));

  MatMulArgs args{};
  args.x = {x.data(), q8.data()};
  args.tokens = tokens;
  args.output_count = 1;
  args.outputs[0].y = y.data();
  args.outputs[0].y_stride = shape.rows;
  uint64_t copy = 0;
  for (auto _ : state) {
    args.outputs[0].weight = {
        shape.dtype, shape.cols, 1, {{weights.data() + copy * bytes, 0, shape.rows}}};
    copy = (copy + 1) % copies;
    if (!ops.matmul(*machine.stream, args)) std::abort();
  }
  const auto rounds = static_cast<double>(state.iterations());
  using benchmark::Counter;
  const double macs = rounds * shape.rows * double{static_cast<double>(shape.cols)} * tokens;
  state.counters["GB/s"] = Counter(rounds * static_cast<double>(bytes) * 1e-9, Counter::kIsRate);
  state.counters["GMAC/s"] = Counter(macs * 1e-9, Counter::kIsRate);
  state.counters["%read"] =
      Counter(rounds * static_cast<double>(bytes) * 100 / machine.bandwidth, Counter::kIsRate);
  if (const double peak = Peak(ops, ProductOf(shape.dtype)); peak > 0)
    state.counters["%peak"] = Counter(macs * 100 / peak, Counter::kIsRate);
}

struct AttentionShape {
  const char* name;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
};
constexpr AttentionShape kAttentions[] = {
    {"smollm2-135m", 9, 3, 64}, {"gemma3-270m", 4, 1, 256}, {"8b", 32, 8, 128}};

// `tokens` query tokens at the end of a sequence of `length`.
void Attention(benchmark::State& state, const Ops& ops, const AttentionShape& shape, int32_t length,
               int32_t tokens) {
  Machine& machine = TheMachine();
  const int32_t page_count = length / kPageTokens;
  const uint64_t page_bytes =
      uint64_t{2} * 2 * kPageTokens * static_cast<uint64_t>(shape.kv_heads * shape.head_dim);
  const auto copies = static_cast<uint32_t>(
      tokens == 1
          ? kBeyondCaches / static_cast<double>(page_bytes * static_cast<uint64_t>(page_count)) + 1
          : 1);
  const ArenaMemory memory(page_bytes * static_cast<uint64_t>(page_count) * copies);
  std::vector<uint32_t> pages(static_cast<size_t>(page_count) * copies);
  for (size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<uint32_t>(i);
  const int64_t width = int64_t{shape.heads} * shape.head_dim;
  const std::vector<float> q(static_cast<size_t>(tokens * width), 0.25f);
  std::vector<float> y(q.size());
  SequenceView view{pages.data(), 0, length - tokens, 0, tokens};
  AttentionArgs args{};
  args.q = q.data();
  args.q_stride = width;
  args.y = y.data();
  args.layer = {memory.data(), page_bytes, shape.kv_heads, shape.head_dim};
  args.sequences = &view;
  args.sequence_count = 1;
  args.heads = shape.heads;
  args.scale = 0.125f;
  std::vector<float> scratch(static_cast<size_t>(AttentionScratchFloats(args)));
  args.scratch = scratch.data();
  args.scratch_floats = static_cast<int64_t>(scratch.size());
  uint32_t copy = 0;
  for (auto _ : state) {
    view.pages = pages.data() + copy * static_cast<uint32_t>(page_count);
    copy = (copy + 1) % copies;
    if (!ops.attention(*machine.stream, args)) std::abort();
  }
  const auto rounds = static_cast<double>(state.iterations());
  using benchmark::Counter;
  // Keys seen by all queries, without the masked half of the last chunk.
  const double keys = static_cast<double>(tokens) * (length - (tokens - 1) / 2.0);
  const double macs = rounds * keys * static_cast<double>(width) * 2;
  const double bytes = rounds * static_cast<double>(page_bytes) * page_count;
  state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsRate);
  state.counters["GMAC/s"] = Counter(macs * 1e-9, Counter::kIsRate);
  state.counters["%read"] = Counter(bytes * 100 / machine.bandwidth, Counter::kIsRate);
  if (const double peak = Peak(ops, bench::Product::kFloat); peak > 0)
    state.counters["%peak"] = Counter(macs * 100 / peak, Counter::kIsRate);
}

void Register(const std::string& name, std::function<void(benchmark::State&)> run) {
  auto* bench = benchmark::RegisterBenchmark(name.c_str(), std::move(run));
  if (TheMachine().pool.threads() > 1) bench->UseRealTime();
}

void RegisterAll() {
  for (const Ops* ops : RunnableOps()) {
    const std::string table = ops->name;
    for (const MatrixShape& shape : kMatrices)
      for (const int32_t tokens : kTokens)
        Register(table + "/" + std::string(tensor::Name(shape.dtype)) + "/" + shape.name + "/M" +
                     std::to_string(tokens),
                 [=, &shape](benchmark::State& state) { MatMul(state, *ops, shape, tokens); });
    for (const AttentionShape& shape : kAttentions)
      for (const auto& [length, tokens] : {std::pair{512, 512}, {2048, 512}, {512, 1}, {8192, 1}})
        benchmark::RegisterBenchmark(
            (table + "/attention/" + shape.name + "/" + std::to_string(length) + "/M" +
             std::to_string(tokens))
                .c_str(),
            [ops, &shape, length = length, tokens = tokens](benchmark::State& state) {
              Attention(state, *ops, shape, length, tokens);
            })
            ->UseRealTime();
  }
}

}  // namespace
}  // namespace mirage::kernels

int main(int argc, char** argv) {
  using namespace mirage;
  kernels::RegisterAll();
  benchmark::Initialize(&argc, argv);
  // What the machine can do, in bytes and multiply-adds per second.
  const kernels::Machine& machine = kernels::TheMachine();
  benchmark::AddCustomContext("processor", platform::CpuName());
  benchmark::AddCustomContext("threads", std::to_string(machine.pool.threads()));
  benchmark::AddCustomContext("read", std::to_string(machine.bandwidth));
  for (const kernels::Ops* ops : kernels::RunnableOps()) {
    const std::string table = ops->name;
    for (const auto& [name, product] : {std::pair{"unsigned", bench::Product::kUnsigned},
                                        {"signed", bench::Product::kSigned},
                                        {"float", bench::Product::kFloat}})
      benchmark::AddCustomContext(table + "/" + name, std::to_string(kernels::Peak(*ops, product)));
  }
  benchmark::AddCustomContext("fastest", kernels::CpuOps().name);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
