// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/file_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "memory/arena_block.h"
#include "model/layers/decoder.h"
#include "model/layers/rope_table.h"
#include "model/row_score.h"
#include "model/weight_source.h"
#include "model/workspace.h"

namespace mirage::model {

namespace {

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

bool AnyAdapted(std::span<const Slice> slices) {
  return std::any_of(slices.begin(), slices.end(),
                     [](const Slice& slice) { return slice.adapters != nullptr; });
}

}  // namespace

struct Model::Impl {
  Impl(const Host& model_host, format::ModelFile model_file)
      : host(model_host), file(std::move(model_file)) {}

  [[nodiscard]] Status Load(const LoadOptions& options);
  [[nodiscard]] Status MakeAndPromisePlan(PlanRequest request, uint64_t embedding_row_bytes);
  [[nodiscard]] Status MakePages(const PlanRequest& request);
  [[nodiscard]] Status CheckTokens(std::span<const int32_t> tokens) const;
  [[nodiscard]] Status CheckScores(const Slice& slice) const;
  [[nodiscard]] Status CheckSlices(std::span<const Slice> slices) const;
  // What a pass is for besides keys and values.
  struct Wanted {
    bool logits = false;
    bool scores = false;
    bool hidden = false;
  };
  [[nodiscard]] static Wanted WantedOf(std::span<const Slice> slices);
  void Announce(const Wanted& wanted);
  // Runs all layers; the residual stream is then in the workspace.
  [[nodiscard]] Status RunLayers(std::span<const Slice> slices,
                                 const std::function<bool()>& cancelled, Step* step);
  [[nodiscard]] Status Embed(std::span<const Slice> slices, const Step& step);
  [[nodiscard]] Status FillRope(std::span<const Slice> slices, Step* step);
  // Norms `count` rows of the residual stream into rows [to, to + count) of the head's input.
  [[nodiscard]] Status NormForHead(const memory::Lease& norm, bool adapted, const float* rows,
                                   int32_t count, int32_t to, kernels::Activations* out);
  [[nodiscard]] Status RunHead(std::span<const Slice> slices,
                               const std::function<bool()>& cancelled);
  [[nodiscard]] Status RunHidden(std::span<const Slice> slices);
  [[nodiscard]] Status RunScores(std::span<const Slice> slices,
                                 const std::function<bool()>& cancelled);
  [[nodiscard]] Status ScoreRegion(memory::RegionIndex region, const kernels::Activations& x,
                                   const Backend& with, std::span<const AdaptedRows> adapted,
                                   std::span<RowScore> rows);
  [[nodiscard]] Backend backend(const std::function<bool()>* cancelled = nullptr) {
    return {host.ops, *stream, *store, cancelled};
  }

  [[nodiscard]] AdapterBase adapter_base() const {
    return {file, description.map, layout, host.arena, adapter_promise.get(), plan.step_tokens};
  }

  template <typename T>
  [[nodiscard]] T* At(uint64_t offset) const {
    return BufferAt<T>(memory.base(), offset);
  }

  Host host;
  format::ModelFile file;
  Description description;
  ModelLayout layout;
  Plan plan;
  std::unique_ptr<memory::Promise> load_promise;  // the rest of the plan, until it is loaded
  std::unique_ptr<memory::Promise> kv_promise;    // for as long as the model lives, as the next
  std::unique_ptr<memory::Promise> session_promise;
  std::unique_ptr<memory::Promise> adapter_promise;
  memory::Holding scratch;
  memory::Holding tables;
  std::unique_ptr<kv::PagePool> pages;
  std::unique_ptr<memory::RegionStore> store;
  std::unique_ptr<platform::Stream> stream;
  std::unique_ptr<WorkspaceLayout> workspace;
  memory::ArenaBlock memory;
  std::unique_ptr<RowGather> embedding;
  std::unique_ptr<Decoder> decoder;
  std::vector<std::vector<double>> rope_frequencies;
  // What every pass needs: all regions but those of experts, the head's last.
  std::vector<memory::RegionIndex> pass_order;
  size_t head_begin = 0;  // in pass_order, with the norm before the head
};

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
    session_promise = load_promise->Split(plan.sessions);
    adapter_promise = load_promise->Split(plan.adapters);
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
  MIRAGE_TRY_ASSIGN(
      memory, memory::ArenaBlock::Make(host.arena, workspace->total, memory::Owner::kWorkspace,
                                       load_promise.get()));
  MIRAGE_TRY_ASSIGN(scratch,
                    memory::Holding::Take(ledger, memory::Owner::kSlots,
                                          WeightSource::ScratchBytes(layout) *
                                              static_cast<uint64_t>(request.transfer_workers),
                                          "buffers to repack with", load_promise.get()));
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
  for (const Region& region : layout.regions) infos.push_back(region.info);
  pass_order = layout.NeededByEveryPass();
  head_begin = static_cast<size_t>(
      std::find(pass_order.begin(), pass_order.end(), layout.output_norm_region) -
      pass_order.begin());
  // Read in place while everything fits; under a limit regions come and go in the arena.
  const bool all_resident =
      std::find(plan.resident.begin(), plan.resident.end(), false) == plan.resident.end();
  const auto source = std::make_shared<WeightSource>(file, layout);
  MIRAGE_TRY(source->CheckUnfilled(table.tensor, plan.resident));
  MIRAGE_TRY_ASSIGN(store, memory::RegionStore::Create(host.arena, host.transfer,
                                                       host.device.clock(), infos, source,
                                                       {.slots = plan.slots,
                                                        .mapped = layout.stored && all_resident,
                                                        .promise = load_promise.get()}));
  // A model that fits is read once, maybe from the system's cache, where it may stay for others.
  if (!all_resident) source->Use(options.caching);
  MIRAGE_TRY(store->Load(
      plan.resident,
      options.progress ? options.progress : [](uint64_t, uint64_t) { return true; }));
  source->Use(options.caching);
  load_promise->End();
  return {};
}

