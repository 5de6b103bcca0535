// SPDX-License-Identifier: Apache-2.0

// mirage_model: opening, what the file says, the plan.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "abi/answer_format.h"
#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/metadata.h"
#include "abi/model_parts.h"
#include "abi/structs.h"
#include "model/cpu_kernels.h"
#include "platform/file.h"
#include "platform/memory_budget.h"
#include "session/text_reading.h"

namespace mirage::abi {
namespace {

using Parts = ModelParts;

mirage_model_options DefaultModelOptions() {
  mirage_model_options options{};
  options.struct_size = sizeof options;
  options.sessions = 1;
  return options;
}

mirage_plan_options DefaultPlanOptions() {
  mirage_plan_options options{};
  options.struct_size = sizeof options;
  options.sessions = 1;
  return options;
}

Result<session::Capacity> ReadCapacity(int64_t context, int32_t sessions, int32_t kv_type,
                                       uint64_t adapter_bytes) {
  session::Capacity capacity;
  capacity.context = context;
  capacity.sessions = sessions == 0 ? 1 : sessions;
  capacity.adapter_bytes = adapter_bytes;
  switch (kv_type) {
    case MIRAGE_KV_DEFAULT:
    case MIRAGE_KV_F16:
      return capacity;
    case MIRAGE_KV_Q8_0:
      capacity.kv_type = session::KvType::kQ8_0;
      return capacity;
    case MIRAGE_KV_Q4_0:
      capacity.kv_type = session::KvType::kQ4_0;
      return capacity;
    default:
      return Fail(Code::kUnsupported,
                  "kv_type " + std::to_string(kv_type) +
                      ": this build keeps keys and values in F16, Q8_0 or Q4_0");
  }
}

Result<session::ModelOptions> ReadModelOptions(const mirage_model_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_model_options options,
      ReadOptions(given, DefaultModelOptions(), kFirstModelOptions, "mirage_model_options"));
  session::ModelOptions read;
  MIRAGE_TRY_ASSIGN(read.capacity, ReadCapacity(options.context, options.sessions, options.kv_type,
                                                options.adapter_bytes));
  switch (options.load) {
    case MIRAGE_LOAD_ALL:
      read.extent = session::Extent::kAll;
      break;
    case MIRAGE_LOAD_VOCABULARY:
      read.extent = session::Extent::kVocabulary;
      break;
    case MIRAGE_LOAD_METADATA:
      read.extent = session::Extent::kMetadata;
      break;
    default:
      return Fail(Code::kUnsupported,
                  "load is " + std::to_string(options.load) + "; 0 to 2 are known");
  }
  if (options.progress != nullptr)
    read.progress = [callback = options.progress, user_data = options.progress_user_data](
                        uint64_t done, uint64_t total) {
      return AbiCallProgress(callback, done, total, user_data) == 0;
    };
  return read;
}

Result<mirage_model*> OpenModel(mirage_runtime* runtime, Parts parts,
                                const mirage_model_options* options) {
  MIRAGE_TRY_ASSIGN(const session::ModelOptions read, ReadModelOptions(options));
  auto handle = std::make_unique<mirage_model>();
  MIRAGE_TRY_ASSIGN(handle->model,
                    session::LoadedModel::Open(runtime->runtime, std::move(parts), read));
  return handle.release();
}

Status CheckOpening(const mirage_runtime* runtime, mirage_model** out) {
  MIRAGE_TRY(PrepareOut(out));
  MIRAGE_TRY(CheckHandle(runtime, "runtime"));
  return CheckMayBlock("opening a model");
}

// The caller's memory, until nobody reads it any more. Nothing is released before Arm: a failed
// open gives the memory back by failing.
class BorrowedMemory final : public ByteSource {
 public:
  BorrowedMemory(const void* data, uint64_t bytes, mirage_release_callback release, void* user_data)
      : data_(data),
        source_(std::span(static_cast<const std::byte*>(data), bytes)),
        release_(release),
        user_data_(user_data) {}
  ~BorrowedMemory() override {
    if (armed_ && release_ != nullptr) AbiCallRelease(release_, data_, source_.bytes(), user_data_);
  }
  void Arm() const { armed_ = true; }

