// SPDX-License-Identifier: Apache-2.0

#include "model/tuning.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/checked.h"
#include "platform/cpu.h"
#include "platform/host_memory.h"
#include "platform/host_stream.h"
#include "tensor/packed_rows.h"

namespace mirage::model {
namespace {

using Pass = TuningTrial::Pass;

// A matrix such as a model of a few billion parameters has, in the type most files are in. The rows
// are long, so that panels of every size in question differ.
constexpr tensor::DType kType = tensor::DType::kQ4_K;
constexpr int32_t kRows = 2048;
constexpr int32_t kCols = 8192;
constexpr int32_t kPromptTokens = 512;
constexpr int32_t kFewestPromptTokens = 64;

constexpr int kTasksPerThread[] = {1, 2, 8, 16};
constexpr int64_t kPanelBytes[] = {128 << 10, 256 << 10, 1 << 20, 2 << 20};

// By what a contender must be faster than the defaults to take their place.
constexpr double kClearly = 1.05;
constexpr int kLeastRounds = 3;
constexpr int64_t kDecodeMs = 2000;   // of a comparison of decodes, all contenders together
constexpr int64_t kPrefillMs = 2500;  // and of prefills
constexpr int64_t kTotalMs = 2 * kDecodeMs + 3 * kPrefillMs;

// Memory as an arena has it.
class Memory {
 public:
  [[nodiscard]] static Result<Memory> Make(uint64_t bytes) {
    constexpr uint64_t kAlign = uint64_t{2} << 20;
    Memory made;
    made.bytes_ = RoundUp(bytes, kAlign);
    MIRAGE_TRY_ASSIGN(made.data_, platform::ReserveHostAddresses(made.bytes_));
    MIRAGE_TRY(platform::BackHostMemory(made.data_, made.bytes_));
    return made;
  }
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Memory& operator=(Memory&&) = delete;
  ~Memory() {
    if (data_ != nullptr) platform::ReleaseHostAddresses(data_, bytes_);
  }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  Memory() = default;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// One way to compute, with the threads for it.
class Contender {
 public:
  Contender(const TuningTrial& tried, const Clock& clock)
      : trial(tried),
        pool_(std::make_unique<platform::ThreadPool>(tried.threads, tried.cut)),
        stream_(platform::MakeInlineStream(*pool_, clock)) {}
  [[nodiscard]] platform::HostStream& stream() const { return *stream_; }

  TuningTrial trial;
  std::vector<double> seconds;  // of each round

 private:
  std::unique_ptr<platform::ThreadPool> pool_;
  std::unique_ptr<platform::HostStream> stream_;
};

class Tuner {
 public:
  Tuner(const kernels::Ops& ops, Memory weights, const Clock& clock, const TuningProgress& progress)
      : ops_(ops),
        progress_(progress),
        clock_(clock),
        weights_(std::move(weights)),
        matrices_(static_cast<int64_t>(weights_.bytes() / MatrixBytes())),
        x_(size_t{kPromptTokens} * kCols, 0.5F),
        q8_(x_.size() / kernels::kBlock),
        y_(size_t{kPromptTokens} * kRows) {
    // Small positive halves, wherever a block has its floats.
    for (uint64_t i = 0; i < weights_.bytes(); ++i)
      weights_.data()[i] = static_cast<std::byte>(0x20 + i % 11);
  }

  [[nodiscard]] static uint64_t MatrixBytes() {
    return *tensor::RowBytes(kType, kCols) * uint64_t{kRows};
  }

  [[nodiscard]] Result<MeasuredTuning> Run() {
    const int cores = std::min(platform::UsableCores(), platform::kMostThreads);
    MIRAGE_TRY(SizePrefill(cores));
    Tuning& tuning = measured_.tuning;
    MIRAGE_TRY_ASSIGN(tuning.threads.decode, ChooseThreads(Pass::kDecode, cores));
    MIRAGE_TRY_ASSIGN(tuning.threads.prefill, ChooseThreads(Pass::kPrefill, cores));
    MIRAGE_TRY(ChooseTasks());
    MIRAGE_TRY(ChoosePanel());
    return std::move(measured_);
  }

