// SPDX-License-Identifier: Apache-2.0

// mirage_session: saving and restoring.

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/session_options.h"
#include "platform/file.h"
#include "platform/output_file.h"

namespace mirage::abi {
namespace {

Status SaveTo(session::Session& session, const char* path) {
  MIRAGE_TRY_ASSIGN(platform::OutputFile file, platform::OutputFile::Create(path));
  MIRAGE_TRY(session.Save([&](std::span<const std::byte> bytes) { return file.Write(bytes); }));
  return file.Commit();
}

Status SaveTo(session::Session& session, std::span<std::byte> memory, uint64_t* bytes) {
  MIRAGE_TRY_ASSIGN(*bytes, session.SavedBytes());
  if (memory.empty()) return {};
  if (memory.size() < *bytes)
    return Fail(Code::kInvalidArgument, "room for " + std::to_string(memory.size()) + " of " +
                                            std::to_string(*bytes) + " bytes");
  std::byte* next = memory.data();
  return session.Save([&](std::span<const std::byte> piece) -> Status {
    std::memcpy(next, piece.data(), piece.size());
    next += piece.size();
    return {};
  });
}

Status Restore(mirage_model* model, const mirage_session_options* options, const ByteSource& source,
               mirage_session** out) {
  MIRAGE_TRY_ASSIGN(session::SessionOptions given, ReadSessionOptions(options));
  auto handle = std::make_unique<mirage_session>();
  MIRAGE_TRY_ASSIGN(handle->session,
                    session::Session::Restore(model->model, std::move(given), source));
  *out = handle.release();
  return {};
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

mirage_status mirage_session_save(mirage_session* session, const char* path, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckPointer(path, "path"));
    return SaveTo(*session->session, path);
  });
}

mirage_status mirage_session_save_memory(mirage_session* session, void* data, uint64_t capacity,
                                         uint64_t* bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckPointer(bytes, "bytes"));
    MIRAGE_TRY(CheckSpan(data, capacity, "data"));
    return SaveTo(*session->session, {static_cast<std::byte*>(data), capacity}, bytes);
  });
}

mirage_status mirage_session_restore(mirage_model* model, const char* path,
                                     const mirage_session_options* options, mirage_session** out,
                                     mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckPointer(path, "path"));
    MIRAGE_TRY_ASSIGN(const std::unique_ptr<platform::File> file, platform::File::Open(path));
    return Restore(model, options, *file, out);
  });
}

mirage_status mirage_session_restore_memory(mirage_model* model, const void* data, uint64_t bytes,
                                            const mirage_session_options* options,
                                            mirage_session** out, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckSpan(data, bytes, "data"));
    const MemorySource source({static_cast<const std::byte*>(data), bytes});
    return Restore(model, options, source, out);
  });
}

}  // extern "C"
