// SPDX-License-Identifier: Apache-2.0
#pragma once

// ArenaBlock: addresses of an arena, backed for as long as the object lives.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"
#include "memory/arena.h"

namespace mirage::memory {

class ArenaBlock {
 public:
  // `promise` as for Arena::Reserve.
  [[nodiscard]] static Result<ArenaBlock> Make(Arena& arena, uint64_t bytes, Owner owner,
                                               Promise* promise = nullptr) {
    ArenaBlock block;
    MIRAGE_TRY_ASSIGN(block.range_, arena.Reserve(bytes, promise));
    block.arena_ = &arena;
    MIRAGE_TRY(arena.Back(block.range_, 0, block.range_.bytes, owner));
    return block;
  }
  ArenaBlock() = default;
  ~ArenaBlock() {
    if (arena_ != nullptr) arena_->Release(range_);
  }
  ArenaBlock(ArenaBlock&& other) noexcept { *this = std::move(other); }
  ArenaBlock& operator=(ArenaBlock&& other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(range_, other.range_);
    return *this;
  }
  [[nodiscard]] std::byte* base() const { return range_.base; }
  [[nodiscard]] uint64_t bytes() const { return range_.bytes; }  // whole chunks

 private:
  Arena* arena_ = nullptr;
  Range range_;
};

}  // namespace mirage::memory
