// SPDX-License-Identifier: Apache-2.0
#pragma once

// The names of the files of a split model.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::format {

// The paths of all shards of the model whose first shard is `path`: `dir/name-00001-of-00003.gguf`
// gives that and its two siblings, any other name gives itself alone. Looks at the name only. Fails
// with kInvalidArgument when the name is of a later shard.
[[nodiscard]] Result<std::vector<std::string>> ShardPaths(std::string_view path);

}  // namespace mirage::format