  [[nodiscard]] const std::string& name() const override { return source_.name(); }
  [[nodiscard]] uint64_t bytes() const override { return source_.bytes(); }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    return source_.ReadAt(offset, out);
  }
  [[nodiscard]] std::span<const std::byte> Mapping() const override { return source_.Mapping(); }

 private:
  const void* const data_;
  const MemorySource source_;
  const mirage_release_callback release_;
  void* const user_data_;
  mutable std::atomic<bool> armed_{false};
};

int32_t PublicKernel(model::KernelSpeed speed) {
  switch (speed) {
    case model::KernelSpeed::kNone:
      return MIRAGE_KERNEL_NONE;
    case model::KernelSpeed::kSlow:
      return MIRAGE_KERNEL_SLOW;
    case model::KernelSpeed::kFast:
      return MIRAGE_KERNEL_FAST;
  }
  return MIRAGE_KERNEL_NONE;
}

int64_t ParameterCount(const format::ModelFile& file) {
  int64_t elements = 0;
  for (const format::TensorInfo& tensor : file.tensors()) elements += tensor.shape.elements();
  return elements;
}

int32_t PublicPooling(const session::LoadedModel& model) {
  const Result<std::optional<session::Pooling>> own = session::OwnPooling(model);
  if (!own || !own->has_value()) return MIRAGE_POOLING_DEFAULT;
  switch (**own) {
    case session::Pooling::kNone:
      return MIRAGE_POOLING_NONE;
    case session::Pooling::kMean:
      return MIRAGE_POOLING_MEAN;
    case session::Pooling::kFirst:
      return MIRAGE_POOLING_CLS;
    case session::Pooling::kLast:
      break;
  }
  return MIRAGE_POOLING_LAST;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_model_options_init(mirage_model_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultModelOptions());
}

mirage_status mirage_model_open(mirage_runtime* runtime, const char* path,
                                const mirage_model_options* options, mirage_model** out,
                                mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckOpening(runtime, out));
    MIRAGE_TRY(CheckPointer(path, "path"));
    MIRAGE_TRY_ASSIGN(Parts parts, OpenModelParts(path));
    MIRAGE_TRY_ASSIGN(*out, OpenModel(runtime, std::move(parts), options));
    return {};
  });
}

mirage_status mirage_model_open_fd(mirage_runtime* runtime, int32_t fd,
                                   const mirage_model_options* options, mirage_model** out,
                                   mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckOpening(runtime, out));
    if (fd < 0) return Fail(Code::kInvalidArgument, "fd is " + std::to_string(fd));
    MIRAGE_TRY_ASSIGN(std::unique_ptr<platform::File> file,
                      platform::File::FromDescriptor(fd, "descriptor " + std::to_string(fd)));
    Parts parts;
    parts.push_back(std::move(file));
    MIRAGE_TRY_ASSIGN(*out, OpenModel(runtime, std::move(parts), options));
    return {};
  });
}

mirage_status mirage_model_open_memory(mirage_runtime* runtime, const void* data, uint64_t bytes,
                                       mirage_release_callback release, void* release_user_data,
                                       const mirage_model_options* options, mirage_model** out,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckOpening(runtime, out));
    MIRAGE_TRY(CheckPointer(data, "data"));
    const auto memory =
        std::make_shared<const BorrowedMemory>(data, bytes, release, release_user_data);
    MIRAGE_TRY_ASSIGN(*out, OpenModel(runtime, {memory}, options));
    memory->Arm();
    return {};
  });
}

void mirage_model_close(mirage_model* model) { CloseHandle(model); }

