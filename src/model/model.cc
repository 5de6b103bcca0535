// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "kernels/cpu/cpu_ops.h"
#include "model/layers/decoder.h"
#include "model/layers/rope_table.h"
#include "model/weight_source.h"
#include "model/workspace.h"

namespace mirage::model {

namespace {

// The workspace's memory: arena addresses backed for as long as the object lives.
class WorkspaceMemory {
 public:
  static Result<WorkspaceMemory> Make(memory::Arena& arena, uint64_t bytes,
                                      memory::Promise* promise) {
    WorkspaceMemory memory;
    MIRAGE_TRY_ASSIGN(memory.range_, arena.Reserve(bytes, promise));
    memory.arena_ = &arena;
    MIRAGE_TRY(arena.Back(memory.range_, 0, memory.range_.bytes, memory::Owner::kWorkspace));
    return memory;
  }
  WorkspaceMemory() = default;
  ~WorkspaceMemory() {
    if (arena_ != nullptr) arena_->Release(range_);
  }
  WorkspaceMemory(WorkspaceMemory&& other) noexcept { *this = std::move(other); }
  WorkspaceMemory& operator=(WorkspaceMemory&& other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(range_, other.range_);
    return *this;
  }
  [[nodiscard]] std::byte* base() const { return range_.base; }

 private:
  memory::Arena* arena_ = nullptr;
  memory::Range range_;
};

// Waits until the stream has done, or given up, everything that was put on it, however a pass ends:
// what the work reads lives no longer than the pass, and a failure must not be found by the next
// one.
class Drain {
 public:
  explicit Drain(platform::Stream& stream) : stream_(&stream) {}
  ~Drain() {
    if (stream_ != nullptr) static_cast<void>(stream_->Synchronize());
  }
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  [[nodiscard]] Status Finish() { return std::exchange(stream_, nullptr)->Synchronize(); }

 private:
  platform::Stream* stream_;
};

// log(sum(exp)) of a row whose logits arrive in pieces, in ascending order.
class LogSumExp {
 public:
  void Add(std::span<const float> logits) {
    for (const float logit : logits) {
      if (logit > max_) {
        sum_ *= std::exp(static_cast<double>(max_) - logit);
        max_ = logit;
      }
      sum_ += std::exp(static_cast<double>(logit) - max_);
    }
  }
  [[nodiscard]] double value() const { return max_ + std::log(sum_); }

 private:
  float max_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;
};

}  // namespace

struct Model::Impl {
  Impl(const Host& model_host, format::ModelFile model_file)
      : host(model_host), file(std::move(model_file)) {}

  [[nodiscard]] Status Load(const LoadOptions& options);
  [[nodiscard]] Status MakeAndPromisePlan(PlanRequest request, uint64_t embedding_row_bytes);
  [[nodiscard]] Status MakePages(const PlanRequest& request);
  [[nodiscard]] Status CheckSlices(std::span<const Slice> slices) const;
  // Runs all layers; the residual stream is then in the workspace.
  [[nodiscard]] Status RunLayers(std::span<const Slice> slices, bool with_head,
                                 const std::function<bool()>& cancelled, Step* step);
  [[nodiscard]] Status Embed(std::span<const Slice> slices, const Step& step);
  [[nodiscard]] Status FillRope(std::span<const Slice> slices, Step* step);
  // Norms `count` rows of the residual stream into rows [to, to + count) of the head's input.
  [[nodiscard]] Status NormForHead(const memory::Lease& norm, const float* rows, int32_t count,
                                   int32_t to, kernels::Activations* out);
  [[nodiscard]] Status RunHead(std::span<const Slice> slices,
                               const std::function<bool()>& cancelled);
  [[nodiscard]] Status ScoreRegion(memory::RegionIndex region, const kernels::Activations& x,
                                   std::span<const int32_t> targets, std::span<LogSumExp> sums,
                                   std::span<double> target_logits);
  [[nodiscard]] Backend backend(const std::function<bool()>* cancelled = nullptr) {
    return {host.ops, *stream, *store, cancelled};
  }

  template <typename T>
  [[nodiscard]] T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(memory.base() + offset);
  }

