// SPDX-License-Identifier: Apache-2.0
#pragma once

// File: a regular file as a ByteSource. MappedFile: the same bytes in the address space.
//
// A path or a descriptor becomes a descriptor of our own; the caller's is never used after Open and
// its offset never moves. Reading past the end, also of a file that became shorter meanwhile, is
// kCorrupt. Any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/byte_source.h"
#include "base/result.h"
#include "platform/descriptor.h"
#include "platform/direct_reader.h"

namespace mirage::platform {

// All of a file, read-only. The file must keep its length while it is mapped: a page beyond a new
// end would fault.
class MappedFile {
 public:
  // The first `bytes` bytes of a descriptor's file, which has them.
  [[nodiscard]] static Result<MappedFile> Map(int fd, const std::string& name, uint64_t bytes);
  MappedFile() = default;
  ~MappedFile() { Reset(); }
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;

  [[nodiscard]] std::span<const std::byte> data() const { return {data_, bytes_}; }
  // Takes the whole OS pages inside the range out of this process's memory; reading brings them
  // back from the file.
  void Drop(uint64_t offset, uint64_t count) const;
  void Reset();

 private:
  const std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

class File final : public ByteSource {
 public:
  // kNotFound, kIo, or kUnsupported for what is not a regular file (a folder, a pipe, a device),
  // saying which.
  [[nodiscard]] static Result<std::unique_ptr<File>> Open(const std::string& path);
  // The descriptor stays the caller's. `name` is for messages.
  [[nodiscard]] static Result<std::unique_ptr<File>> FromDescriptor(int fd, std::string name);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override;
  // By direct reads, unless the file system refuses them.
  [[nodiscard]] Status ReadUncached(uint64_t offset, std::span<std::byte> out) const override;

  // Mapped when it is first asked for; empty where the system refuses.
  [[nodiscard]] std::span<const std::byte> Mapping() const override;
  [[nodiscard]] Status CheckMapping() const override;
  void DropMapping(uint64_t offset, uint64_t count) const override;

  [[nodiscard]] int descriptor() const { return fd_.get(); }

 private:
  File(Descriptor fd, std::string name, uint64_t bytes)
      : fd_(std::move(fd)), name_(std::move(name)), bytes_(bytes) {}
  [[nodiscard]] static Result<std::unique_ptr<File>> Adopt(Descriptor fd, std::string name);

  Descriptor fd_;
  std::string name_;
  uint64_t bytes_;
  mutable std::once_flag direct_once_;
  mutable std::unique_ptr<DirectReader> direct_;
  mutable std::atomic<bool> direct_refused_{false};
  mutable std::once_flag map_once_;
  mutable MappedFile map_;
};

// Whether two paths name one file that is there.
[[nodiscard]] bool SameFile(const std::string& a, const std::string& b);

}  // namespace mirage::platform