mirage_status mirage_model_get_info(const mirage_model* model, mirage_model_info* info,
                                    mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    const session::LoadedModel& loaded = *model->model;
    const format::ModelFile& file = loaded.file();
    const std::string prefix = loaded.architecture() + ".";
    mirage_model_info filled{};
    filled.load = static_cast<int32_t>(loaded.extent());
    filled.architecture = loaded.architecture().c_str();
    filled.name = loaded.name().c_str();
    for (const auto& part : file.shards()) filled.file_bytes += part->bytes();
    filled.parameters = static_cast<uint64_t>(ParameterCount(file));
    filled.metadata_count = file.metadata().entries().size();
    filled.tensor_count = file.tensors().size();
    MIRAGE_TRY_ASSIGN(filled.trained_context,
                      file.Locate(file.metadata().GetOr<int64_t>(prefix + "context_length", 0)));
    MIRAGE_TRY_ASSIGN(filled.layers,
                      file.Locate(file.metadata().GetOr<int32_t>(prefix + "block_count", 0)));
    MIRAGE_TRY_ASSIGN(filled.embedding,
                      file.Locate(file.metadata().GetOr<int32_t>(prefix + "embedding_length", 0)));
    filled.pooling = PublicPooling(loaded);
    filled.bos_token = -1;
    filled.eos_token = -1;
    if (loaded.runner() != nullptr) {
      filled.context = loaded.runner()->max_context();
      filled.classes = loaded.runner()->model().config().classifier.classes;
    }
    if (const text::Tokenizer* tokenizer = loaded.tokenizer().get()) {
      filled.vocabulary = static_cast<int32_t>(tokenizer->token_count());
      filled.bos_token = tokenizer->bos();
      filled.eos_token = tokenizer->eos();
      filled.adds_bos = tokenizer->adds_bos() ? 1 : 0;
      filled.has_chat_template = loaded.has_chat_template() ? 1 : 0;
      filled.answer_format = ShowAnswerFormat(loaded);
      filled.marks_reasoning = MarksReasoning(loaded.answer_format()) ? 1 : 0;
    }
    return WriteOut(info, filled, "info");
  });
}

mirage_status mirage_model_get_metadata(const mirage_model* model, uint64_t index,
                                        mirage_metadata* metadata, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    const format::Metadata& all = model->model->file().metadata();
    if (index >= all.entries().size())
      return Fail(Code::kNotFound, "metadata " + std::to_string(index) + " of " +
                                       std::to_string(all.entries().size()));
    MIRAGE_TRY_ASSIGN(const mirage_metadata filled, DescribeEntry(all, all.entries()[index]));
    return WriteOut(metadata, filled, "metadata");
  });
}

mirage_status mirage_model_find_metadata(const mirage_model* model, const char* key,
                                         mirage_metadata* metadata, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckPointer(key, "key"));
    const format::Metadata& all = model->model->file().metadata();
    MIRAGE_TRY_ASSIGN(const format::MetadataEntry* const entry, FindEntry(all, key));
    MIRAGE_TRY_ASSIGN(const mirage_metadata filled, DescribeEntry(all, *entry));
    return WriteOut(metadata, filled, "metadata");
  });
}

mirage_status mirage_model_read_metadata(const mirage_model* model, const char* key, char* text,
                                         size_t capacity, size_t* text_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckPointer(key, "key"));
    const format::Metadata& all = model->model->file().metadata();
    MIRAGE_TRY_ASSIGN(const format::MetadataEntry* const entry, FindEntry(all, key));
    MIRAGE_TRY_ASSIGN(const std::string value, ReadEntry(all, *entry));
    return WriteArray(value.data(), value.size(), text, capacity, text_bytes, "bytes");
  });
}

