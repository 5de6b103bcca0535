// SPDX-License-Identifier: Apache-2.0

#include "session/loaded_adapter.h"

#include <utility>

#include "format/open.h"
#include "session/runtime.h"

namespace mirage::session {

Result<std::shared_ptr<LoadedAdapter>> LoadedAdapter::Load(std::shared_ptr<LoadedModel> model,
                                                           std::shared_ptr<const ByteSource> file,
                                                           const AdapterOptions& options) {
  Runtime& runtime = model->runtime();
  MIRAGE_TRY(runtime.CheckOpen());
  if (model->runner() == nullptr)
    return Fail(Code::kInvalidArgument,
                "the model was opened without its weights, so no adapter can change them");
  MIRAGE_TRY_ASSIGN(const format::ModelFile opened, format::OpenModel({std::move(file)}));
  MIRAGE_TRY_ASSIGN(std::string name,
                    opened.Locate(opened.metadata().GetOr<std::string>("general.name", "")));
  const model::Model& of = model->runner()->model();
  MIRAGE_TRY_ASSIGN(const uint64_t bytes, of.BytesToLoadAdapter(opened));
  runtime.MakeAvailable(bytes, &of.adapter_promise());
  Result<std::shared_ptr<const model::Adapter>> loaded = of.LoadAdapter(opened, options.progress);
  if (!loaded) return Fail(runtime.AsLimit(std::move(loaded).error()));
  return std::shared_ptr<LoadedAdapter>(
      new LoadedAdapter(std::move(model), std::move(name), *std::move(loaded)));
}

Result<std::shared_ptr<const model::AdapterSet>> SetOf(const std::vector<AdapterChoice>& choices,
                                                       const LoadedModel& of) {
  std::vector<model::AdapterUse> uses;
  for (const AdapterChoice& choice : choices) {
    if (&choice.adapter->model() != &of)
      return Fail(Code::kInvalidArgument, "adapter " + std::to_string(uses.size()) +
                                              " was loaded for another model than the session's");
    uses.push_back({choice.adapter->adapter(), choice.scale});
  }
  return model::MakeAdapterSet(std::move(uses));
}

}  // namespace mirage::session
