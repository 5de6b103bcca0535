// SPDX-License-Identifier: Apache-2.0
// A limit that falls below the weights and rises again while a sequence goes on: what was read from
// a file, or in place, is lent and comes home, and the logits are bit for bit the same.

#include <gtest/gtest.h>

#include "tests/model/packed.h"
#include "tests/model/tiny_model.h"
#include "tests/platform/temp_folder.h"

namespace mirage::model {
namespace {

constexpr size_t kFalls = 4;   // before this step
constexpr size_t kRises = 12;  // likewise

struct Followed {
  std::vector<float> rows;
  uint64_t most_lent = 0;
};

// What the engine does between steps.
Status FollowLimit(Model& model, TestHost& host, size_t step, uint64_t ample) {
  memory::WeightLender lender = model.MakeLender();
  const uint64_t weights = model.regions().Stats().bytes_total;
  if (step == kFalls) {
    host.ledger.SetLimit(host.ledger.Snapshot().used - weights * 2 / 3);
    if (lender.Lend(host.ledger.over_limit()) == 0) return Fail(Code::kInternal, "nothing is lent");
  }
  if (step == kRises) host.ledger.SetLimit(ample);
  if (step >= kFalls) static_cast<void>(lender.LeaveMapping(weights / 8));
  if (step >= kRises)
    for (int i = 0; i < 8; ++i) static_cast<void>(lender.Revive(0));
  return {};
}

Result<Followed> RunUnderChangingLimit(Model& model, TestHost& host,
                                       std::span<const int32_t> tokens) {
  Followed followed;
  const uint64_t ample = host.ledger.limit();
  kv::SequenceCache cache(model.pages());
  MIRAGE_TRY(cache.Reserve(static_cast<int64_t>(tokens.size())));
  for (size_t i = 0; i < tokens.size(); ++i) {
    MIRAGE_TRY(FollowLimit(model, host, i, ample));
    const Slice slice{&cache, tokens.subspan(i, 1), 1};
    MIRAGE_TRY(model.Forward({&slice, 1}, {}));
    cache.Commit(static_cast<int64_t>(i) + 1);
    const std::span<float> logits = model.Logits(0);
    followed.rows.insert(followed.rows.end(), logits.begin(), logits.end());
    followed.most_lent = std::max(followed.most_lent, model.regions().Stats().bytes_lent);
  }
  return followed;
}

TEST(LimitChange, LogitsAreTheSameFromAFileAndFromAPackThatWasReadInPlace) {
  const std::vector<std::byte> file = ModelOfManyRegions().Build();
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back(i * 251 % 5003);
  LoadOptions options;
  options.plan.context = 64;
  const auto want = RunKeeping(file, options, tokens);
  ASSERT_TRUE(want) << want.error().message;

  const platform::TempFolder folder;
  for (const auto streams : {platform::HostStreams::kInline, platform::HostStreams::kQueued})
    for (const bool packed : {false, true}) {
      const std::vector<std::byte> bytes = packed ? PackOf(file) : file;
      const std::string path =
          folder.Write("model", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      TestHost host({.streams = streams});
      auto model = Model::Load(host.host(), OpenFile(path).value(), options);
      ASSERT_TRUE(model) << model.error().message;
      ASSERT_EQ((*model)->regions().any_mapped(), packed);
      const auto got = RunUnderChangingLimit(**model, host, tokens);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_EQ(got->rows, *want);
      const memory::StoreStats stats = (*model)->regions().Stats();
      EXPECT_GE(got->most_lent, stats.bytes_total / 2);
      EXPECT_EQ(stats.bytes_lent, 0u);
      EXPECT_EQ(stats.bytes_resident, stats.bytes_total);
    }
}

}  // namespace
}  // namespace mirage::model
