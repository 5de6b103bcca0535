// SPDX-License-Identifier: Apache-2.0
#pragma once

// WeightSource: fills a model's regions from its file, and gathers single rows.
//
// From a pack Fill is one read, and regions can be read in place. From any other file each piece is
// read to where it belongs and repacked there for the kernels, eight rows at a time. Gather reads
// single rows. Neither keeps state but the file, a few buffers of eight rows, which regions were
// found sound and a small cache of gathered rows, so any worker may call them at any time.
//
// That weights are numbers is looked at once, when they are first read from a file that was not
// packed; for a pack it was looked at when it was made, and its checksums stand for it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "format/model_file.h"
#include "memory/region.h"
#include "model/region_layout.h"

namespace mirage::model {

// Reads rows of a tensor as the file holds them. Every weight that all texts are computed with
// comes through here: one that is no finite number would make every logit none, where nobody could
// tell why, so it is kCorrupt naming file, byte and tensor.
[[nodiscard]] Status ReadWeightRows(const format::ModelFile& file, const TensorSlice& rows,
                                    uint64_t row_bytes, std::span<std::byte> out,
                                    Caching caching = Caching::kCached);

class WeightSource final : public memory::RegionSource {
 public:
  WeightSource(const format::ModelFile& file, const ModelLayout& layout)
      : file_(file), layout_(layout), checked_(layout.regions.size()) {}

  // Of what Fill reads from now on, asked each time; null, as at first: cached. Not during a Fill.
  void Use(std::function<Caching()> caching) { caching_ = std::move(caching); }

  [[nodiscard]] Status Fill(memory::RegionIndex region, std::span<std::byte> dst) const override;
  [[nodiscard]] const std::byte* Mapped(memory::RegionIndex region) const override;
  [[nodiscard]] Status CheckMapped(memory::RegionIndex region) const override;
  void DropMapped(memory::RegionIndex region) const override;

  // Reads what of a pack is used without a Fill having found it sound: tensors outside of its
  // regions, rows that are gathered from regions that do not stay, everything where its regions are
  // not those of this layout. Nothing of other files.
  [[nodiscard]] Status CheckUnfilled(int32_t gathered_tensor,
                                     const std::vector<bool>& resident) const;

  // The most bytes Fill holds besides its destination, per worker.
  [[nodiscard]] static uint64_t ScratchBytes(const ModelLayout& layout);

 private:
  class Scratch;
  [[nodiscard]] Caching caching() const { return caching_ ? caching_() : Caching::kCached; }
  [[nodiscard]] Error WrongChecksum(memory::RegionIndex region) const;
  [[nodiscard]] Status FillStored(memory::RegionIndex region, std::byte* dst) const;
  [[nodiscard]] Status CheckStored(memory::RegionIndex region, const std::byte* bytes) const;
  [[nodiscard]] Status FillPiece(const Piece& piece, bool checked, std::span<std::byte> scratch,
                                 std::byte* dst) const;

  const format::ModelFile& file_;
  const ModelLayout& layout_;
  std::function<Caching()> caching_;
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<std::byte>> scratches_;  // idle
  // Regions found sound, by their checksum in a pack, else by their weights being numbers: a file
  // stays as it is, and a region may be filled in every pass.
  mutable std::vector<std::atomic<bool>> checked_;
};

// Reads rows of one tensor, in the file's layout, for embedding lookups. They are what they are: a
// row that is no number is the failure of the texts that have its token, whose logits tell, and not
// of those they share a pass with.
//
// One thread at a time.
class RowGather {
 public:
  RowGather(const format::ModelFile& file, const TensorSlice& table, uint64_t row_bytes);

  // dst [rows.size(), row_bytes].
  [[nodiscard]] Status Gather(std::span<const int32_t> rows, std::byte* dst);

  [[nodiscard]] uint64_t row_bytes() const { return row_bytes_; }
  // What a gather of such rows keeps.
  [[nodiscard]] static uint64_t CacheBytes(uint64_t row_bytes);

 private:
  const format::ModelFile& file_;
  const TensorSlice table_;
  const uint64_t row_bytes_;
  std::vector<int32_t> cached_row_;  // by row number modulo its size
  std::vector<std::byte> cache_;
};

}  // namespace mirage::model
