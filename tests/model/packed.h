// SPDX-License-Identifier: Apache-2.0
#pragma once

// A model file as a pack, in memory.

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "model/pack.h"
#include "tests/model/test_host.h"

namespace mirage::model {

[[nodiscard]] inline Result<std::vector<std::byte>> Pack(const format::ModelFile& file,
                                                         const PackOptions& options = {},
                                                         PackSummary* summary = nullptr,
                                                         PackProgress* watched = nullptr) {
  PackProgress unwatched;
  PackProgress* const progress = watched != nullptr ? watched : &unwatched;
  std::vector<std::byte> out;
  MIRAGE_TRY_ASSIGN(const PackSummary written,
                    WritePack(
                        file, options,
                        [&](uint64_t offset, std::span<const std::byte> bytes) -> Status {
                          if (out.size() < offset + bytes.size()) out.resize(offset + bytes.size());
                          std::copy(bytes.begin(), bytes.end(), out.begin() + offset);
                          return {};
                        },
                        progress));
  if (summary != nullptr) *summary = written;
  return out;
}

[[nodiscard]] inline std::vector<std::byte> PackOf(const std::vector<std::byte>& file,
                                                   const PackOptions& options = {}) {
  auto packed = Pack(OpenBytes(file).value(), options);
  EXPECT_TRUE(packed) << packed.error().message;
  return packed ? *std::move(packed) : std::vector<std::byte>{};
}

}  // namespace mirage::model
