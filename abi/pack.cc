// SPDX-License-Identifier: Apache-2.0

// mirage/tools.h: packing a model file.

#define MIRAGE_TOOLS_UNSTABLE
#include "model/pack.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/model_parts.h"
#include "abi/structs.h"
#include "format/open.h"
#include "format/shards.h"
#include "mirage/tools.h"
#include "platform/cpu.h"
#include "platform/file.h"
#include "platform/output_file.h"
#include "platform/thread_pool.h"

namespace mirage::abi {
namespace {

mirage_tools_pack_options DefaultPackOptions() {
  mirage_tools_pack_options options{};
  options.struct_size = sizeof options;
  return options;
}

Result<tensor::DType> ReadQuant(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const tensor::DTypeInfo& info : tensor::kDTypes)
    if (upper == info.name && model::CanPackAs(info.dtype)) return info.dtype;
  return Fail(Code::kUnsupported,
              "quant is '" + std::string(name) + "'; it can be F16, Q4_0, Q8_0, Q4_K or Q6_K");
}

Result<model::PackOptions> ReadPackOptions(const mirage_tools_pack_options& options) {
  model::PackOptions read;
  if (options.threads < 0 || options.threads > platform::kMostThreads)
    return Fail(Code::kInvalidArgument, "threads is " + std::to_string(options.threads));
  read.threads = options.threads > 0 ? options.threads : platform::UsableCores();
  if (options.quant != nullptr) {
    MIRAGE_TRY_ASSIGN(read.quant, ReadQuant(options.quant));
  }
  read.writer = std::string("mirage ") + mirage_version_string();
  return read;
}

// A file that is read is not written over: it may be the only one that holds the weights as they
// were, or one of several.
Status CheckOutput(const char* in, const char* out) {
  MIRAGE_TRY_ASSIGN(const std::vector<std::string> parts, format::ShardPaths(in));
  MIRAGE_TRY_ASSIGN(const std::vector<std::string> names, format::ShardPaths(out));
  if (names.size() > 1)
    return Fail(Code::kInvalidArgument,
                std::string(out) + ": a pack is one file, and that is the name of one of " +
                    std::to_string(names.size()));
  for (const std::string& part : parts)
    if (platform::SameFile(part, out))
      return Fail(Code::kInvalidArgument,
                  std::string(out) + " is a file that is read: give another name");
  return {};
}

Result<model::PackSummary> Pack(const char* in, const char* out, model::PackOptions options,
                                model::PackProgress* progress) {
  MIRAGE_TRY(CheckOutput(in, out));
  MIRAGE_TRY_ASSIGN(ModelParts parts, OpenModelParts(in));
  MIRAGE_TRY_ASSIGN(const format::ModelFile source, format::OpenModel(std::move(parts)));
  MIRAGE_TRY_ASSIGN(platform::OutputFile file,
                    platform::OutputFile::Create(out, platform::OutputFile::Readers::kAsUsual));
  options.reserve = [&](uint64_t bytes) { return file.Reserve(bytes); };
  Result<model::PackSummary> packed = model::WritePack(
      source, options,
      [&](uint64_t offset, std::span<const std::byte> bytes) {
        return file.WriteAt(offset, bytes);
      },
      progress);
  if (!packed) return Fail(source.Locate(std::move(packed).error()));
  // It is read again before it replaces anything.
  MIRAGE_TRY_ASSIGN(std::unique_ptr<platform::File> written, file.Reopen());
  MIRAGE_TRY_ASSIGN(const format::ModelFile pack, format::OpenModel({std::move(written)}));
  MIRAGE_TRY(model::CheckPack(pack, progress));
  MIRAGE_TRY(file.Commit());
  return packed;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_tools_pack_options_init(mirage_tools_pack_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultPackOptions());
}

mirage_status mirage_tools_pack(const char* in, const char* out,
                                const mirage_tools_pack_options* options,
                                mirage_tools_pack_report* report, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckPointer(in, "in"));
    MIRAGE_TRY(CheckPointer(out, "out"));
    MIRAGE_TRY(CheckMayBlock("mirage_tools_pack"));
    MIRAGE_TRY_ASSIGN(
        const mirage_tools_pack_options given,
        ReadOptions(options, DefaultPackOptions(), kFirstPackOptions, "mirage_tools_pack_options"));
    MIRAGE_TRY_ASSIGN(model::PackOptions read, ReadPackOptions(given));
    mirage_tools_pack_report filled{};
    if (report != nullptr) MIRAGE_TRY(WriteOut(report, filled, "report"));
    model::PackProgress progress;
    if (given.progress != nullptr)
      progress.report = [&](uint64_t done, uint64_t total) {
        return AbiCallProgress(given.progress, done, total, given.progress_user_data) == 0;
      };
    MIRAGE_TRY_ASSIGN(const model::PackSummary packed, Pack(in, out, std::move(read), &progress));
    if (report == nullptr) return {};
    filled.file_bytes = packed.file_bytes;
    filled.padding_bytes = packed.padding_bytes;
    filled.regions = packed.regions;
    return WriteOut(report, filled, "report");
  });
}

}  // extern "C"
