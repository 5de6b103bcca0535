// SPDX-License-Identifier: Apache-2.0
#include "abi/model_parts.h"

#include <string>
#include <utility>

#include "format/shards.h"
#include "platform/file.h"

namespace mirage::abi {

Result<ModelParts> OpenModelParts(std::string_view path) {
  MIRAGE_TRY_ASSIGN(const std::vector<std::string> paths, format::ShardPaths(path));
  ModelParts parts;
  for (const std::string& part : paths) {
    MIRAGE_TRY_ASSIGN(std::unique_ptr<platform::File> file, platform::File::Open(part));
    parts.push_back(std::move(file));
  }
  return parts;
}

}  // namespace mirage::abi
