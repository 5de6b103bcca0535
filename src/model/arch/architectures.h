// SPDX-License-Identifier: Apache-2.0
#pragma once

// The architectures this build runs: one file each, which turns a model file's keys and tensors
// into a Config and a TensorMap. Nothing outside these files knows an architecture's name.

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/config.h"
#include "model/reader.h"
#include "model/tensor_map.h"

namespace mirage::model {

struct Architecture {
  std::string_view name;      // of general.architecture
  std::string_view families;  // for people
  Status (*describe)(Reader& reader, Config& config, TensorMap& map);
};

[[nodiscard]] Status DescribeLlama(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribeQwen2(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribeQwen3(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribeQwen3Moe(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribeGemma2(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribeGemma3(Reader& reader, Config& config, TensorMap& map);
[[nodiscard]] Status DescribePhi3(Reader& reader, Config& config, TensorMap& map);

[[nodiscard]] std::span<const Architecture> Architectures();

struct Description {
  Config config;
  TensorMap map;
};

// Reads general.architecture and has its file describe the model. kUnsupported names an unknown
// architecture and lists the known ones; the Config returned is valid and every tensor of the file
// has its place.
[[nodiscard]] Result<Description> Describe(const format::ModelFile& file, int64_t session_context);

}  // namespace mirage::model
