// SPDX-License-Identifier: Apache-2.0
#pragma once

// The keys of a model file in GGUF's encoding (gguf.h), which packs share.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "format/cursor.h"
#include "format/metadata.h"

namespace mirage::format {

struct MetadataLimits {
  uint64_t keys = 1 << 16;
  uint64_t key_bytes = 65535;        // the format's own limit
  uint64_t string_bytes = 64 << 20;  // any one string value
  uint64_t resident_bytes = 4096;    // a longer value stays in the file
};

// A name of 1 to `limit` printable ASCII characters, after its u64 byte count.
[[nodiscard]] Result<std::string> ReadName(Cursor& cursor, uint64_t limit);

// `keys` keys from the cursor on, which reads `source`.
[[nodiscard]] Result<Metadata> ReadMetadata(Cursor& cursor, uint64_t keys,
                                            std::shared_ptr<const ByteSource> source,
                                            const MetadataLimits& limits);

// The inverse, with all values that stay in the file.
[[nodiscard]] Result<std::vector<std::byte>> EncodeMetadata(const Metadata& metadata);

}  // namespace mirage::format
