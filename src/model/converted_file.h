// SPDX-License-Identifier: Apache-2.0
#pragma once

// ConvertedFile: a model file whose tensors appear in other types.
//
// Nothing is stored: rows are read from the file and encoded when they are asked for. Whole rows
// only. Any thread.

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "format/model_file.h"
#include "tensor/dtype.h"

namespace mirage::model {

// `type_of` gives each tensor, by its index, the type to appear in. The file outlives the result.
// Reading fails with kCorrupt where a weight is no finite number.
[[nodiscard]] Result<format::ModelFile> ConvertTypes(
    const format::ModelFile& file, const std::function<tensor::DType(size_t)>& type_of);

}  // namespace mirage::model
