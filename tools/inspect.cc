// SPDX-License-Identifier: Apache-2.0

// mirage inspect: what is in a model file, and what it would need.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/failure.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/json.h"
#include "tools/number.h"

namespace mirage::cli {
namespace {

constexpr uint64_t kLongestArray = 16;  // elements shown; longer ones are counted
constexpr size_t kLongestLine = 100;    // bytes of a value for people

struct InspectFlags {
  ModelFlags model;
  int32_t sessions = 1;
  bool json = false;
};

struct Entry {
  std::string key;
  mirage_metadata value{};
};

struct TensorRow {
  mirage_tensor tensor{};
  [[nodiscard]] std::vector<uint64_t> shape() const {
    return {tensor.shape, tensor.shape + tensor.dimensions};
  }
};

const char* KernelName(int32_t kernel) {
  switch (kernel) {
    case MIRAGE_KERNEL_FAST:
      return "fast";
    case MIRAGE_KERNEL_SLOW:
      return "slow";
    default:
      return "none";
  }
}

const char* TypeName(int32_t type) {
  switch (type) {
    case MIRAGE_VALUE_UINT:
      return "unsigned integer";
    case MIRAGE_VALUE_INT:
      return "integer";
    case MIRAGE_VALUE_FLOAT:
      return "float";
    case MIRAGE_VALUE_BOOL:
      return "bool";
    case MIRAGE_VALUE_STRING:
      return "string";
    default:
      return "array";
  }
}

std::vector<Entry> ReadMetadata(const mirage_model* model, uint64_t count) {
  mirage_error error = MIRAGE_ERROR_INIT;
  std::vector<Entry> entries(count);
  for (uint64_t i = 0; i < count; ++i) {
    entries[i].value.struct_size = sizeof(mirage_metadata);
    Check(mirage_model_get_metadata(model, i, &entries[i].value, &error), error, "");
    entries[i].key.assign(entries[i].value.key, entries[i].value.key_bytes);
  }
  return entries;
}

std::vector<TensorRow> ReadTensors(const mirage_model* model, uint64_t count) {
  mirage_error error = MIRAGE_ERROR_INIT;
  std::vector<TensorRow> rows(count);
  for (uint64_t i = 0; i < count; ++i) {
    rows[i].tensor.struct_size = sizeof(mirage_tensor);
    Check(mirage_model_get_tensor(model, i, &rows[i].tensor, &error), error, "");
  }
  return rows;
}

std::string ReadValue(const mirage_model* model, const std::string& key) {
  return ReadBuffer<std::string>(
      key, [&](char* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_model_read_metadata(model, key.c_str(), out, capacity, count, error);
      });
}

Json ValueJson(const mirage_model* model, const Entry& entry) {
  if (entry.value.type == MIRAGE_VALUE_STRING) return ReadValue(model, entry.key);
  if (entry.value.type == MIRAGE_VALUE_ARRAY && entry.value.count > kLongestArray)
    return {{"type", TypeName(entry.value.element_type)}, {"count", entry.value.count}};
  return Json::parse(ReadValue(model, entry.key), nullptr, false);
}

std::string ValueText(const mirage_model* model, const Entry& entry) {
  if (entry.value.type == MIRAGE_VALUE_ARRAY && entry.value.count > kLongestArray)
    return fmt::format("[{} of type {}]", entry.value.count, TypeName(entry.value.element_type));
  std::string text = ReadValue(model, entry.key);
  if (entry.value.type == MIRAGE_VALUE_STRING)
    text = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kLongestLine) return text;
  size_t cut = kLongestLine;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0u) == 0x80u) --cut;
  return fmt::format("{}... ({} bytes)", text.substr(0, cut), text.size());
}

// Without a plan, why there is none: it needs an architecture and a tokenizer that this build
// knows. The rest of the file can be shown all the same.
struct PlanOrReason {
  std::optional<mirage_plan> plan;
  std::string reason;
};

PlanOrReason ReadPlan(const mirage_model* model, const InspectFlags& flags) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_plan_options options = flags.model.PlanOptions();
  options.sessions = flags.sessions;
  mirage_plan plan{};
  plan.struct_size = sizeof plan;
  const mirage_status status = mirage_model_get_plan(model, &options, &plan, &error);
  if (status == MIRAGE_OK) return {plan, ""};
  if (status == MIRAGE_INVALID_ARGUMENT) Check(status, error, "");  // the options, not the file
  return {std::nullopt, error.message};
}

const char* FitsName(int32_t fits) {
  return fits == 2 ? "resident" : fits == 1 ? "streaming" : "no";
}

Json PlanJson(const mirage_plan& plan) {
  return {{"fits", FitsName(plan.fits)},
          {"context", plan.context},
          {"limit", plan.limit_bytes},
          {"total", plan.total_bytes},
          {"weights", plan.weights_bytes},
          {"kv", plan.kv_bytes},
          {"slots", plan.slots_bytes},
          {"tables", plan.tables_bytes},
          {"workspace", plan.workspace_bytes},
          {"sessions", plan.sessions_bytes},
          {"adapters", plan.adapters_bytes},
          {"least", plan.least_bytes},
          {"active", plan.active_bytes},
          {"streamed_bytes_per_token", plan.streamed_bytes_per_token}};
}

