// SPDX-License-Identifier: Apache-2.0
#pragma once

// The public C interface as the commands use it: handles that close themselves, buffers that size
// themselves.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mirage/mirage.h"
#include "tools/failure.h"

namespace mirage::cli {

struct Closer {
  void operator()(mirage_runtime* runtime) const { mirage_runtime_close(runtime); }
  void operator()(mirage_model* model) const { mirage_model_close(model); }
  void operator()(mirage_adapter* adapter) const { mirage_adapter_close(adapter); }
  void operator()(mirage_session* session) const { mirage_session_close(session); }
  void operator()(mirage_generation* generation) const { mirage_generation_close(generation); }
};
using RuntimeHandle = std::unique_ptr<mirage_runtime, Closer>;
using ModelHandle = std::unique_ptr<mirage_model, Closer>;
using AdapterHandle = std::unique_ptr<mirage_adapter, Closer>;
using SessionHandle = std::unique_ptr<mirage_session, Closer>;
using GenerationHandle = std::unique_ptr<mirage_generation, Closer>;

[[nodiscard]] RuntimeHandle OpenRuntime(mirage_runtime_options options);
[[nodiscard]] ModelHandle OpenModel(mirage_runtime* runtime, const std::string& path,
                                    const mirage_model_options& options);
// The model's vocabulary without its weights.
[[nodiscard]] ModelHandle OpenVocabulary(mirage_runtime* runtime, const std::string& path);
[[nodiscard]] AdapterHandle LoadAdapter(mirage_model* model, const std::string& path);
[[nodiscard]] SessionHandle OpenSession(mirage_model* model,
                                        const mirage_session_options* options = nullptr);
[[nodiscard]] GenerationHandle StartGeneration(mirage_session* session,
                                               const mirage_generation_options& options);

void AppendMessage(mirage_session* session, const char* role, const std::string& text);

[[nodiscard]] mirage_model_info ModelInfo(const mirage_model* model);
[[nodiscard]] mirage_plan PlanOf(const mirage_model* model, const mirage_plan_options& options);
[[nodiscard]] mirage_generation_stats GenerationStats(const mirage_generation* generation);
[[nodiscard]] mirage_session_stats SessionStats(const mirage_session* session);

[[nodiscard]] std::vector<int32_t> Tokenize(const mirage_model* model, const std::string& text,
                                            uint32_t flags);
[[nodiscard]] std::string Detokenize(const mirage_model* model, const std::vector<int32_t>& tokens,
                                     uint32_t flags);
[[nodiscard]] std::vector<int32_t> SessionTokens(mirage_session* session);

// What a function that fills a buffer gives: `call(buffer, capacity, &count, &error)`, asked for
// the count first.
template <typename Buffer, typename Call>
Buffer ReadBuffer(const std::string& what, Call call) {
  mirage_error error = MIRAGE_ERROR_INIT;
  size_t count = 0;
  Check(call(nullptr, 0, &count, &error), error, what);
  Buffer buffer(count, typename Buffer::value_type{});
  if (count > 0) Check(call(buffer.data(), buffer.size(), &count, &error), error, what);
  return buffer;
}

}  // namespace mirage::cli
