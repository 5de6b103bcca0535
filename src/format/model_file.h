// SPDX-License-Identifier: Apache-2.0
#pragma once

// ModelFile: what a model's files contain, and where; none of the data is copied.
//
// A *shard* is one file of a model; most models are one shard. An *extent* is a run of bytes in one
// shard. Every tensor's extent lies inside its shard, has exactly the bytes its type and shape
// need, and overlaps no other; names are unique over all shards. A reader (gguf.h, pack_file.h)
// makes it, Make proves it.
//
// A pack keeps matrices as kernels read them (tensor/packed_rows.h), cut into *runs* of rows, and
// says which of its bytes are the regions of a model. ReadTensor gives rows as any file has them.
//
// Immutable after Make: any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/file_error.h"
#include "base/result.h"
#include "format/metadata.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace mirage::format {

struct Extent {
  uint32_t shard = 0;
  uint64_t offset = 0;  // from the start of the shard's file
  uint64_t bytes = 0;
};

// Rows that lie packed, one after the other.
struct PackedRun {
  int64_t row0 = 0;
  int64_t rows = 0;
  uint64_t offset = 0;  // from the start of the first shard
};

struct TensorInfo {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
  Extent extent;                // of a packed tensor: where its first run begins, bytes of all
  std::vector<PackedRun> runs;  // all rows in order; empty: rows lie as in any file
  [[nodiscard]] bool packed() const { return !runs.empty(); }
};

// Bytes of the first shard with their checksum (XXH3-64).
struct StoredRegion {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t checksum = 0;
};

class ModelFile {
 public:
  struct Parts {
    std::string format;      // "GGUF"
    uint32_t version = 0;    // of the format
    uint64_t alignment = 0;  // of tensor data in the first shard
    Metadata metadata;       // of the first shard
    std::vector<TensorInfo> tensors;
    std::vector<std::shared_ptr<const ByteSource>> shards;
    std::vector<StoredRegion> regions = {};  // of a pack, in the order of its model's
    std::vector<StoredRegion> others = {};   // of a pack: tensors outside of its regions
  };

  // Fails with kCorrupt, naming the tensor and the bytes, where the parts break an invariant above.
  [[nodiscard]] static Result<ModelFile> Make(Parts parts);

  [[nodiscard]] const std::string& format() const { return parts_.format; }
  [[nodiscard]] uint32_t version() const { return parts_.version; }
  [[nodiscard]] uint64_t alignment() const { return parts_.alignment; }
  [[nodiscard]] const Metadata& metadata() const { return parts_.metadata; }
  // In the files' order.
  [[nodiscard]] std::span<const TensorInfo> tensors() const { return parts_.tensors; }
  [[nodiscard]] std::span<const std::shared_ptr<const ByteSource>> shards() const {
    return parts_.shards;
  }

  // Empty unless the file is a pack.
  [[nodiscard]] std::span<const StoredRegion> regions() const { return parts_.regions; }
  // Reads a region, a little at a time: whether its checksum is right.
  [[nodiscard]] Result<bool> IsSound(const StoredRegion& region) const;
  // Reads and checks all that a pack keeps outside of its regions.
  [[nodiscard]] Status CheckOthers() const;

  // nullptr when there is none.
  [[nodiscard]] const TensorInfo* FindTensor(std::string_view name) const;
  // Fails with kCorrupt, naming the tensor.
  [[nodiscard]] Result<const TensorInfo*> GetTensor(std::string_view name) const;

  // Fills `out` with the tensor's bytes from its byte `begin` on. Fails with kInvalidArgument past
  // its end.
  [[nodiscard]] Status ReadTensor(const TensorInfo& tensor, uint64_t begin,
                                  std::span<std::byte> out,
                                  Caching caching = Caching::kCached) const;

  // Names the file, and the byte of the key or tensor where there is such a one, in an error about
  // a part of this file: "model.gguf: byte 1184: key 'llama.block_count' is 0, ...". Any other
  // error, and one that was located before, stays as it is.
  [[nodiscard]] Error Locate(Error error) const;
  template <typename T>
  [[nodiscard]] Result<T> Locate(Result<T> result) const {
    if (!result) return Fail(Locate(std::move(result).error()));
    return result;
  }

  // Bytes of all tensors.
  [[nodiscard]] uint64_t tensor_bytes() const;

 private:
  explicit ModelFile(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] Status IndexNames();
  [[nodiscard]] Status CheckRuns(const TensorInfo& tensor) const;
  [[nodiscard]] Status CheckExtents() const;
  [[nodiscard]] Status ReadPacked(const TensorInfo& tensor, uint64_t begin,
                                  std::span<std::byte> out) const;
  [[nodiscard]] uint64_t ByteOf(const TensorInfo& tensor, uint64_t within) const;

  Parts parts_;
  std::vector<uint32_t> by_name_;  // indexes of parts_.tensors, sorted by name
};

}  // namespace mirage::format
