// SPDX-License-Identifier: Apache-2.0
// The engine on a simulated device with a virtual clock: the same object files, exact times.
// Weights are streamed through slots of a RegionStore while layers compute, and a step takes as
// long as the slower of the two, not as long as both.

#include "memory/region_store.h"
#include "memory/sim_transfer.h"
#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr int64_t kLinkNsPerRegion = 1'048'576;  // at 1 GB/s

// Bytes without content.
class NoSource final : public memory::RegionSource {
 public:
  Status Fill(memory::RegionIndex, std::span<std::byte>) const override { return {}; }
  const std::byte* Mapped(memory::RegionIndex) const override { return nullptr; }
};

// A model of `layers` regions of 1 MiB, each computed in `layer_ns`, on one simulated device.
class SimHost {
 public:
  SimHost(int layers, int64_t layer_ns, bool streamed, uint64_t limit = uint64_t{1} << 30)
      : ledger(limit),
        device(clock, Options()),
        arena(device, ledger),
        link(clock, 1e9, 0),
        transfer(link) {
    std::vector<memory::RegionInfo> infos;
    for (int pass = 0; pass < 2; ++pass)
      for (int i = 0; i < layers; ++i) order_.push_back(static_cast<memory::RegionIndex>(i));
    for (int i = 0; i < layers; ++i)
      infos.push_back({{0, static_cast<uint32_t>(i), 0, 0, 0}, kRegionBytes});
    store = memory::RegionStore::Create(arena, transfer, clock, infos, std::make_shared<NoSource>(),
                                        {.slots = 3, .mapped = false})
                .value();
    stream = std::move(device.CreateStream().value());
    EXPECT_TRUE(store->Load(std::vector<bool>(infos.size(), !streamed), {}));

    FakeModel::Options options;
    kv::LayerGroup group{kv::CacheKind::kFull, 0, 1, 32, {}};
    for (int i = 0; i < layers; ++i) group.layers.push_back(i);
    options.geometry = {group};
    options.begin = [this](auto) -> Status {
      store->Announce(order_);  // this pass and the next
      return {};
    };
    options.layer = [this, layer_ns](int layer) -> Status {
      MIRAGE_TRY_ASSIGN(const memory::Lease lease,
                        store->Acquire(static_cast<memory::RegionIndex>(layer), *stream));
      static_cast<platform::SimStream&>(*stream).Run(layer_ns, nullptr);
      return {};
    };
    options.end = [this]() -> Status {
      MIRAGE_TRY(stream->Synchronize());
      ends.push_back(clock.NowNs());
      return {};
    };
    model = std::make_shared<FakeModel>(arena, options);
  }

  // Virtual time of a step once the pipeline is full.
  [[nodiscard]] int64_t SteadyStepNs() const {
    const size_t steps = 20;
    return (ends.back() - ends[ends.size() - 1 - steps]) / static_cast<int64_t>(steps);
  }

  VirtualClock clock;
  memory::Ledger ledger;
  platform::SimDevice device;
  memory::Arena arena;
  platform::SimLink link;
  memory::SimTransferEngine transfer;
  std::unique_ptr<memory::RegionStore> store;
  std::unique_ptr<platform::Stream> stream;
  std::shared_ptr<FakeModel> model;
  std::vector<int64_t> ends;  // of passes

 private:
  static platform::SimOptions Options() {
    platform::SimOptions options;
    options.chunk_bytes = 4096;
    return options;
  }
  std::vector<memory::RegionIndex> order_;
};

TEST(Simulation, AStepOfResidentWeightsTakesItsComputeTime) {
  SimHost host(8, 300'000, false);
  Engine engine(host.clock);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(host.model, Prompt(1, 10), 40))).tokens,
            host.model->Continue(Prompt(1, 10), 40));
  EXPECT_EQ(host.SteadyStepNs(), 8 * 300'000);
  EXPECT_EQ(host.stream->waited_ns(), 0);
}

struct Speeds {
  int layers;
  int64_t layer_ns;
};

class StreamedStep : public testing::TestWithParam<Speeds> {};

TEST_P(StreamedStep, TakesTheLongerOfComputeAndFill) {
  const auto [layers, layer_ns] = GetParam();
  SimHost host(layers, layer_ns, true);
  Engine engine(host.clock);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(host.model, Prompt(1, 10), 40))).tokens,
            host.model->Continue(Prompt(1, 10), 40));
  const int64_t compute = layers * layer_ns;
  const int64_t fill = layers * kLinkNsPerRegion;
  EXPECT_EQ(host.SteadyStepNs(), std::max(compute, fill));
  const memory::StoreStats stats = host.store->Stats();
  EXPECT_EQ(stats.acquires_streamed, stats.acquires);
  EXPECT_EQ(stats.acquires, static_cast<uint64_t>(40 * layers));
  if (compute >= fill) {
    // Nothing but the first fill is waited for.
    EXPECT_LE(host.stream->waited_ns(), kLinkNsPerRegion);
  }
}

INSTANTIATE_TEST_SUITE_P(Speeds, StreamedStep,
                         testing::Values(Speeds{8, 300'000}, Speeds{8, 1'000'000},
                                         Speeds{8, 1'048'576}, Speeds{8, 1'100'000},
                                         Speeds{5, 4'000'000}, Speeds{31, 2'000'000},
                                         Speeds{31, 10'000}),
                         [](const auto& speeds) {
                           return std::to_string(speeds.param.layers) + "_layers_of_" +
                                  std::to_string(speeds.param.layer_ns) + "_ns";
                         });

TEST(Simulation, EightStreamsInAStepCostItsTimeOnce) {
  SimHost host(8, 300'000, true);
  Engine engine(host.clock);
  FakeHost elsewhere;
  Blocker blocker(elsewhere, engine);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 8; ++i)
    requests.push_back(MustSubmit(engine, Greedy(host.model, Prompt(i, 4), 40)));
  blocker.gate.Open();
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(Collect(*requests[static_cast<size_t>(i)]).tokens,
              host.model->Continue(Prompt(i, 4), 40));
  EXPECT_EQ(host.ends.size(), 40u + 1);  // their prompts take two
  EXPECT_EQ(host.SteadyStepNs(), 8 * kLinkNsPerRegion);
}

TEST(Simulation, ADeadlineFallsOnTheVirtualClock) {
  SimHost host(8, 300'000, false);
  Engine engine(host.clock);
  RequestOptions options = Greedy(host.model, Prompt(1, 10), -1);
  options.deadline_ns = host.clock.NowNs() + 10 * 8 * 300'000 - 1;  // the tenth pass ends too late
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(options)));
  EXPECT_EQ(outcome.finish, Finish::kDeadline);
  EXPECT_EQ(outcome.tokens, host.model->Continue(Prompt(1, 10), 10));
}

TEST(Simulation, RunsAreEqualToTheNanosecond) {
  const auto run = [] {
    SimHost host(8, 900'000, true);
    Engine engine(host.clock);
    Collect(*MustSubmit(engine, Greedy(host.model, Prompt(1, 100), 30)));
    return host.ends;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace mirage::engine