  Host host;
  format::ModelFile file;
  Description description;
  ModelLayout layout;
  Plan plan;
  std::unique_ptr<memory::Promise> load_promise;  // all of the plan but its KV, until it is loaded
  std::unique_ptr<memory::Promise> kv_promise;    // for as long as the model lives
  memory::Holding bounce;
  memory::Holding tables;
  std::unique_ptr<kv::PagePool> pages;
  std::unique_ptr<memory::RegionStore> store;
  std::unique_ptr<platform::Stream> stream;
  std::unique_ptr<WorkspaceLayout> workspace;
  WorkspaceMemory memory;
  std::unique_ptr<RowGather> embedding;
  std::unique_ptr<Decoder> decoder;
  std::vector<std::vector<double>> rope_frequencies;
  std::vector<memory::RegionIndex> pass_order;  // every region, the head's last
  uint32_t first_head_region = 0;
};

Host CpuHost(platform::Device& device, memory::Arena& arena, memory::TransferEngine& transfer) {
  return {device, arena, transfer, kernels::CpuOps()};
}

Model::Model() = default;
Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::Load(const Host& host, format::ModelFile file,
                                           const LoadOptions& options) {
  auto model = std::unique_ptr<Model>(new Model);
  model->impl_ = std::make_unique<Impl>(host, std::move(file));
  MIRAGE_TRY(model->impl_->Load(options));
  return model;
}

// Others take from the ledger meanwhile, and another load may plan with the same bytes: a plan
// whose bytes are gone when it asks for them is made again with what is left.
Status Model::Impl::MakeAndPromisePlan(PlanRequest request, uint64_t embedding_row_bytes) {
  constexpr int kTries = 64;
  memory::Ledger& ledger = host.arena.ledger();
  for (int attempt = 1;; ++attempt) {
    request.limit_bytes = ledger.available();
    MIRAGE_TRY_ASSIGN(plan, MakePlan(description, layout, embedding_row_bytes, request));
    auto promised = memory::Promise::Make(ledger, plan.total, "the model");
    if (!promised && attempt < kTries) continue;
    MIRAGE_TRY_ASSIGN(load_promise, std::move(promised));
    kv_promise = load_promise->Split(plan.kv);
    return {};
  }
}

// With little address space left there are addresses for the plan's KV at least.
Status Model::Impl::MakePages(const PlanRequest& request) {
  uint64_t bytes = KvAddressBytes(request, plan.kv);
  for (;;) {
    auto made = kv::PagePool::Create(host.arena, description.config.CacheGeometry(request.kv_type),
                                     bytes, kv_promise.get());
    if (made || bytes == plan.kv) {
      MIRAGE_TRY_ASSIGN(pages, std::move(made));
      return {};
    }
    bytes = std::max(plan.kv, bytes / 2);
  }
}

Status Model::Impl::Load(const LoadOptions& options) {
  memory::Ledger& ledger = host.arena.ledger();
  MIRAGE_TRY_ASSIGN(const int64_t context, SessionContext(file, options.plan.context));
  MIRAGE_TRY_ASSIGN(description, Describe(file, context));
  const Config& config = description.config;
  MIRAGE_TRY_ASSIGN(layout, MakeLayout(file, description.map, options.model_number));

  const TensorSlice& table = description.map.embedding;
  const format::TensorInfo& table_tensor = file.tensors()[table.tensor];
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes,
                    tensor::RowBytes(table_tensor.dtype, config.embedding));
  PlanRequest request = options.plan;
  request.chunk_bytes = host.arena.chunk_bytes();
  MIRAGE_TRY(MakeAndPromisePlan(request, row_bytes));

  // LongRoPE's factors go by the context there really is.
  if (plan.context != context) {
    MIRAGE_TRY_ASSIGN(description, Describe(file, plan.context));
  }

  workspace = std::make_unique<WorkspaceLayout>(
      config, WorkspaceSize{plan.step_tokens, plan.logit_rows, plan.context, row_bytes,
                            layout.head_block_rows()});
  MIRAGE_TRY_ASSIGN(memory,
                    WorkspaceMemory::Make(host.arena, workspace->total, load_promise.get()));
  MIRAGE_TRY_ASSIGN(bounce,
                    memory::Holding::Take(ledger, memory::Owner::kSlots,
                                          WeightSource::BounceBytes(layout) *
                                              static_cast<uint64_t>(request.transfer_workers),
                                          "bounce buffers", load_promise.get()));
  MIRAGE_TRY_ASSIGN(
      tables,
      memory::Holding::Take(ledger, memory::Owner::kTables,
                            plan.tables - memory::RegionStore::TableBytes(layout.regions.size()),
                            "the vocabulary and the model's tables", load_promise.get()));
  embedding = std::make_unique<RowGather>(file, table, row_bytes);

  MIRAGE_TRY(MakePages(request));
  MIRAGE_TRY_ASSIGN(stream, host.device.CreateStream());
  decoder = std::make_unique<Decoder>(config, layout, *workspace, *pages);
  for (const RopeConfig& rope : config.ropes) rope_frequencies.push_back(RopeFrequencies(rope));

  std::vector<memory::RegionInfo> infos;
  for (const Region& region : layout.regions) {
    pass_order.push_back(static_cast<memory::RegionIndex>(infos.size()));
    infos.push_back(region.info);
  }
  first_head_region = layout.output_norm_region;
  MIRAGE_TRY_ASSIGN(store,
                    memory::RegionStore::Create(
                        host.arena, host.transfer, host.device.clock(), infos,
                        std::make_shared<WeightSource>(file, layout),
                        {.slots = plan.slots, .mapped = false, .promise = load_promise.get()}));
  MIRAGE_TRY(store->Load(
      plan.resident,
      options.progress ? options.progress : [](uint64_t, uint64_t) { return true; }));
  load_promise->End();
  return {};
}

