// SPDX-License-Identifier: Apache-2.0
#pragma once

// Region: the unit of residence, lending and transfer.
//
// A region is a run of whole rows of one tensor, or matching row runs of tensors that share an
// input (q/k/v, gate/up), or a group of small tensors, of one layer. Here it is bytes with a
// number: what they mean is the model's business. Its bytes can be produced again at any time by
// its RegionSource, so they may be taken without being written anywhere.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace mirage::memory {

// Names a region for people, logs and policies.
struct RegionId {
  uint32_t model = 0;
  uint32_t layer = 0;   // the model's layers in order, then its head
  uint16_t part = 0;    // within the layer
  uint16_t expert = 0;  // 0 unless a mixture of experts
  uint16_t shard = 0;   // 0 of 1 today
  friend bool operator==(const RegionId&, const RegionId&) = default;
};

// A region's number within its model, dense from 0 in the order in which a forward pass needs them.
using RegionIndex = uint32_t;

struct RegionInfo {
  RegionId id;
  uint64_t bytes = 0;
};

// At most this many bytes in a region of a dense model. Larger regions are aligned to more in a
// pack: they begin where that is little of their size.
[[nodiscard]] constexpr uint64_t MaxRegionBytes(uint64_t model_bytes) {
  constexpr uint64_t kSmall = uint64_t{1} << 20;
  constexpr uint64_t kLarge = uint64_t{8} << 20;
  return model_bytes / 256 > kLarge ? model_bytes / 256 : kSmall;
}

// Where a model's regions come from: the only way weights enter memory.
class RegionSource {
 public:
  virtual ~RegionSource() = default;

  // Writes the whole region to `dst`. Any worker, any time, any number at once; no state but the
  // file.
  [[nodiscard]] virtual Status Fill(RegionIndex region, std::span<std::byte> dst) const = 0;

  // The region's bytes in place, already in the layout kernels read, or nullptr. Only packs in this
  // build's layout and tensors that kernels read as stored have one.
  [[nodiscard]] virtual const std::byte* Mapped(RegionIndex region) const = 0;

  // Reads a mapped region once and finds it sound, before it is used. As Fill.
  [[nodiscard]] virtual Status CheckMapped(RegionIndex region) const {
    static_cast<void>(region);
    return {};
  }

  // The region will not be read in place again: pages that only it keeps in memory may go.
  virtual void DropMapped(RegionIndex region) const { static_cast<void>(region); }
};

}  // namespace mirage::memory
