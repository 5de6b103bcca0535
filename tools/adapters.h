// SPDX-License-Identifier: Apache-2.0
#pragma once

// --lora: the adapters of the model that answers are computed with.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "mirage/mirage.h"
#include "tools/api.h"

namespace mirage::cli {

struct LoraFlags {
  std::vector<std::string> lora;  // "FILE" or "FILE=SCALE"

  void Add(CLI::App& command);
  // About what they take in memory, for a plan; 0 for none.
  [[nodiscard]] uint64_t Bytes() const;
};

class Adapters {
 public:
  // Loads them.
  Adapters(mirage_model* model, const LoraFlags& flags);

  void UseIn(mirage_generation_options* options) const;

 private:
  std::vector<AdapterHandle> loaded_;
  std::vector<mirage_adapter_use> uses_;
};

}  // namespace mirage::cli
