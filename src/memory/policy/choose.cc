// SPDX-License-Identifier: Apache-2.0
#include "memory/policy/choose.h"

#include <algorithm>
#include <string>
#include <utility>

#include "memory/layout.h"

namespace mirage::memory {
namespace {

uint64_t Largest(std::span<const uint64_t> region_bytes) {
  return region_bytes.empty() ? 0 : *std::max_element(region_bytes.begin(), region_bytes.end());
}

// One slot to read from for each lease, and at least two, since one alone would never be filled
// ahead.
int LeastSlots(const ResidencyQuery& query) { return std::max(2, query.live_leases); }

// And one more to fill meanwhile.
int WantedSlots(const ResidencyQuery& query) { return std::max(2, query.live_leases + 1); }

uint64_t BytesOfSlots(const ResidencyQuery& query, int slots) {
  return SlotBytes(Largest(query.region_bytes), slots, query.chunk_bytes);
}

uint64_t HomeBytes(const ResidencyQuery& query, const std::vector<bool>& resident) {
  HomeChunks chunks(query.region_bytes, query.chunk_bytes);
  for (size_t i = 0; i < resident.size(); ++i)
    if (resident[i]) chunks.Add(i);
  return chunks.bytes();
}

// Streams `share` of the bytes of regions of `least_bytes` or more, at even distances: each region
// adds its share to a debt, and a region that covers at least half of itself with the debt is
// streamed.
std::vector<bool> SpreadEvenly(std::span<const uint64_t> region_bytes, uint64_t least_bytes,
                               double share) {
  std::vector<bool> resident(region_bytes.size(), true);
  double debt = 0;
  for (size_t i = 0; i < region_bytes.size(); ++i) {
    if (region_bytes[i] < least_bytes) continue;
    const auto bytes = static_cast<double>(region_bytes[i]);
    debt += share * bytes;
    if (debt < bytes / 2) continue;
    resident[i] = false;
    debt -= bytes;
  }
  return resident;
}

// The smallest share, to within what matters, whose homes fit into `room` bytes.
std::vector<bool> StreamAsLittleAsFits(const ResidencyQuery& query, uint64_t least_bytes,
                                       uint64_t room) {
  constexpr int kHalvings = 24;
  double too_little = 0;
  double enough = 1;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (too_little + enough) / 2;
    const bool fits =
        HomeBytes(query, SpreadEvenly(query.region_bytes, least_bytes, middle)) <= room;
    (fits ? enough : too_little) = middle;
  }
  const std::vector<bool> fitting = SpreadEvenly(query.region_bytes, least_bytes, enough);

  // A range of shares streams the same number of regions. The share that these come to is the one
  // that also keeps the distance from the last one of a pass to the first one of the next.
  uint64_t streamed = 0;
  uint64_t total = 0;
  for (size_t i = 0; i < fitting.size(); ++i) {
    if (query.region_bytes[i] < least_bytes) continue;
    total += query.region_bytes[i];
    if (!fitting[i]) streamed += query.region_bytes[i];
  }
  const double share =
      static_cast<double>(streamed) / static_cast<double>(std::max<uint64_t>(total, 1));
  std::vector<bool> centred = SpreadEvenly(query.region_bytes, least_bytes, share);
  return HomeBytes(query, centred) <= room ? centred : fitting;
}

// Regions of unlike sizes leave gaps in the room; whatever still fits comes home.
void FillGaps(const ResidencyQuery& query, uint64_t room, std::vector<bool>& resident) {
  HomeChunks chunks(query.region_bytes, query.chunk_bytes);
  for (size_t i = 0; i < resident.size(); ++i)
    if (resident[i]) chunks.Add(i);
  for (size_t i = 0; i < resident.size(); ++i) {
    if (resident[i] || chunks.bytes() + chunks.CostOf(i) > room) continue;
    chunks.Add(i);
    resident[i] = true;
  }
}

}  // namespace

uint64_t LeastResidencyBytes(const ResidencyQuery& query) {
  const uint64_t everything = HomeBytes(query, std::vector<bool>(query.region_bytes.size(), true));
  return std::min(everything, BytesOfSlots(query, LeastSlots(query)));
}

Result<Residency> ChooseResident(const ResidencyQuery& query) {
  const std::span<const uint64_t> bytes = query.region_bytes;
  Residency choice;
  choice.slots = WantedSlots(query);
  choice.resident.assign(bytes.size(), true);
  choice.home_bytes = HomeBytes(query, choice.resident);
  if (choice.home_bytes <= query.budget_bytes) return choice;

  const uint64_t least = LeastResidencyBytes(query);
  if (query.budget_bytes < least)
    return OutOfMemory("weights need at least " + std::to_string(least) + " bytes for staging, " +
                           std::to_string(query.budget_bytes) + " are left for them",
                       least, query.budget_bytes);
  if (BytesOfSlots(query, choice.slots) > query.budget_bytes) choice.slots = LeastSlots(query);
  choice.slot_bytes = BytesOfSlots(query, choice.slots);
  const uint64_t room = query.budget_bytes - choice.slot_bytes;

  choice.resident = StreamAsLittleAsFits(query, Largest(bytes) / 4, room);
  if (HomeBytes(query, choice.resident) > room)
    choice.resident = StreamAsLittleAsFits(query, 0, room);
  FillGaps(query, room, choice.resident);
  choice.home_bytes = HomeBytes(query, choice.resident);
  for (size_t i = 0; i < bytes.size(); ++i)
    if (!choice.resident[i]) choice.streamed_bytes += bytes[i];
  return choice;
}

}  // namespace mirage::memory
