// SPDX-License-Identifier: Apache-2.0

// Version, features and the names of statuses.

#include <string_view>

#include "base/result.h"
#include "mirage/mirage.h"

namespace {

#define MIRAGE_TEXT_INNER(x) #x
#define MIRAGE_TEXT(x) MIRAGE_TEXT_INNER(x)
constexpr const char* kVersion = MIRAGE_TEXT(MIRAGE_VERSION_MAJOR) "." MIRAGE_TEXT(
    MIRAGE_VERSION_MINOR) "." MIRAGE_TEXT(MIRAGE_VERSION_PATCH);

constexpr std::string_view kFeatures[] = {
    "gguf",
    "split-files",
    "chat-template",
    "external-sampler",
    "logprobs",
    "score",
    "plan",
    "memory-limit",
    "allocator",
    "saved-sessions",
    "fork",
    "prefix-sharing",
    "draft-tokens",
    "draft-model",
    "grammar-check",
    "grammar",
    "trace",
    "samples",
    "overflow",
    "echo",
    "prompt-logprobs",
    "tool-calls",
    "embed",
    "score-choices",
    "classify",
    "lora",
    "infill",
    "pack",
    "policy",
};

struct StatusRow {
  mirage_status status;
  mirage::Code code;
  const char* name;
};

constexpr StatusRow kStatuses[] = {
    {MIRAGE_OK, mirage::Code::kOk, "OK"},
    {MIRAGE_INVALID_ARGUMENT, mirage::Code::kInvalidArgument, "INVALID_ARGUMENT"},
    {MIRAGE_UNSUPPORTED, mirage::Code::kUnsupported, "UNSUPPORTED"},
    {MIRAGE_NOT_FOUND, mirage::Code::kNotFound, "NOT_FOUND"},
    {MIRAGE_IO, mirage::Code::kIo, "IO"},
    {MIRAGE_CORRUPT, mirage::Code::kCorrupt, "CORRUPT"},
    {MIRAGE_REFUSED, mirage::Code::kRefused, "REFUSED"},
    {MIRAGE_OUT_OF_MEMORY, mirage::Code::kOutOfMemory, "OUT_OF_MEMORY"},
    {MIRAGE_CONTEXT_FULL, mirage::Code::kContextFull, "CONTEXT_FULL"},
    {MIRAGE_CANCELLED, mirage::Code::kCancelled, "CANCELLED"},
    {MIRAGE_TIMEOUT, mirage::Code::kTimeout, "TIMEOUT"},
    {MIRAGE_DEADLINE, mirage::Code::kDeadline, "DEADLINE"},
    {MIRAGE_BUSY, mirage::Code::kBusy, "BUSY"},
    {MIRAGE_CLOSED, mirage::Code::kClosed, "CLOSED"},
    {MIRAGE_WOULD_DEADLOCK, mirage::Code::kWouldDeadlock, "WOULD_DEADLOCK"},
    {MIRAGE_FORKED, mirage::Code::kForked, "FORKED"},
    {MIRAGE_DEVICE, mirage::Code::kDevice, "DEVICE"},
    {MIRAGE_INTERNAL, mirage::Code::kInternal, "INTERNAL"},
};

constexpr bool NumbersAgree() {
  for (const StatusRow& row : kStatuses)
    if (row.status != static_cast<mirage_status>(row.code)) return false;
  return true;
}
static_assert(NumbersAgree(), "mirage_status and mirage::Code have the same numbers");

}  // namespace

extern "C" {

uint32_t mirage_abi_version(void) { return MIRAGE_ABI_VERSION; }

const char* mirage_version_string(void) { return kVersion; }

int32_t mirage_has_feature(const char* name) {
  if (name == nullptr) return 0;
  for (const std::string_view feature : kFeatures)
    if (feature == name) return 1;
  return 0;
}

const char* mirage_status_name(mirage_status status) {
  for (const StatusRow& row : kStatuses)
    if (row.status == status) return row.name;
  return "UNKNOWN";
}

}  // extern "C"
