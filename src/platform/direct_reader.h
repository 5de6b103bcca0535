// SPDX-License-Identifier: Apache-2.0
#pragma once

// DirectReader: a file read past the system's cache (O_DIRECT), several blocks at a time.
//
// For bytes that are read again in every pass because there is no memory to keep them: a copy in
// the cache would take what little there is, and drive out the next ones needed (LRU under a
// cycle). Blocks are in flight together through io_uring, or read one after the other where the
// kernel refuses that; each thread that reads has a ring of its own. Any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "platform/descriptor.h"

namespace mirage::platform {

class DirectReader {
 public:
  // Devices want offsets, lengths and addresses in multiples of a sector; this is one everywhere.
  static constexpr uint64_t kAlignment = 4096;
  enum class Rings : uint8_t { kWhereThereAre, kNone };

  // Of the file behind `fd`. kUnsupported where its file system refuses direct reads.
  [[nodiscard]] static Result<std::unique_ptr<DirectReader>> Open(
      int fd, std::string name, Rings rings = Rings::kWhereThereAre);

  // Fills all of `out` from `offset`. Memory that does not lie as the file's bytes do costs one
  // copy within it, and none beside. kUnsupported where only an ordinary read can tell what is
  // there: the device refuses, or gives less than was asked for.
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const;

 private:
  class Batch;

  DirectReader(Descriptor fd, std::string name, Rings rings)
      : fd_(std::move(fd)), name_(std::move(name)), rings_(rings) {}
  [[nodiscard]] Status ReadBlocks(uint64_t offset, std::span<std::byte> out, uint64_t least) const;
  [[nodiscard]] Error ErrorOf(int error, uint64_t offset) const;

  const Descriptor fd_;
  const std::string name_;
  const Rings rings_;
};

}  // namespace mirage::platform
