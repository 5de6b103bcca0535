// SPDX-License-Identifier: Apache-2.0
#pragma once

// WritePack: a model file as a pack (format/pack_file.h), its weights in the types they have or in
// another one.
//
// The regions are those that a model loaded from the file would fill, filled by the same code. One
// thread at a time; it works on several.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "format/model_file.h"
#include "format/pack_file.h"
#include "tensor/dtype.h"

namespace mirage::model {

struct PackOptions {
  // The type of the layers' matrices and of the vocabulary's. Rows whose length is no multiple of
  // its block get the nearest type that fits (FallbackType), and the head of a model packed in Q4_0
  // or Q4_K gets Q6_K. None: every tensor keeps its own.
  std::optional<tensor::DType> quant;
  int threads = 1;
  std::string writer;  // names the program, in the pack's keys
  // Told the length of the file before anything is written; may be empty.
  std::function<Status(uint64_t bytes)> reserve;
};

// How far packing has come: bytes of the source that were read for its hash, and of the pack that
// were written, and read again by CheckPack.
struct PackProgress {
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> report;  // false cancels
  uint64_t done = 0;
  uint64_t total = 0;
  [[nodiscard]] Status Add(uint64_t bytes);
};

struct PackSummary {
  uint64_t file_bytes = 0;
  uint64_t padding_bytes = 0;  // of these
  uint64_t regions = 0;
};

// The types `quant` may be.
[[nodiscard]] bool CanPackAs(tensor::DType dtype);
// What rows of `cols` columns get where `dtype` was asked for.
[[nodiscard]] tensor::DType FallbackType(tensor::DType dtype, int64_t cols);

// Fails as loading the model would, and with kUnsupported for a type that it cannot be packed in or
// that cannot hold its weights. Holds 256 MiB of regions, or one tensor where that is more.
[[nodiscard]] Result<PackSummary> WritePack(const format::ModelFile& file,
                                            const PackOptions& options,
                                            const format::PackWriter::Sink& sink,
                                            PackProgress* progress);

// Reads all of a pack and compares it with its checksums: kCorrupt naming the region and the byte,
// or the tensor. `progress` may be null.
[[nodiscard]] Status CheckPack(const format::ModelFile& pack, PackProgress* progress);

}  // namespace mirage::model
