// SPDX-License-Identifier: Apache-2.0

#include "tools/api.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdio>
#include <sstream>
#include <string>

namespace mirage::cli {

namespace {

void PrintWarning(int32_t level, const char* /*subsystem*/, const char* message, void* /*data*/) {
  const char* const kind = level == MIRAGE_LOG_ERROR ? "error" : "warning";
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);)
    fmt::print(stderr, "mirage: {}: {}\n", kind, Printable(line));
}

}  // namespace

RuntimeHandle OpenRuntime(mirage_runtime_options options) {
  options.log_callback = PrintWarning;
  options.log_level = MIRAGE_LOG_WARNING;
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime* runtime = nullptr;
  Check(mirage_runtime_open(&options, &runtime, &error), error, "");
  return RuntimeHandle(runtime);
}

ModelHandle OpenModel(mirage_runtime* runtime, const std::string& path,
                      const mirage_model_options& options) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_model* model = nullptr;
  Check(mirage_model_open(runtime, path.c_str(), &options, &model, &error), error, "");
  return ModelHandle(model);
}

ModelHandle OpenVocabulary(mirage_runtime* runtime, const std::string& path) {
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.load = MIRAGE_LOAD_VOCABULARY;
  return OpenModel(runtime, path, options);
}

AdapterHandle LoadAdapter(mirage_model* model, const std::string& path) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_adapter* adapter = nullptr;
  Check(mirage_adapter_load(model, path.c_str(), nullptr, &adapter, &error), error, "");
  return AdapterHandle(adapter);
}

SessionHandle OpenSession(mirage_model* model, const mirage_session_options* options) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_session* session = nullptr;
  Check(mirage_session_open(model, options, &session, &error), error, "");
  return SessionHandle(session);
}

GenerationHandle StartGeneration(mirage_session* session,
                                 const mirage_generation_options& options) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_generation* generation = nullptr;
  Check(mirage_generation_start(session, &options, &generation, &error), error, "");
  return GenerationHandle(generation);
}

void AppendMessage(mirage_session* session, const char* role, const std::string& text) {
  mirage_error error = MIRAGE_ERROR_INIT;
  Check(mirage_session_append_message(session, role, text.data(), text.size(), &error), error, "");
}

mirage_model_info ModelInfo(const mirage_model* model) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_model_info info{};
  info.struct_size = sizeof info;
  Check(mirage_model_get_info(model, &info, &error), error, "");
  return info;
}

mirage_plan PlanOf(const mirage_model* model, const mirage_plan_options& options) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_plan plan{};
  plan.struct_size = sizeof plan;
  Check(mirage_model_get_plan(model, &options, &plan, &error), error, "");
  return plan;
}

mirage_generation_stats GenerationStats(const mirage_generation* generation) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_generation_stats stats{};
  stats.struct_size = sizeof stats;
  Check(mirage_generation_get_stats(generation, &stats, &error), error, "");
  return stats;
}

mirage_session_stats SessionStats(const mirage_session* session) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_session_stats stats{};
  stats.struct_size = sizeof stats;
  Check(mirage_session_get_stats(session, &stats, &error), error, "");
  return stats;
}

std::vector<int32_t> Tokenize(const mirage_model* model, const std::string& text, uint32_t flags) {
  return ReadBuffer<std::vector<int32_t>>(
      "", [&](int32_t* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_tokenize(model, text.data(), text.size(), flags, out, capacity, count, error);
      });
}

std::string Detokenize(const mirage_model* model, const std::vector<int32_t>& tokens,
                       uint32_t flags) {
  return ReadBuffer<std::string>(
      "", [&](char* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_detokenize(model, tokens.data(), tokens.size(), flags, out, capacity, count,
                                 error);
      });
}

std::vector<int32_t> SessionTokens(mirage_session* session) {
  return ReadBuffer<std::vector<int32_t>>(
      "", [&](int32_t* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_session_get_tokens(session, out, capacity, count, error);
      });
}

}  // namespace mirage::cli
