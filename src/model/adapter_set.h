// SPDX-License-Identifier: Apache-2.0
#pragma once

// AdapterSet: the adapters that a sequence's rows are computed with, one after the other, each with
// its scale.
//
// Keys and values belong to the set they were computed with, which its id tells from others: of
// equal sets, loaded from equal files, it is the same in every process.
//
// Immutable once made: any thread.

#include <memory>
#include <vector>

#include "base/result.h"
#include "format/session_file.h"
#include "kv/prefix_cache.h"
#include "model/adapter.h"

namespace mirage::model {

struct AdapterUse {
  std::shared_ptr<const Adapter> adapter;
  float scale = 1.0f;
  bool operator==(const AdapterUse&) const = default;
};

inline constexpr size_t kMostAdapters = 16;

using AdapterSetId = format::Fingerprint;
inline constexpr AdapterSetId kNoAdapters{};

struct AdapterSet {
  std::vector<AdapterUse> uses;
  AdapterSetId id{};
};

// Null for no adapters, or none whose scale is other than 0. Fails with kInvalidArgument for more
// than kMostAdapters, one that is there twice, or a scale that is no finite number.
[[nodiscard]] Result<std::shared_ptr<const AdapterSet>> MakeAdapterSet(
    std::vector<AdapterUse> uses);

[[nodiscard]] inline const AdapterSetId& IdOf(const AdapterSet* set) {
  return set != nullptr ? set->id : kNoAdapters;
}

// Among whom what is computed with a set is shared: those of `sharing` who compute with the same.
[[nodiscard]] kv::PrefixSharing SharedWith(const kv::PrefixSharing& sharing,
                                           const AdapterSetId& adapters);

}  // namespace mirage::model