Status Model::Impl::CheckSlices(std::span<const Slice> slices) const {
  int64_t tokens = 0;
  int64_t rows = 0;
  for (const Slice& slice : slices) {
    tokens += static_cast<int64_t>(slice.tokens.size());
    rows += slice.logit_rows;
    if (slice.logit_rows < 0 || slice.logit_rows > static_cast<int32_t>(slice.tokens.size()))
      return Fail(Code::kInternal, std::to_string(slice.logit_rows) + " rows of logits of " +
                                       std::to_string(slice.tokens.size()) + " tokens");
    for (const int32_t token : slice.tokens)
      if (token < 0 || token >= description.config.vocabulary)
        return Fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                                " is outside the vocabulary of " +
                                                std::to_string(description.config.vocabulary));
  }
  if (tokens < 1 || tokens > plan.step_tokens)
    return Fail(Code::kInternal, "a pass over " + std::to_string(tokens) +
                                     " tokens; planned for at most " +
                                     std::to_string(plan.step_tokens));
  if (rows > plan.logit_rows)
    return Fail(Code::kInternal, "a pass with " + std::to_string(rows) +
                                     " rows of logits; planned for at most " +
                                     std::to_string(plan.logit_rows));
  return {};
}

Status Model::Forward(std::span<const Slice> slices, const std::function<bool()>& cancelled) {
  Impl& impl = *impl_;
  const bool with_head =
      std::any_of(slices.begin(), slices.end(), [](const Slice& s) { return s.logit_rows > 0; });
  Step step;
  Drain drain(*impl.stream);
  MIRAGE_TRY(impl.RunLayers(slices, with_head, cancelled, &step));
  if (with_head) MIRAGE_TRY(impl.RunHead(slices, cancelled));
  return drain.Finish();
}

std::span<float> Model::Logits(int32_t index) {
  const auto vocabulary = static_cast<size_t>(impl_->description.config.vocabulary);
  return {impl_->At<float>(impl_->workspace->logits) + static_cast<size_t>(index) * vocabulary,
          vocabulary};
}

Status Model::Impl::RunLayers(std::span<const Slice> slices, bool with_head,
                              const std::function<bool()>& cancelled, Step* step) {
  MIRAGE_TRY(CheckSlices(slices));
  store->Announce(std::span(pass_order).first(with_head ? pass_order.size() : first_head_region));

  step->workspace = memory.base();
  step->views.resize(pages->geometry().size());
  for (const Slice& slice : slices) {
    const auto tokens = static_cast<int32_t>(slice.tokens.size());
    for (size_t group = 0; group < step->views.size(); ++group)
      step->views[group].push_back(slice.cache->View(group, step->tokens, tokens));
    step->tokens += tokens;
  }
  MIRAGE_TRY(FillRope(slices, step));
  MIRAGE_TRY(Embed(slices, *step));
  for (int32_t layer = 0; layer < static_cast<int32_t>(description.config.layers.size()); ++layer) {
    MIRAGE_TRY(decoder->RunLayer(backend(&cancelled), layer, *step));
  }
  return {};
}

