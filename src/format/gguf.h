// SPDX-License-Identifier: Apache-2.0
#pragma once

// GGUF: reads the header of a model in ggml's file format, versions 2 and 3, little-endian.
//
//   1. "GGUF", u32 version, u64 tensor count, u64 key count
//   2. keys: string name, u32 value type, value; an array is u32 element type, u64 count, elements;
//      a string is u64 byte count, characters
//   3. tensors: string name, u32 rank, u64 dimension[rank] (fastest first), u32 type, u64 offset
//   4. zeros up to a multiple of `general.alignment` (32 unless given), then data, from where
//      offsets count
//
// A file is untrusted: whatever its bytes, reading ends in a ModelFile or in an Error (kCorrupt, or
// kUnsupported for what is well-formed but refused) that names the key or tensor and the byte, in
// time proportional to the header and memory within the limits below. Arrays of arrays are refused.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "format/metadata_io.h"
#include "format/model_file.h"

namespace mirage::format {

struct GgufLimits : MetadataLimits {
  uint64_t header_bytes = 256ull << 20;  // parts 1 to 3 of one shard
  uint64_t tensors = 1 << 18;            // of all shards
  uint64_t tensor_name_bytes = 256;      // the format says 64; some writers use more
  uint64_t alignment = 1 << 20;
};

// `shards` are the files of one model in order, one for most. They are the caller's choice alone: a
// file cannot name another (shards.h finds the names that belong to a path). Metadata is the first
// shard's; of the others only what describes the split is read, and must agree.
[[nodiscard]] Result<ModelFile> ReadGguf(std::vector<std::shared_ptr<const ByteSource>> shards,
                                         const GgufLimits& limits = {});

}  // namespace mirage::format
