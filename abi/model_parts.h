// SPDX-License-Identifier: Apache-2.0
#pragma once

// The files of a model that a path names.

#include <memory>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"

namespace mirage::abi {

using ModelParts = std::vector<std::shared_ptr<const ByteSource>>;

// Opens all shards of the model whose first one is `path`.
[[nodiscard]] Result<ModelParts> OpenModelParts(std::string_view path);

}  // namespace mirage::abi
