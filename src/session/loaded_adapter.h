// SPDX-License-Identifier: Apache-2.0
#pragma once

// LoadedAdapter: a LoRA adapter of a loaded model, for generations to choose.
//
// Its memory is there for as long as this object or a generation that runs with it. Immutable to
// its users: any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "model/adapter_set.h"
#include "session/loaded_model.h"

namespace mirage::session {

struct AdapterOptions {
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> progress;  // false cancels
};

class LoadedAdapter {
 public:
  // The file is not needed afterwards. kInvalidArgument for a model without weights.
  [[nodiscard]] static Result<std::shared_ptr<LoadedAdapter>> Load(
      std::shared_ptr<LoadedModel> model, std::shared_ptr<const ByteSource> file,
      const AdapterOptions& options);

  [[nodiscard]] const LoadedModel& model() const { return *model_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // "" when the file has none
  [[nodiscard]] const std::shared_ptr<const model::Adapter>& adapter() const { return adapter_; }

 private:
  LoadedAdapter(std::shared_ptr<LoadedModel> model, std::string name,
                std::shared_ptr<const model::Adapter> adapter)
      : model_(std::move(model)), name_(std::move(name)), adapter_(std::move(adapter)) {}

  const std::shared_ptr<LoadedModel> model_;  // destroyed last
  const std::string name_;
  const std::shared_ptr<const model::Adapter> adapter_;
};

// One that a generation is computed with.
struct AdapterChoice {
  std::shared_ptr<const LoadedAdapter> adapter;
  float scale = 1.0f;
};

// Null for none. kInvalidArgument as model::MakeAdapterSet says, and for an adapter of another
// model than `of`.
[[nodiscard]] Result<std::shared_ptr<const model::AdapterSet>> SetOf(
    const std::vector<AdapterChoice>& choices, const LoadedModel& of);

}  // namespace mirage::session
