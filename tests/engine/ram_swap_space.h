// SPDX-License-Identifier: Apache-2.0
#pragma once

// RamSwapSpace: a swap space in memory, whose moves fail, or happen late, when told to.

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "memory/swap_space.h"
#include "memory/transfer.h"

namespace mirage::engine {

class RamSwapSpace final : public memory::SwapSpace {
 public:
  explicit RamSwapSpace(uint64_t bytes) : extents_(bytes), there_(static_cast<size_t>(bytes)) {}

  // Before the first move.
  void MoveLate() { worker_ = memory::MakeHostTransferEngine(1); }
  void FailWrites() { writes_fail_ = true; }
  void FailReads() { reads_fail_ = true; }
  // When no request runs.
  [[nodiscard]] uint64_t free_bytes() const { return extents_.free_bytes(); }

  std::optional<Extent> Take(uint64_t bytes) override { return extents_.Take(bytes); }
  void Give(Extent extent) noexcept override { extents_.Give(extent); }
  Result<memory::Transfers> Write(Extent extent, Pages pages) override {
    return Move([this, extent, pages = std::move(pages)]() -> Status {
      // Whoever wrote into them meanwhile, or took them, would be found out.
      if (writes_fail_) return Fail(Code::kIo, "the disk is full");
      std::byte* to = there_.data() + extent.offset;
      for (const auto page : pages) {
        std::memcpy(to, page.data(), page.size());
        to += page.size();
      }
      return {};
    });
  }
  Result<memory::Transfers> Read(Extent extent, Pages pages) override {
    return Move([this, extent, pages = std::move(pages)]() -> Status {
      if (reads_fail_) return Fail(Code::kIo, "the disk is gone");
      const std::byte* from = there_.data() + extent.offset;
      for (const auto page : pages) {
        std::memcpy(page.data(), from, page.size());
        from += page.size();
      }
      return {};
    });
  }

 private:
  Result<memory::Transfers> Move(std::function<Status()> job) {
    if (worker_ != nullptr) return memory::Transfers({worker_->Submit(std::move(job), 0)});
    const platform::Event done = platform::Event::Pending();
    done.Signal(job(), 1);
    return memory::Transfers({done});
  }

  memory::ExtentList extents_;
  std::vector<std::byte> there_;
  bool writes_fail_ = false;
  bool reads_fail_ = false;
  std::unique_ptr<memory::TransferEngine> worker_;  // last: it uses the others
};

}  // namespace mirage::engine