Status Model::Impl::CheckTokens(std::span<const int32_t> tokens) const {
  for (const int32_t token : tokens)
    if (token < 0 || token >= description.config.vocabulary)
      return Fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(description.config.vocabulary));
  return {};
}

Status Model::Impl::CheckScores(const Slice& slice) const {
  const Scores& scores = slice.scores;
  const size_t targets = scores.targets.size();
  if (scores.first >= 0 &&
      scores.first + static_cast<int64_t>(targets) <= static_cast<int64_t>(slice.tokens.size()) &&
      scores.logprobs.size() == targets && scores.top_count >= 0 &&
      scores.top_count <= description.config.vocabulary &&
      scores.top.size() == targets * static_cast<size_t>(scores.top_count))
    return {};
  return Fail(Code::kInternal, "scoring wants one token and one result per target");
}

Result<std::shared_ptr<const Adapter>> Model::LoadAdapter(const format::ModelFile& file,
                                                          const AdapterProgress& progress) const {
  return Adapter::Load(impl_->adapter_base(), file, progress);
}

Result<uint64_t> Model::BytesToLoadAdapter(const format::ModelFile& file) const {
  return Adapter::BytesToLoad(impl_->adapter_base(), file);
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
    MIRAGE_TRY(CheckTokens(slice.tokens));
    MIRAGE_TRY(CheckTokens(slice.scores.targets));
    MIRAGE_TRY(CheckScores(slice));
    if (slice.hidden.first < 0 || slice.hidden.count < 0 ||
        slice.hidden.first + slice.hidden.count > static_cast<int64_t>(slice.tokens.size()))
      return Fail(Code::kInternal, std::to_string(slice.hidden.count) + " hidden states of " +
                                       std::to_string(slice.tokens.size()) + " tokens");
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
  const Impl::Wanted wanted = Impl::WantedOf(slices);
  Step step;
  Drain drain(*impl.stream);
  MIRAGE_TRY(impl.CheckSlices(slices));
  if (impl.store->any_mapped()) MIRAGE_TRY(impl.file.shards()[0]->CheckMapping());
  impl.Announce(wanted);
  int64_t tokens = 0;
  for (const Slice& slice : slices) tokens += static_cast<int64_t>(slice.tokens.size());
  impl.host.device.BeginPass(tokens);
  MIRAGE_TRY(impl.RunLayers(slices, cancelled, &step));
  // Scores first: they work where the logits will be.
  if (wanted.scores) MIRAGE_TRY(impl.RunScores(slices, cancelled));
  if (wanted.logits) MIRAGE_TRY(impl.RunHead(slices, cancelled));
  // Hidden states last: they stay where the head reads from.
  if (wanted.hidden) MIRAGE_TRY(impl.RunHidden(slices));
  return drain.Finish();
}

Model::Impl::Wanted Model::Impl::WantedOf(std::span<const Slice> slices) {
  Wanted wanted;
  for (const Slice& slice : slices) {
    wanted.logits |= slice.logit_rows > 0;
    wanted.scores |= !slice.scores.targets.empty();
    wanted.hidden |= slice.hidden.count > 0;
  }
  return wanted;
}

