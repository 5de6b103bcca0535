// SPDX-License-Identifier: Apache-2.0
#pragma once

// ByteSource: random access to the bytes of one file, wherever they come from (a path, a
// descriptor, memory).
//
// Parsers and region sources read through it, so that neither knows about the operating system.
// Reading is stateless: any thread, any number at a time.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace mirage {

// Whether the system is to keep a copy of what is read.
enum class Caching : uint8_t { kCached, kUncached };

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Names the source in messages: its path, or "memory".
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual uint64_t bytes() const = 0;

  // Fills all of `out` from `offset`, or fails with kCorrupt (past the end) or kIo.
  [[nodiscard]] virtual Status ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;

  // As ReadAt, without the system keeping a copy in its cache, where it can do that: for bytes that
  // are read again and again since there is no memory to keep them, and those that are kept beside.
  [[nodiscard]] virtual Status ReadUncached(uint64_t offset, std::span<std::byte> out) const {
    return ReadAt(offset, out);
  }
  [[nodiscard]] Status Read(uint64_t offset, std::span<std::byte> out, Caching caching) const {
    return caching == Caching::kCached ? ReadAt(offset, out) : ReadUncached(offset, out);
  }

  // All bytes in place, for as long as the source is there; empty where they can only be read.
  [[nodiscard]] virtual std::span<const std::byte> Mapping() const { return {}; }
  // Fails with kCorrupt where they are no longer all there: reading them in place would fault.
  [[nodiscard]] virtual Status CheckMapping() const { return {}; }
  // These of them will not be read in place soon: memory that holds them for us alone may go.
  virtual void DropMapping(uint64_t /*offset*/, uint64_t /*count*/) const {}

 protected:
  [[nodiscard]] Status CheckRange(uint64_t offset, uint64_t count) const {
    if (offset <= bytes() && count <= bytes() - offset) return {};
    return Fail(Code::kCorrupt, name() + ": " + std::to_string(count) + " bytes at " +
                                    std::to_string(offset) + " lie past the end at " +
                                    std::to_string(bytes()));
  }
};

// Bytes the caller keeps alive.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> data, std::string name = "memory")
      : data_(data), name_(std::move(name)) {}

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint64_t bytes() const override { return data_.size(); }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    MIRAGE_TRY(CheckRange(offset, out.size()));
    if (!out.empty()) std::memcpy(out.data(), data_.data() + offset, out.size());
    return {};
  }
  [[nodiscard]] std::span<const std::byte> Mapping() const override { return data_; }

 private:
  std::span<const std::byte> data_;
  std::string name_;
};

}  // namespace mirage
