// SPDX-License-Identifier: Apache-2.0
#pragma once

// ChunkTable: what an arena knows of each chunk of a reservation.
//
// Reservations are far larger than what is ever backed of them, so entries exist in blocks, from
// the first Prepare that touches them on. Not synchronized.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/checked.h"
#include "memory/ledger.h"

namespace mirage::memory {

struct Chunk {
  uint16_t users = 0;  // live Back calls that touch it
  Owner owner = Owner::kCount;
  bool changing = false;  // being backed or unbacked, without the lock
};

struct ChunkSpan {
  size_t begin;
  size_t end;
};

class ChunkTable {
 public:
  ChunkTable() = default;
  explicit ChunkTable(size_t chunks) : blocks_(CeilDiv(chunks, kBlock)) {}

  // Makes the entries of a span, which may throw; then they can be changed.
  void Prepare(ChunkSpan span) {
    for (size_t block = span.begin / kBlock; block * kBlock < span.end; ++block)
      if (blocks_[block] == nullptr) blocks_[block] = std::make_unique<Chunk[]>(kBlock);
  }
  [[nodiscard]] Chunk& operator[](size_t index) { return blocks_[index / kBlock][index % kBlock]; }
  [[nodiscard]] Chunk operator[](size_t index) const {
    const std::unique_ptr<Chunk[]>& block = blocks_[index / kBlock];
    return block == nullptr ? Chunk{} : block[index % kBlock];
  }
  template <typename Visit>
  void ForEach(Visit&& visit) const {  // entry there is
    for (const std::unique_ptr<Chunk[]>& block : blocks_)
      for (size_t i = 0; block != nullptr && i < kBlock; ++i) visit(block[i]);
  }

  // What the table of `chunks` takes once the first `backed` of them have been backed.
  [[nodiscard]] static uint64_t Bytes(uint64_t chunks, uint64_t backed) {
    return CeilDiv(chunks, kBlock) * sizeof(void*) +
           CeilDiv(backed, kBlock) * kBlock * sizeof(Chunk);
  }

 private:
  static constexpr size_t kBlock = 256;
  std::vector<std::unique_ptr<Chunk[]>> blocks_;
};

}  // namespace mirage::memory