// The head, with the norm before it, comes once for scores and once for logits; hidden states need
// the norm alone.
void Model::Impl::Announce(const Wanted& wanted) {
  const std::span<const memory::RegionIndex> all(pass_order);
  const std::span<const memory::RegionIndex> layers = all.first(head_begin);
  const std::span<const memory::RegionIndex> head = all.subspan(head_begin);
  const int heads = (wanted.logits ? 1 : 0) + (wanted.scores ? 1 : 0);
  if (heads < 2 && !wanted.hidden) {
    store->Announce(heads == 1 ? all : layers);
    return;
  }
  std::vector<memory::RegionIndex> order(layers.begin(), layers.end());
  for (int i = 0; i < heads; ++i) order.insert(order.end(), head.begin(), head.end());
  if (wanted.hidden) order.push_back(layout.output_norm_region);
  store->Announce(order);
}

std::span<float> Model::Logits(int32_t index) {
  const auto vocabulary = static_cast<size_t>(impl_->description.config.vocabulary);
  return {impl_->At<float>(impl_->workspace->logits) + static_cast<size_t>(index) * vocabulary,
          vocabulary};
}

std::span<const float> Model::Hidden(int32_t index) const {
  const auto width = static_cast<size_t>(impl_->description.config.embedding);
  return {impl_->At<float>(impl_->workspace->normed) + static_cast<size_t>(index) * width, width};
}

