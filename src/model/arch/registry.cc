// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/printable.h"
#include "model/arch/architectures.h"

namespace mirage::model {

namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", "Llama 1-3, Mistral, SmolLM, Yi, TinyLlama", DescribeLlama},
    {"qwen2", "Qwen 2, Qwen 2.5", DescribeQwen2},
    {"qwen3", "Qwen 3", DescribeQwen3},
    {"qwen3moe", "Qwen 3 with experts (30B-A3B, 235B-A22B)", DescribeQwen3Moe},
    {"gemma2", "Gemma 2", DescribeGemma2},
    {"gemma3", "Gemma 3 (text)", DescribeGemma3},
    {"phi3", "Phi 3, Phi 3.5, Phi 4", DescribePhi3},
};

Result<Description> Read(const format::ModelFile& file, int64_t session_context) {
  MIRAGE_TRY_ASSIGN(const auto name, file.metadata().Get<std::string>("general.architecture"));
  const auto* known =
      std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                   [&](const Architecture& candidate) { return candidate.name == name; });
  if (known == std::end(kArchitectures)) {
    std::string list;
    for (const Architecture& architecture : kArchitectures)
      list += (list.empty() ? "" : ", ") + std::string(architecture.name);
    return KeyError(
        Code::kUnsupported, "general.architecture",
        "is '" + Printable(name, 64) + "', which is not known to this build; it runs " + list);
  }
  Reader reader(file, name, session_context);
  Description description;
  MIRAGE_TRY(known->describe(reader, description.config, description.map));
  MIRAGE_TRY(description.config.Validate());
  MIRAGE_TRY(reader.CheckEveryTensorRead());
  return description;
}

}  // namespace

std::span<const Architecture> Architectures() { return kArchitectures; }

Result<Description> Describe(const format::ModelFile& file, int64_t session_context) {
  return file.Locate(Read(file, session_context));
}

}  // namespace mirage::model