Status Model::Impl::Embed(std::span<const Slice> slices, const Step& step) {
  const TensorSlice& table = description.map.embedding;
  std::byte* rows = At<std::byte>(workspace->gathered);
  for (const Slice& slice : slices) {
    MIRAGE_TRY(embedding->Gather(slice.tokens, rows));
    rows += slice.tokens.size() * embedding->row_bytes();
  }
  return host.ops.dequantize_rows(
      *stream, {At<std::byte>(workspace->gathered), file.tensors()[table.tensor].dtype,
                At<float>(workspace->hidden), step.tokens, description.config.embedding,
                description.config.embedding_scale});
}

Status Model::Impl::FillRope(std::span<const Slice> slices, Step* step) {
  std::vector<int64_t> positions;
  positions.reserve(static_cast<size_t>(step->tokens));
  for (const Slice& slice : slices)
    for (size_t i = 0; i < slice.tokens.size(); ++i)
      positions.push_back(slice.cache->length() + static_cast<int64_t>(i));

  float* next = At<float>(workspace->rope);
  for (size_t i = 0; i < rope_frequencies.size(); ++i) {
    const size_t values = positions.size() * rope_frequencies[i].size();
    step->rope_cos.push_back(next);
    step->rope_sin.push_back(next + values);
    FillRopeTable(description.config.ropes[i], rope_frequencies[i], positions, next, next + values);
    next += 2 * values;
  }
  return {};
}

Status Model::Impl::NormForHead(const memory::Lease& norm, const float* rows, int32_t count,
                                int32_t to, kernels::Activations* out) {
  const int64_t width = description.config.embedding;
  float* floats = At<float>(workspace->normed);
  kernels::ActBlock* blocks = At<kernels::ActBlock>(workspace->quantized);
  MIRAGE_TRY(NormInto(backend(), layout.head, rows, reinterpret_cast<const float*>(norm.data()),
                      count, description.config.embedding, description.config.norm_epsilon,
                      floats + to * width, blocks + to * (width / kernels::kBlock), out));
  if (out->f32 != nullptr) out->f32 = floats;
  if (out->q8 != nullptr) out->q8 = blocks;
  return {};
}

Status Model::Impl::RunHead(std::span<const Slice> slices, const std::function<bool()>& cancelled) {
  const Config& config = description.config;
  int32_t rows = 0;
  int64_t end = 0;
  kernels::Activations x{};
  {
    // One lease for all rows: given back in between, its slot would go to a block of the head.
    MIRAGE_TRY_ASSIGN(const memory::Lease norm, store->Acquire(layout.output_norm_region, *stream));
    for (const Slice& slice : slices) {
      end += static_cast<int64_t>(slice.tokens.size());
      if (slice.logit_rows == 0) continue;
      const float* first =
          At<float>(workspace->hidden) + (end - slice.logit_rows) * config.embedding;
      MIRAGE_TRY(NormForHead(norm, first, slice.logit_rows, rows, &x));
      rows += slice.logit_rows;
    }
  }
  float* logits = At<float>(workspace->logits);
  const LinearOutput head[] = {{logits, config.vocabulary, nullptr}};
  MIRAGE_TRY(Linear(backend(&cancelled), layout.head, layout, x, rows, head));
  if (config.final_softcap > 0)
    MIRAGE_TRY(host.ops.softcap(*stream,
                                {logits, int64_t{rows} * config.vocabulary, config.final_softcap}));
  return {};
}