 private:
  // One pass over some matrices, in the order in which a model's layers come.
  [[nodiscard]] Status Compute(platform::HostStream& stream, int64_t matrices, int32_t tokens) {
    kernels::MatMulArgs args{};
    args.x = {x_.data(), q8_.data()};
    args.tokens = tokens;
    args.output_count = 1;
    args.outputs[0].y = y_.data();
    args.outputs[0].y_stride = kRows;
    for (int64_t i = 0; i < matrices; ++i) {
      const std::byte* const matrix = weights_.data() + static_cast<uint64_t>(i) * MatrixBytes();
      args.outputs[0].weight = {kType, kCols, 1, {{matrix, 0, kRows}}};
      MIRAGE_TRY(ops_.matmul(stream, args));
    }
    return {};
  }
  [[nodiscard]] Status Compute(const Contender& contender) {
    return contender.trial.pass == Pass::kDecode
               ? Compute(contender.stream(), matrices_, 1)
               : Compute(contender.stream(), prompt_matrices_, prompt_tokens_);
  }
  // What a pass is a count of: bytes of weights, or multiply-adds; in 10^9.
  [[nodiscard]] double Work(Pass pass) const {
    constexpr double kGiga = 1e9;
    return pass == Pass::kDecode
               ? static_cast<double>(matrices_) * static_cast<double>(MatrixBytes()) / kGiga
               : static_cast<double>(prompt_matrices_) * kRows * double{kCols} * prompt_tokens_ /
                     kGiga;
  }

  // Passes that take about as long on machines of very different speeds.
  [[nodiscard]] Status SizePrefill(int threads) {
    constexpr int64_t kWantedNs = 30'000'000;
    constexpr int64_t kTooLongNs = 150'000'000;
    platform::ThreadPool pool(threads);
    const auto stream = platform::MakeInlineStream(pool, clock_);
    MIRAGE_TRY(ops_.quantize(*stream, {x_.data(), q8_.data(), kPromptTokens, kCols}));
    for (prompt_tokens_ = kPromptTokens;; prompt_tokens_ /= 2) {
      MIRAGE_TRY(Compute(*stream, 1, kFewestPromptTokens));  // threads and pages are there now
      const int64_t begin = clock_.NowNs();
      MIRAGE_TRY(Compute(*stream, 1, prompt_tokens_));
      const int64_t took = std::max<int64_t>(clock_.NowNs() - begin, 1);
      prompt_matrices_ = std::clamp<int64_t>(kWantedNs / took, 1, matrices_);
      if (took <= kTooLongNs || prompt_tokens_ == kFewestPromptTokens) return {};
    }
  }

  // Rounds in which every contender has a turn, since what else runs on the machine comes and goes:
  // a contender is held against the first one of the same round.
  [[nodiscard]] Status Compare(std::vector<Contender>& contenders) {
    const int64_t phase_ms =
        contenders.front().trial.pass == Pass::kDecode ? kDecodeMs : kPrefillMs;
    const int64_t begin = clock_.NowNs();
    const auto elapsed_ms = [&] { return (clock_.NowNs() - begin) / 1'000'000; };
    for (int round = 0; round < kLeastRounds || elapsed_ms() < phase_ms; ++round) {
      if (progress_ && !progress_(done_ms_ + std::min(elapsed_ms(), phase_ms), kTotalMs))
        return Fail(Code::kCancelled, "tuning was cancelled");
      for (Contender& contender : contenders) {
        const int64_t start = clock_.NowNs();
        MIRAGE_TRY(Compute(contender));
        const int64_t took = std::max<int64_t>(clock_.NowNs() - start, 1);
        contender.seconds.push_back(static_cast<double>(took) * 1e-9);
      }
    }
    done_ms_ += phase_ms;
    const std::vector<double>& defaults = contenders.front().seconds;
    for (Contender& contender : contenders) {
      TuningTrial& trial = contender.trial;
      std::vector<double>& seconds = contender.seconds;
      trial.rate = Work(trial.pass) / *std::min_element(seconds.begin(), seconds.end());
      trial.speedup = MedianRatio(defaults, seconds);
      measured_.trials.push_back(trial);
    }
    return {};
  }
  [[nodiscard]] static double MedianRatio(const std::vector<double>& of,
                                          const std::vector<double>& to) {
    std::vector<double> ratios;
    for (size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / to[i]);
    // The lower one of two: the benefit of the doubt is the default's.
    const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>((ratios.size() - 1) / 2);
    std::nth_element(ratios.begin(), middle, ratios.end());
    return *middle;
  }

