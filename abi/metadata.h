// SPDX-License-Identifier: Apache-2.0
#pragma once

// A model file's metadata as the public header shows it.

#include <string>

#include "base/result.h"
#include "format/metadata.h"
#include "mirage/mirage.h"

namespace mirage::abi {

// kNotFound naming the key.
[[nodiscard]] Result<const format::MetadataEntry*> FindEntry(const format::Metadata& metadata,
                                                             const char* key);

[[nodiscard]] Result<mirage_metadata> DescribeEntry(const format::Metadata& metadata,
                                                    const format::MetadataEntry& entry);

// A string as it is, anything else as JSON.
[[nodiscard]] Result<std::string> ReadEntry(const format::Metadata& metadata,
                                            const format::MetadataEntry& entry);

}  // namespace mirage::abi