Status Model::Score(const Slice& slice, int64_t first, std::span<const int32_t> targets,
                    std::span<double> logprobs, const std::function<bool()>& cancelled) {
  Impl& impl = *impl_;
  if (first < 0 ||
      first + static_cast<int64_t>(targets.size()) > static_cast<int64_t>(slice.tokens.size()) ||
      logprobs.size() != targets.size())
    return Fail(Code::kInternal, "scoring wants one token and one result per target");
  for (const int32_t target : targets)
    if (target < 0 || target >= impl.description.config.vocabulary)
      return Fail(Code::kInvalidArgument,
                  "token " + std::to_string(target) + " is outside the vocabulary");
  Step step;
  std::vector<LogSumExp> sums(targets.size());
  Drain drain(*impl.stream);
  MIRAGE_TRY(impl.RunLayers({&slice, 1}, !targets.empty(), cancelled, &step));
  if (targets.empty()) return drain.Finish();

  kernels::Activations x{};
  {
    MIRAGE_TRY_ASSIGN(const memory::Lease norm,
                      impl.store->Acquire(impl.layout.output_norm_region, *impl.stream));
    const int64_t width = impl.description.config.embedding;
    MIRAGE_TRY(impl.NormForHead(norm, impl.At<float>(impl.workspace->hidden) + first * width,
                                static_cast<int32_t>(targets.size()), 0, &x));
  }
  for (uint32_t i = 0; i < impl.layout.head.region_count; ++i) {
    if (cancelled && cancelled()) return Fail(Code::kCancelled, "scoring was cancelled");
    MIRAGE_TRY(impl.ScoreRegion(impl.layout.head.first_region + i, x, targets, sums, logprobs));
  }
  MIRAGE_TRY(drain.Finish());
  for (size_t i = 0; i < sums.size(); ++i) {
    logprobs[i] -= sums[i].value();
    if (!std::isfinite(logprobs[i]))
      return Fail(Code::kCorrupt,
                  "the model gives logits that are not numbers at position " +
                      std::to_string(slice.cache->length() + first + static_cast<int64_t>(i)));
  }
  return {};
}

// Adds one block of the head to every row's sum, and takes the targets' logits that lie in it.
Status Model::Impl::ScoreRegion(memory::RegionIndex region, const kernels::Activations& x,
                                std::span<const int32_t> targets, std::span<LogSumExp> sums,
                                std::span<double> target_logits) {
  const Config& config = description.config;
  const Piece& piece = layout.regions[region].pieces[0];
  const int64_t rows = piece.source.rows;
  float* logits = At<float>(workspace->logits);  // [kScoreRows, rows]
  MIRAGE_TRY_ASSIGN(const memory::Lease lease, store->Acquire(region, *stream));
  const kernels::WeightView block{layout.head.dtypes[0],
                                  config.embedding,
                                  1,
                                  {{lease.data() + piece.offset, 0, static_cast<int32_t>(rows)}}};

  for (size_t done = 0; done < targets.size(); done += kScoreRows) {
    const auto count = static_cast<int32_t>(std::min<size_t>(kScoreRows, targets.size() - done));
    const auto offset = static_cast<int64_t>(done) * config.embedding;
    kernels::MatMulArgs args{};
    args.x = {x.f32 != nullptr ? x.f32 + offset : nullptr,
              x.q8 != nullptr ? x.q8 + offset / kernels::kBlock : nullptr};
    args.tokens = count;
    args.output_count = 1;
    args.outputs[0] = {block, nullptr, logits, rows};
    MIRAGE_TRY(host.ops.matmul(*stream, args));
    if (config.final_softcap > 0)
      MIRAGE_TRY(host.ops.softcap(*stream, {logits, int64_t{count} * rows, config.final_softcap}));
    MIRAGE_TRY(stream->Synchronize());
    for (int32_t m = 0; m < count; ++m) {
      const std::span<const float> scores(logits + int64_t{m} * rows, static_cast<size_t>(rows));
      const size_t index = done + static_cast<size_t>(m);
      sums[index].Add(scores);
      const int64_t target = targets[index] - piece.row0;
      if (target >= 0 && target < rows) target_logits[index] = scores[static_cast<size_t>(target)];
    }
  }
  return {};
}

const Config& Model::config() const { return impl_->description.config; }
const Plan& Model::plan() const { return impl_->plan; }
uint64_t Model::committed_bytes() const {
  return impl_->plan.total - impl_->plan.kv + impl_->kv_promise->committed();
}
const format::ModelFile& Model::file() const { return impl_->file; }
kv::PagePool& Model::pages() { return *impl_->pages; }
memory::RegionStore& Model::regions() { return *impl_->store; }

}  // namespace mirage::model
