// SPDX-License-Identifier: Apache-2.0
#pragma once

// OpenModel: finds the reader for a model's files by their first bytes.

#include <memory>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "format/model_file.h"

namespace mirage::format {

// `shards` as in ReadGguf. Fails with kUnsupported, showing the bytes, when no reader knows them.
[[nodiscard]] Result<ModelFile> OpenModel(std::vector<std::shared_ptr<const ByteSource>> shards);

}  // namespace mirage::format
