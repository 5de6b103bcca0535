// SPDX-License-Identifier: Apache-2.0
#include "model/adapter_set.h"

#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "format/checksum.h"

namespace mirage::model {

Result<std::shared_ptr<const AdapterSet>> MakeAdapterSet(std::vector<AdapterUse> uses) {
  if (uses.size() > kMostAdapters)
    return Fail(Code::kInvalidArgument, std::to_string(uses.size()) + " adapters; at most " +
                                            std::to_string(kMostAdapters) + " at once");
  auto set = std::make_shared<AdapterSet>();
  format::Checksum sum;
  for (size_t i = 0; i < uses.size(); ++i) {
    const AdapterUse& use = uses[i];
    if (!std::isfinite(use.scale))
      return Fail(Code::kInvalidArgument,
                  "the scale of adapter " + std::to_string(i) + " is no finite number");
    for (size_t earlier = 0; earlier < i; ++earlier)
      if (uses[earlier].adapter == use.adapter)
        return Fail(Code::kInvalidArgument, "adapter " + std::to_string(i) + " is given twice");
    if (use.scale == 0.0f) continue;
    sum.Add(std::as_bytes(std::span(use.adapter->fingerprint())));
    sum.Add(std::as_bytes(std::span(&use.scale, 1)));
    set->uses.push_back(use);
  }
  if (set->uses.empty()) return std::shared_ptr<const AdapterSet>();
  set->id = sum.Value128();
  return std::shared_ptr<const AdapterSet>(std::move(set));
}

// An id is always as long, so that no salt and id make the same as two others.
kv::PrefixSharing SharedWith(const kv::PrefixSharing& sharing, const AdapterSetId& adapters) {
  kv::PrefixSharing with = sharing;
  with.salt.insert(with.salt.begin(), adapters.begin(), adapters.end());
  return with;
}

}  // namespace mirage::model
