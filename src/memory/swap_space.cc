// SPDX-License-Identifier: Apache-2.0
#include "memory/swap_space.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/guarded.h"

namespace mirage::memory {
namespace {

// One job: long enough that a disk is busy, short enough that fills of weights get their turn.
constexpr uint64_t kJobBytes = uint64_t{2} << 20;

class FileSwapSpace final : public SwapSpace {
 public:
  FileSwapSpace(std::unique_ptr<platform::ScratchFile> file, TransferEngine& transfer, LogSink log)
      : file_(std::move(file)),
        transfer_(transfer),
        log_(std::move(log)),
        extents_(file_->bytes()) {}

  std::optional<Extent> Take(uint64_t bytes) override { return extents_.Take(bytes); }
  void Give(Extent extent) noexcept override { extents_.Give(extent); }
  Result<Transfers> Write(Extent extent, Pages pages) override {
    return Move(&platform::ScratchFile::WriteAt, extent, std::move(pages));
  }
  Result<Transfers> Read(Extent extent, Pages pages) override {
    return Move(&platform::ScratchFile::ReadAt, extent, std::move(pages));
  }

 private:
  using Call = Status (platform::ScratchFile::*)(uint64_t,
                                                 std::span<const std::span<std::byte>>) const;

  Result<Transfers> Move(Call call, Extent extent, Pages pages) {
    std::vector<platform::Event> events;
    const Status submitted = Guarded([&]() -> Status {
      const auto shared = std::make_shared<const Pages>(std::move(pages));
      events.reserve(shared->size());
      size_t begin = 0;
      uint64_t offset = extent.offset;
      while (begin < shared->size()) {
        size_t end = begin;
        uint64_t bytes = 0;
        while (end < shared->size() && (end == begin || bytes < kJobBytes))
          bytes += (*shared)[end++].size();
        events.push_back(transfer_.Submit(
            [this, call, shared, begin, end, offset] {
              return Logged((*file_.*call)(offset, std::span(*shared).subspan(begin, end - begin)));
            },
            bytes));
        begin = end;
        offset += bytes;
      }
      return {};
    });
    Transfers transfers(std::move(events));
    if (submitted) return transfers;
    transfers.Await();  // what was submitted before
    return Fail(submitted.error());
  }

  Status Logged(Status moved) const {
    if (!moved)
      log_.Log(LogLevel::kWarning, "memory",
               moved.error().message + "; these keys and values will be computed again");
    return moved;
  }

  const std::unique_ptr<platform::ScratchFile> file_;
  TransferEngine& transfer_;
  const LogSink log_;
  ExtentList extents_;
};

}  // namespace

bool Transfers::done() const {
  return std::all_of(events_.begin(), events_.end(),
                     [](const platform::Event& event) { return event.done(); });
}

void Transfers::Await() const {
  for (const platform::Event& event : events_) event.Await();
}

Status Transfers::outcome() const {
  for (const platform::Event& event : events_)
    if (Status status = event.outcome(); !status) return status;
  return {};
}

int64_t Transfers::took_ns() const {
  int64_t sum = 0;
  for (const platform::Event& event : events_) sum += event.took_ns();
  return sum;
}

std::optional<SwapSpace::Extent> ExtentList::Take(uint64_t bytes) {
  const auto enough = std::find_if(free_.begin(), free_.end(),
                                   [&](const auto& stretch) { return stretch.second >= bytes; });
  if (enough == free_.end() || bytes == 0) return std::nullopt;
  const SwapSpace::Extent extent{enough->first, bytes};
  taken_.emplace(extent.offset, bytes);
  if (enough->second == bytes) {
    free_.erase(enough);
  } else {
    auto rest = free_.extract(enough);
    rest.key() += bytes;
    rest.mapped() -= bytes;
    free_.insert(std::move(rest));
  }
  return extent;
}

void ExtentList::Give(SwapSpace::Extent extent) noexcept {
  const auto given = free_.insert(taken_.extract(extent.offset)).position;
  const auto join = [&](auto left, auto right) {
    if (left->first + left->second != right->first) return;
    left->second += right->second;
    free_.erase(right);
  };
  if (const auto after = std::next(given); after != free_.end()) join(given, after);
  if (given != free_.begin()) join(std::prev(given), given);
}

uint64_t ExtentList::free_bytes() const {
  uint64_t sum = 0;
  for (const auto& [offset, bytes] : free_) sum += bytes;
  return sum;
}

std::unique_ptr<SwapSpace> MakeFileSwapSpace(std::unique_ptr<platform::ScratchFile> file,
                                             TransferEngine& transfer, LogSink log) {
  return std::make_unique<FileSwapSpace>(std::move(file), transfer, std::move(log));
}

}  // namespace mirage::memory
