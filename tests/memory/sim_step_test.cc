// SPDX-License-Identifier: Apache-2.0

// Steps of a model on the simulated device: how long they take, exactly.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "fakes.h"
#include "memory/sim_transfer.h"
#include "platform/sim_device.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr uint32_t kLayers = 12;

// Bytes without contents: the device holds none.
class EmptySource final : public RegionSource {
 public:
  Status Fill(RegionIndex, std::span<std::byte>) const override { return {}; }
  const std::byte* Mapped(RegionIndex) const override { return nullptr; }
};

// A model of equal layers, all streamed through two slots, on a link that needs `fill_ns` for one.
class SimModel {
 public:
  SimModel(int64_t fill_ns, const std::vector<bool>& resident)
      : link_(clock_, static_cast<double>(kRegionBytes) / static_cast<double>(fill_ns) * 1e9, 0),
        device_(clock_, NoContents()),
        arena_(device_, ledger_),
        transfer_(link_),
        stream_(clock_, {}),
        order_(kLayers) {
    std::iota(order_.begin(), order_.end(), 0u);
    store_ = RegionStore::Create(arena_, transfer_, clock_,
                                 MakeRegions(std::vector<uint64_t>(kLayers, kRegionBytes)),
                                 std::make_shared<EmptySource>(), {2, false})
                 .value();
    EXPECT_TRUE(store_->Load(resident, nullptr));
  }

  // Virtual time of one step. The order of the next step is known before this one has ended.
  int64_t Step(int64_t compute_ns) {
    const int64_t began = clock_.NowNs();
    for (const RegionIndex layer : order_) {
      Result<Lease> lease = store_->Acquire(layer, stream_);
      EXPECT_TRUE(lease);
      stream_.Run(compute_ns, nullptr);
    }
    store_->Announce(order_);
    EXPECT_TRUE(stream_.Synchronize());
    return clock_.NowNs() - began;
  }
  void Announce() { store_->Announce(order_); }
  StoreStats Stats() const { return store_->Stats(); }

 private:
  static platform::SimOptions NoContents() {
    platform::SimOptions options;
    options.contents = false;
    return options;
  }

  VirtualClock clock_;
  platform::SimLink link_;
  platform::SimDevice device_;
  Ledger ledger_{UINT64_MAX};
  Arena arena_;
  SimTransferEngine transfer_;
  platform::SimStream stream_;
  std::vector<RegionIndex> order_;
  std::unique_ptr<RegionStore> store_;
};

TEST(SimStep, TakesTheLongerOfComputeAndFillNotTheirSum) {
  for (const auto& [compute_ns, fill_ns] :
       {std::pair{1000, 600}, {1000, 1000}, {600, 1000}, {100, 5000}}) {
    SimModel model(fill_ns, std::vector<bool>(kLayers, false));
    model.Announce();
    model.Step(compute_ns);
    for (int step = 0; step < 3; ++step)
      EXPECT_EQ(model.Step(compute_ns), kLayers * std::max(compute_ns, fill_ns))
          << compute_ns << " " << fill_ns;
  }
}

// The host asks for every layer before the device has reached the first, so even unannounced fills
// follow each other.
TEST(SimStep, WithoutAnnouncementTheHostIsStillAheadOfTheDevice) {
  SimModel model(600, std::vector<bool>(kLayers, false));
  EXPECT_EQ(model.Step(100), kLayers * 600 + 100);
}

TEST(SimStep, ResidentRegionsGiveTheStreamedOnesTimeToHide) {
  std::vector<bool> resident(kLayers, true);
  for (uint32_t layer = 0; layer < kLayers; layer += 4) resident[layer] = false;
  SimModel model(3500, resident);
  model.Announce();
  model.Step(1000);
  EXPECT_EQ(model.Step(1000), kLayers * 1000);
  EXPECT_EQ(model.Step(1000), kLayers * 1000);
}

TEST(SimStep, HiddenAndUnhiddenTimeAddUpToTheFills) {
  SimModel model(1000, std::vector<bool>(kLayers, false));
  model.Announce();
  for (int step = 0; step < 4; ++step) model.Step(600);
  const StoreStats stats = model.Stats();
  const int64_t fills = static_cast<int64_t>(stats.bytes_streamed / kRegionBytes);
  EXPECT_EQ(stats.hidden_ns + stats.unhidden_ns, fills * 1000);
  // Every layer after the first waits for what its fill takes longer than the compute before it.
  EXPECT_EQ(stats.unhidden_ns, 1000 + (4 * kLayers - 1) * 400);
}

}  // namespace
}  // namespace mirage::memory
