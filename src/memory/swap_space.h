// SPDX-License-Identifier: Apache-2.0
#pragma once

// SwapSpace: a slower tier to which pages of keys and values go for a while.
//
// Extents are taken and given back by one thread, the engine's. What is moved is named by its
// addresses alone, so that a simulator can move nothing and take its time.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "memory/transfer.h"
#include "platform/scratch_file.h"
#include "platform/stream.h"

namespace mirage::memory {

// Parts of one movement, under way together.
class Transfers {
 public:
  Transfers() = default;
  explicit Transfers(std::vector<platform::Event> events) : events_(std::move(events)) {}

  [[nodiscard]] bool done() const;
  void Await() const;
  // The first failure. After Await.
  [[nodiscard]] Status outcome() const;
  // That its parts took, added up. After Await.
  [[nodiscard]] int64_t took_ns() const;

 private:
  std::vector<platform::Event> events_;
};

class SwapSpace {
 public:
  using Pages = std::vector<std::span<std::byte>>;
  struct Extent {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  virtual ~SwapSpace() = default;

  // Nothing where there is no stretch of so many bytes.
  [[nodiscard]] virtual std::optional<Extent> Take(uint64_t bytes) = 0;
  virtual void Give(Extent extent) noexcept = 0;

  // The pages, one after the other, to or from an extent as long as all of them. They, and the
  // extent, are left alone until it is done. An error: nothing is under way.
  [[nodiscard]] virtual Result<Transfers> Write(Extent extent, Pages pages) = 0;
  [[nodiscard]] virtual Result<Transfers> Read(Extent extent, Pages pages) = 0;
};

// Stretches of a range, the lowest that is long enough first.
class ExtentList {
 public:
  explicit ExtentList(uint64_t bytes) { free_.emplace(0, bytes); }
  [[nodiscard]] std::optional<SwapSpace::Extent> Take(uint64_t bytes);
  void Give(SwapSpace::Extent extent) noexcept;
  [[nodiscard]] uint64_t free_bytes() const;

 private:
  std::map<uint64_t, uint64_t> free_;   // offset and bytes; no two touch
  std::map<uint64_t, uint64_t> taken_;  // nodes move between the two, so giving needs no memory
};

// In a file, moved by the transfer workers. What cannot be moved is logged.
[[nodiscard]] std::unique_ptr<SwapSpace> MakeFileSwapSpace(
    std::unique_ptr<platform::ScratchFile> file, TransferEngine& transfer, LogSink log);

}  // namespace mirage::memory