mirage_status mirage_model_get_tensor(const mirage_model* model, uint64_t index,
                                      mirage_tensor* tensor, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    const std::span<const format::TensorInfo> all = model->model->file().tensors();
    if (index >= all.size())
      return Fail(Code::kNotFound,
                  "tensor " + std::to_string(index) + " of " + std::to_string(all.size()));
    const format::TensorInfo& info = all[index];
    mirage_tensor filled{};
    filled.name = info.name.c_str();
    filled.type = tensor::Name(info.dtype).data();
    filled.dimensions = info.shape.rank();
    for (int axis = 0; axis < 4; ++axis)
      filled.shape[axis] = axis < info.shape.rank() ? static_cast<uint64_t>(info.shape[axis]) : 1;
    filled.bytes = info.extent.bytes;
    filled.offset = info.extent.offset;
    filled.file = info.extent.shard;
    filled.kernel = PublicKernel(model::KernelSpeedOf(info));
    return WriteOut(tensor, filled, "tensor");
  });
}

void mirage_plan_options_init(mirage_plan_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultPlanOptions());
}

mirage_status mirage_model_get_plan(const mirage_model* model, const mirage_plan_options* options,
                                    mirage_plan* plan, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY_ASSIGN(
        const mirage_plan_options given,
        ReadOptions(options, DefaultPlanOptions(), kFirstPlanOptions, "mirage_plan_options"));
    MIRAGE_TRY(CheckReserved(given.reserved, "mirage_plan_options"));
    MIRAGE_TRY_ASSIGN(
        const session::Capacity capacity,
        ReadCapacity(given.context, given.sessions, given.kv_type, given.adapter_bytes));
    const session::LoadedModel& loaded = *model->model;
    session::Runtime& runtime = loaded.runtime();
    const bool own_limit = given.memory_limit != 0;
    const uint64_t limit = own_limit ? given.memory_limit : runtime.memory_limit();
    const uint64_t room =
        own_limit ? limit - std::min(limit, platform::MemoryGuardBytes(limit)) : loaded.Room();
    MIRAGE_TRY_ASSIGN(const session::LoadedModel::Estimate estimate,
                      loaded.EstimatePlan(room, capacity));
    const model::Plan& made = estimate.plan;
    mirage_plan filled{};
    filled.fits = !estimate.fits ? 0 : made.streamed_bytes_per_pass > 0 ? 1 : 2;
    filled.limit_bytes = limit;
    filled.total_bytes = made.total;
    filled.weights_bytes = made.weights;
    filled.kv_bytes = made.kv;
    filled.slots_bytes = made.slot_bytes;
    filled.tables_bytes = made.tables;
    filled.workspace_bytes = made.workspace;
    filled.sessions_bytes = made.sessions;
    filled.adapters_bytes = made.adapters;
    filled.least_bytes =
        session::Runtime::LimitFor(made.least_bytes + (own_limit ? 0 : loaded.HeldByOthers()));
    filled.streamed_bytes_per_token = made.streamed_bytes_per_pass;
    filled.context = made.context;
    filled.active_bytes = made.active_bytes;
    return WriteOut(plan, filled, "plan");
  });
}

mirage_status mirage_model_get_stats(const mirage_model* model, mirage_model_stats* stats,
                                     mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    mirage_model_stats filled{};
    filled.load_s = model->model->load_seconds();
    if (model->model->runner() != nullptr) {
      const memory::StoreStats store = model->model->runner()->model().regions().Stats();
      filled.weights_bytes = store.bytes_total;
      filled.resident_bytes = store.bytes_resident;
      filled.mapped_bytes = store.bytes_mapped;
      filled.lent_bytes = store.bytes_lent;
      filled.streamed_bytes = store.bytes_streamed;
      filled.hidden_s = static_cast<double>(store.hidden_ns) * 1e-9;
      filled.unhidden_s = static_cast<double>(store.unhidden_ns) * 1e-9;
    }
    return WriteOut(stats, filled, "stats");
  });
}

}  // extern "C"
