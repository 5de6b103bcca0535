// SPDX-License-Identifier: Apache-2.0

// mirage_adapter.

#include <memory>
#include <utility>

#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "platform/file.h"

namespace mirage::abi {
namespace {

mirage_adapter_options DefaultAdapterOptions() {
  mirage_adapter_options options{};
  options.struct_size = sizeof options;
  return options;
}

Result<session::AdapterOptions> ReadAdapterOptions(const mirage_adapter_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_adapter_options options,
      ReadOptions(given, DefaultAdapterOptions(), kFirstAdapterOptions, "mirage_adapter_options"));
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_adapter_options"));
  session::AdapterOptions read;
  if (options.progress != nullptr)
    read.progress = [callback = options.progress, user_data = options.progress_user_data](
                        uint64_t done, uint64_t total) {
      return AbiCallProgress(callback, done, total, user_data) == 0;
    };
  return read;
}

Status CheckLoading(const mirage_model* model, mirage_adapter** out) {
  MIRAGE_TRY(PrepareOut(out));
  MIRAGE_TRY(CheckHandle(model, "model"));
  return CheckMayBlock("loading an adapter");
}

Result<mirage_adapter*> LoadAdapter(mirage_model* model, std::shared_ptr<const ByteSource> file,
                                    const mirage_adapter_options* options) {
  MIRAGE_TRY_ASSIGN(const session::AdapterOptions read, ReadAdapterOptions(options));
  auto handle = std::make_unique<mirage_adapter>();
  MIRAGE_TRY_ASSIGN(handle->adapter,
                    session::LoadedAdapter::Load(model->model, std::move(file), read));
  return handle.release();
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_adapter_options_init(mirage_adapter_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultAdapterOptions());
}

mirage_status mirage_adapter_load(mirage_model* model, const char* path,
                                  const mirage_adapter_options* options, mirage_adapter** out,
                                  mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckLoading(model, out));
    MIRAGE_TRY(CheckPointer(path, "path"));
    MIRAGE_TRY_ASSIGN(std::unique_ptr<platform::File> file, platform::File::Open(path));
    MIRAGE_TRY_ASSIGN(*out, LoadAdapter(model, std::move(file), options));
    return {};
  });
}

mirage_status mirage_adapter_load_memory(mirage_model* model, const void* data, uint64_t bytes,
                                         const mirage_adapter_options* options,
                                         mirage_adapter** out, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckLoading(model, out));
    MIRAGE_TRY(CheckPointer(data, "data"));
    auto memory =
        std::make_shared<const MemorySource>(std::span(static_cast<const std::byte*>(data), bytes));
    MIRAGE_TRY_ASSIGN(*out, LoadAdapter(model, std::move(memory), options));
    return {};
  });
}

void mirage_adapter_close(mirage_adapter* adapter) { CloseHandle(adapter); }

mirage_status mirage_adapter_get_info(const mirage_adapter* adapter, mirage_adapter_info* info,
                                      mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(adapter, "adapter"));
    const model::Adapter& loaded = *adapter->adapter->adapter();
    mirage_adapter_info filled{};
    filled.rank = loaded.rank();
    filled.name = adapter->adapter->name().c_str();
    filled.alpha = loaded.alpha();
    filled.matrices = loaded.matrices();
    filled.bytes = loaded.bytes();
    return WriteOut(info, filled, "info");
  });
}

}  // extern "C"