Status Model::Impl::RunLayers(std::span<const Slice> slices, const std::function<bool()>& cancelled,
                              Step* step) {
  step->workspace = memory.base();
  step->views.resize(pages->geometry().size());
  for (const Slice& slice : slices) {
    const auto tokens = static_cast<int32_t>(slice.tokens.size());
    for (size_t group = 0; group < step->views.size(); ++group)
      step->views[group].push_back(slice.cache->View(group, step->tokens, tokens));
    AddRows(step->tokens, tokens, slice.adapters, &step->adapted);
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

Status Model::Impl::NormForHead(const memory::Lease& norm, bool adapted, const float* rows,
                                int32_t count, int32_t to, kernels::Activations* out) {
  const int64_t width = description.config.embedding;
  float* floats = At<float>(workspace->normed);
  kernels::ActBlock* blocks = At<kernels::ActBlock>(workspace->quantized);
  MIRAGE_TRY(NormInto(backend(), layout.head, adapted, rows,
                      reinterpret_cast<const float*>(norm.data()), count,
                      description.config.embedding, description.config.norm_epsilon,
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
  std::vector<AdaptedRows> adapted;
  {
    // One lease for all rows: given back in between, its slot would go to a block of the head.
    MIRAGE_TRY_ASSIGN(const memory::Lease norm, store->Acquire(layout.output_norm_region, *stream));
    for (const Slice& slice : slices) {
      end += static_cast<int64_t>(slice.tokens.size());
      if (slice.logit_rows == 0) continue;
      const float* first =
          At<float>(workspace->hidden) + (end - slice.logit_rows) * config.embedding;
      MIRAGE_TRY(NormForHead(norm, AnyAdapted(slices), first, slice.logit_rows, rows, &x));
      AddRows(rows, slice.logit_rows, slice.adapters, &adapted);
      rows += slice.logit_rows;
    }
  }
  float* logits = At<float>(workspace->logits);
  const LinearOutput head[] = {{logits, config.vocabulary, nullptr}};
  MIRAGE_TRY(Linear(backend(&cancelled), layout.head, layout, x, rows, head));
  MIRAGE_TRY(
      AddLowRank(backend(&cancelled), adapted, Projection::kHead, 0, layout.head, x.f32, head));
  if (config.final_softcap > 0)
    MIRAGE_TRY(host.ops.softcap(*stream,
                                {logits, int64_t{rows} * config.vocabulary, config.final_softcap}));
  return {};
}

Status Model::Impl::RunHidden(std::span<const Slice> slices) {
  const Config& config = description.config;
  const int32_t width = config.embedding;
  MIRAGE_TRY_ASSIGN(const memory::Lease norm, store->Acquire(layout.output_norm_region, *stream));
  const auto* const weight = reinterpret_cast<const float*>(norm.data());
  const float* tokens = At<float>(workspace->hidden);
  float* out = At<float>(workspace->normed);
  for (const Slice& slice : slices) {
    const HiddenRows& wanted = slice.hidden;
    if (wanted.count > 0)
      MIRAGE_TRY(
          host.ops.rms_norm(*stream, {tokens + wanted.first * width, weight, out, nullptr,
                                      wanted.count, width, width, width, config.norm_epsilon}));
    tokens += static_cast<int64_t>(slice.tokens.size()) * width;
    out += int64_t{wanted.count} * width;
  }
  return {};
}

Status Model::Impl::RunScores(std::span<const Slice> slices,
                              const std::function<bool()>& cancelled) {
  const int64_t width = description.config.embedding;
  std::vector<RowScore> rows;
  std::vector<AdaptedRows> adapted;
  kernels::Activations x{};
  {
    MIRAGE_TRY_ASSIGN(const memory::Lease norm, store->Acquire(layout.output_norm_region, *stream));
    const float* hidden = At<float>(workspace->hidden);
    for (const Slice& slice : slices) {
      const Scores& scores = slice.scores;
      const auto row = static_cast<int32_t>(rows.size());
      const auto count = static_cast<int32_t>(scores.targets.size());
      if (count > 0)
        MIRAGE_TRY(
            NormForHead(norm, AnyAdapted(slices), hidden + scores.first * width, count, row, &x));
      AddRows(row, count, slice.adapters, &adapted);
      for (const int32_t target : scores.targets) rows.emplace_back(target, scores.top_count);
      hidden += static_cast<int64_t>(slice.tokens.size()) * width;
    }
  }
  for (uint32_t i = 0; i < layout.head.region_count; ++i)
    MIRAGE_TRY(ScoreRegion(layout.head.first_region + i, x, backend(&cancelled), adapted, rows));

  const RowScore* row = rows.data();
  for (const Slice& slice : slices) {
    const Scores& scores = slice.scores;
    const auto top_count = static_cast<size_t>(scores.top_count);
    for (size_t i = 0; i < scores.targets.size(); ++i, ++row) {
      scores.logprobs[i] = row->logprob();
      if (std::isfinite(scores.logprobs[i]))
        row->WriteTop(scores.top.subspan(i * top_count, top_count));
    }
  }
  return {};
}

// Adds one block of the head to every row.
Status Model::Impl::ScoreRegion(memory::RegionIndex region, const kernels::Activations& x,
                                const Backend& with, std::span<const AdaptedRows> adapted,
                                std::span<RowScore> rows) {
  const Config& config = description.config;
  const Piece& piece = layout.regions[region].pieces[0];
  const int64_t tokens = piece.source.rows;      // of the vocabulary, in this block
  float* logits = At<float>(workspace->logits);  // [kScoreRows, tokens]
  MIRAGE_TRY_ASSIGN(const memory::Lease lease, store->Acquire(region, *stream));
  const kernels::WeightView block{layout.head.dtypes[0],
                                  config.embedding,
                                  1,
                                  {{lease.data() + piece.offset, 0, static_cast<int32_t>(tokens)}}};

  for (size_t done = 0; done < rows.size(); done += kScoreRows) {
    MIRAGE_TRY(with.CheckWanted());
    const auto count = static_cast<int32_t>(std::min<size_t>(kScoreRows, rows.size() - done));
    const auto offset = static_cast<int64_t>(done) * config.embedding;
    kernels::MatMulArgs args{};
    args.x = {x.f32 != nullptr ? x.f32 + offset : nullptr,
              x.q8 != nullptr ? x.q8 + offset / kernels::kBlock : nullptr};
    args.tokens = count;
    args.output_count = 1;
    args.outputs[0] = {block, nullptr, logits, tokens};
    MIRAGE_TRY(host.ops.matmul(*stream, args));
    const LinearOutput output[] = {{logits, tokens, nullptr}};
    MIRAGE_TRY(
        AddLowRank(with, RowsWithin(adapted, static_cast<int32_t>(done), count), Projection::kHead,
                   0, layout.head, args.x.f32, output,
                   RowBlock{static_cast<int32_t>(piece.row0), static_cast<int32_t>(tokens)}));
    if (config.final_softcap > 0)
      MIRAGE_TRY(
          host.ops.softcap(*stream, {logits, int64_t{count} * tokens, config.final_softcap}));
    MIRAGE_TRY(stream->Synchronize());
    for (int32_t m = 0; m < count; ++m)
      rows[done + static_cast<size_t>(m)].Add(
          static_cast<int32_t>(piece.row0),
          {logits + int64_t{m} * tokens, static_cast<size_t>(tokens)});
  }
  return {};
}

const Config& Model::config() const { return impl_->description.config; }
const Plan& Model::plan() const { return impl_->plan; }
uint64_t Model::committed_bytes() const {
  const Plan& plan = impl_->plan;
  return plan.total - plan.kv - plan.sessions - plan.adapters + impl_->kv_promise->committed() +
         impl_->session_promise->committed() + impl_->adapter_promise->committed();
}
memory::Promise& Model::session_promise() { return *impl_->session_promise; }
const memory::Promise& Model::adapter_promise() const { return *impl_->adapter_promise; }
const format::ModelFile& Model::file() const { return impl_->file; }
kv::PagePool& Model::pages() { return *impl_->pages; }
memory::RegionStore& Model::regions() { return *impl_->store; }
memory::WeightLender Model::MakeLender() {
  return {*impl_->store, impl_->host.arena.ledger(), impl_->host.transfer};
}

}  // namespace mirage::model