std::string MiB(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

// A limit that does: rounded up.
std::string LeastMiB(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", std::ceil(static_cast<double>(bytes) / (1 << 20) * 10) / 10);
}

std::string PlanText(const mirage_plan& plan) {
  std::string text = fmt::format("plan: context {}, limit {}, fits: {}\n", plan.context,
                                 MiB(plan.limit_bytes), FitsName(plan.fits));
  const std::pair<const char*, uint64_t> rows[] = {
      {"weights", plan.weights_bytes},
      {"kv", plan.kv_bytes},
      {"slots", plan.slots_bytes},
      {"tables", plan.tables_bytes},
      {"workspace", plan.workspace_bytes},
      {"sessions", plan.sessions_bytes},
      {"total", plan.total_bytes},
      {"weights a token reads", plan.active_bytes},
      {"read again for each token", plan.streamed_bytes_per_token},
  };
  const auto add = [&](const char* name, const std::string& size) {
    text += fmt::format("  {:26} {:>12}\n", name, size);
  };
  for (const auto& [name, bytes] : rows) add(name, MiB(bytes));
  add("least limit that works", LeastMiB(plan.least_bytes));
  return text;
}

void PrintJson(const mirage_model* model, const mirage_model_info& info,
               const InspectFlags& flags) {
  Json metadata = Json::object();
  for (const Entry& entry : ReadMetadata(model, info.metadata_count))
    metadata[entry.key] = ValueJson(model, entry);
  Json tensors = Json::array();
  for (const TensorRow& row : ReadTensors(model, info.tensor_count))
    tensors.push_back({{"name", row.tensor.name},
                       {"type", row.tensor.type},
                       {"shape", row.shape()},
                       {"bytes", row.tensor.bytes},
                       {"offset", row.tensor.offset},
                       {"file", row.tensor.file},
                       {"kernel", KernelName(row.tensor.kernel)}});
  Json json = {{"architecture", info.architecture},
               {"name", info.name},
               {"file_bytes", info.file_bytes},
               {"parameters", info.parameters},
               {"layers", info.layers},
               {"trained_context", info.trained_context},
               {"metadata", std::move(metadata)},
               {"tensors", std::move(tensors)}};
  const PlanOrReason planned = ReadPlan(model, flags);
  json["plan"] = planned.plan ? PlanJson(*planned.plan) : Json(nullptr);
  if (!planned.plan) json["plan_error"] = planned.reason;
  WriteStandardOutput(Dump(json));
}

std::string TypesText(const std::vector<TensorRow>& rows) {
  struct Sum {
    uint64_t tensors = 0;
    uint64_t bytes = 0;
    int32_t kernel = 0;
  };
  std::map<std::string, Sum> types;
  for (const TensorRow& row : rows) {
    Sum& sum = types[row.tensor.type];
    ++sum.tensors;
    sum.bytes += row.tensor.bytes;
    sum.kernel = row.tensor.kernel;
  }
  std::string text = "types:\n";
  for (const auto& [type, sum] : types)
    text += fmt::format("  {:8} {:5} tensors {:>12}  kernel: {}\n", type, sum.tensors,
                        MiB(sum.bytes), KernelName(sum.kernel));
  return text;
}

void PrintText(const mirage_model* model, const mirage_model_info& info,
               const InspectFlags& flags) {
  std::string text =
      fmt::format("{} '{}': {} parameters, {} layers, trained for {} tokens, {}\n",
                  Printable(info.architecture), Printable(info.name), info.parameters, info.layers,
                  info.trained_context, MiB(info.file_bytes));
  text += "metadata:\n";
  for (const Entry& entry : ReadMetadata(model, info.metadata_count))
    text += fmt::format("  {} = {}\n", entry.key, ValueText(model, entry));
  const std::vector<TensorRow> rows = ReadTensors(model, info.tensor_count);
  text += "tensors:\n";
  for (const TensorRow& row : rows)
    text += fmt::format("  {:40} {:8} {:24} {:>12}\n", row.tensor.name, row.tensor.type,
                        fmt::format("[{}]", fmt::join(row.shape(), ", ")), row.tensor.bytes);
  text += TypesText(rows);
  const PlanOrReason planned = ReadPlan(model, flags);
  text += planned.plan ? PlanText(*planned.plan) : fmt::format("no plan: {}\n", planned.reason);
  WriteStandardOutput(text);
}

int Inspect(const InspectFlags& flags) {
  const RuntimeHandle runtime = flags.model.Open();
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.load = MIRAGE_LOAD_METADATA;
  const ModelHandle model = OpenModel(runtime.get(), flags.model.model, options);
  const mirage_model_info info = ModelInfo(model.get());
  if (flags.json)
    PrintJson(model.get(), info, flags);
  else
    PrintText(model.get(), info, flags);
  return kDone;
}

}  // namespace

void AddInspect(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = AddCommand(app, chosen, "inspect",
                                 "What is in a model file, and what it would need", flags, Inspect);
  command->add_option("model", flags->model.model, "Model file (.gguf)")->required();
  command
      ->add_option("-c,--context", flags->model.context, "Tokens the plan is for; 0: chosen to fit")
      ->check(Whole<int64_t>(0));
  command->add_option("--sessions", flags->sessions, "Sessions of a full context the plan is for")
      ->check(Whole<int32_t>(1));
  command->add_option("--memory", flags->model.memory,
                      "Memory limit the plan is for, such as 300M");
  command->add_option("--kv-type", flags->model.kv_type,
                      "Type of keys and values the plan is for: f16, q8_0 or q4_0");
  command->add_flag("--json", flags->json, "One JSON value instead of text");
}

}  // namespace mirage::cli
