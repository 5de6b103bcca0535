// SPDX-License-Identifier: Apache-2.0
#pragma once

// ScratchFile: room on a disk for bytes that the process takes out of memory for a while.
//
// The file has no name, or loses it at once, so that nothing is left of it however the process
// ends, and all its room is taken when it is made. It is written and read past the system's cache
// (O_DIRECT), which would take the memory that was to be freed. Any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "platform/descriptor.h"

namespace mirage::platform {

class ScratchFile {
 public:
  // Of offsets, and of the addresses and sizes of memory.
  static constexpr uint64_t kAlignment = 4096;

  // In a folder that is there. kNotFound, kIo (also without room for it on the disk), kUnsupported
  // where the file system refuses direct access.
  [[nodiscard]] static Result<std::unique_ptr<ScratchFile>> Create(const std::string& folder,
                                                                   uint64_t bytes);

  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // The parts come one after the other in the file, from `offset`.
  [[nodiscard]] Status WriteAt(uint64_t offset, std::span<const std::span<std::byte>> parts) const;
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<const std::span<std::byte>> parts) const;

 private:
  ScratchFile(Descriptor fd, std::string name, uint64_t bytes)
      : fd_(std::move(fd)), name_(std::move(name)), bytes_(bytes) {}

  const Descriptor fd_;
  const std::string name_;  // for messages
  const uint64_t bytes_;
};

}  // namespace mirage::platform