  // The fastest, or the first, which is the default, where none is clearly faster.
  [[nodiscard]] static size_t Choose(const std::vector<double>& speedups) {
    const auto best = std::max_element(speedups.begin(), speedups.end());
    return *best > kClearly ? static_cast<size_t>(best - speedups.begin()) : 0;
  }
  [[nodiscard]] static std::vector<double> Speedups(const std::vector<Contender>& contenders) {
    std::vector<double> speedups;
    for (const Contender& contender : contenders) speedups.push_back(contender.trial.speedup);
    return speedups;
  }

  [[nodiscard]] Result<int> ChooseThreads(Pass pass, int cores) {
    std::vector<Contender> contenders;
    contenders.emplace_back(TuningTrial{pass, cores, {}}, clock_);
    for (const int threads : ThreadCounts(cores, platform::UsableCpus()))
      if (threads != cores) contenders.emplace_back(TuningTrial{pass, threads, {}}, clock_);
    MIRAGE_TRY(Compare(contenders));
    return contenders[Choose(Speedups(contenders))].trial.threads;
  }

  // All of a small machine; of others parts of the cores, and all their hyper-threads.
  [[nodiscard]] static std::set<int> ThreadCounts(int cores, int cpus) {
    constexpr int kSmall = 8;
    std::set<int> counts;
    if (cpus <= kSmall)
      for (int count = 1; count <= cpus; ++count) counts.insert(count);
    else
      counts = {std::max(cores / 4, 1), std::max(cores / 2, 1), std::max(cores * 3 / 4, 1), cores,
                cpus};
    counts.erase(counts.upper_bound(platform::kMostThreads), counts.end());
    return counts;
  }

  [[nodiscard]] std::vector<Contender> Cuts(Pass pass, const std::vector<platform::TaskCut>& cuts) {
    const platform::PassThreads& threads = measured_.tuning.threads;
    std::vector<Contender> contenders;
    for (const platform::TaskCut& cut : cuts)
      contenders.emplace_back(
          TuningTrial{pass, pass == Pass::kDecode ? threads.decode : threads.prefill, cut}, clock_);
    return contenders;
  }

  // One number for both kinds of pass: the best by the geometric mean.
  [[nodiscard]] Status ChooseTasks() {
    std::vector<platform::TaskCut> cuts(1);
    for (const int tasks : kTasksPerThread) cuts.push_back({.tasks_per_thread = tasks});
    std::vector<Contender> decodes = Cuts(Pass::kDecode, cuts);
    MIRAGE_TRY(Compare(decodes));
    std::vector<Contender> prefills = Cuts(Pass::kPrefill, cuts);
    MIRAGE_TRY(Compare(prefills));
    std::vector<double> speedups = Speedups(decodes);
    for (size_t i = 0; i < speedups.size(); ++i)
      speedups[i] = std::sqrt(speedups[i] * prefills[i].trial.speedup);
    measured_.tuning.cut = cuts[Choose(speedups)];
    return {};
  }

  [[nodiscard]] Status ChoosePanel() {
    std::vector<platform::TaskCut> cuts = {measured_.tuning.cut};
    for (const int64_t bytes : kPanelBytes)
      cuts.push_back({.tasks_per_thread = cuts[0].tasks_per_thread, .panel_bytes = bytes});
    std::vector<Contender> contenders = Cuts(Pass::kPrefill, cuts);
    MIRAGE_TRY(Compare(contenders));
    measured_.tuning.cut = cuts[Choose(Speedups(contenders))];
    return {};
  }

  const kernels::Ops& ops_;
  const TuningProgress& progress_;
  const Clock& clock_;
  const Memory weights_;
  const int64_t matrices_;
  std::vector<float> x_;
  std::vector<kernels::ActBlock> q8_;
  std::vector<float> y_;
  int32_t prompt_tokens_ = kPromptTokens;
  int64_t prompt_matrices_ = 1;
  int64_t done_ms_ = 0;
  MeasuredTuning measured_;
};

}  // namespace

Result<MeasuredTuning> MeasureTuning(const kernels::Ops& ops, uint64_t weight_bytes,
                                     const Clock& clock, const TuningProgress& progress) {
  MIRAGE_TRY_ASSIGN(Memory weights, Memory::Make(std::max(weight_bytes, Tuner::MatrixBytes())));
  return Tuner(ops, std::move(weights), clock, progress).Run();
}

}  // namespace mirage::model
