// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace mirage::sim {
namespace {

struct Means {
  double prompt = 0;
  double output = 0;
};
Means MeansOf(const std::vector<Arrival>& arrivals) {
  Means means;
  for (const Arrival& arrival : arrivals) {
    means.prompt += arrival.prompt_tokens;
    means.output += arrival.output_tokens;
  }
  means.prompt /= static_cast<double>(arrivals.size());
  means.output /= static_cast<double>(arrivals.size());
  return means;
}

// The means of the traces themselves, computed from their files.
TEST(Workload, DrawsHaveTheMeansOfTheTraces) {
  const Means conv = MeansOf(DrawArrivals(FindPopulation("conv").value(), {200'000, 1, 1, 7}));
  EXPECT_NEAR(conv.prompt, 1154.7, 0.04 * 1154.7);
  EXPECT_NEAR(conv.output, 211.1, 0.04 * 211.1);
  const Means code = MeansOf(DrawArrivals(FindPopulation("code").value(), {200'000, 1, 1, 7}));
  EXPECT_NEAR(code.prompt, 2047.8, 0.04 * 2047.8);
  EXPECT_NEAR(code.output, 27.9, 0.04 * 27.9);
}

TEST(Workload, DrawsComeAtTheRateAskedForAndInOrder) {
  const std::vector<Arrival> arrivals =
      DrawArrivals(FindPopulation("code").value(), {1001, 5, 1, 3});
  EXPECT_EQ(arrivals.front().at_ns, 0);
  EXPECT_NEAR(static_cast<double>(arrivals.back().at_ns), 1000 / 5.0 * 1e9, 1);
  for (size_t i = 1; i < arrivals.size(); ++i) ASSERT_LE(arrivals[i - 1].at_ns, arrivals[i].at_ns);
}

TEST(Workload, EqualSeedsDrawEqually) {
  const auto text = [](uint64_t seed) {
    std::string all;
    for (const Arrival& a : DrawArrivals(FindPopulation("conv").value(), {50, 1, 0.125, seed}))
      all += std::to_string(a.at_ns) + " " + std::to_string(a.prompt_tokens) + " " +
             std::to_string(a.output_tokens) + "\n";
    return all;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

class TraceFile {
 public:
  explicit TraceFile(const std::string& text) : path_(testing::TempDir() + "trace.csv") {
    std::ofstream(path_) << text;
  }
  ~TraceFile() { std::remove(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

TEST(Workload, ReadsAnAzureTrace) {
  const TraceFile file(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n"
      "2023-11-16 23:59:59.5000000,374,44\n"
      "2023-11-17 00:00:00.2500000,0,0\r\n");
  const std::vector<Arrival> arrivals = ReadAzureTrace(file.path()).value();
  ASSERT_EQ(arrivals.size(), 2u);
  EXPECT_EQ(arrivals[0].at_ns, 0);
  EXPECT_EQ(arrivals[0].prompt_tokens, 374);
  EXPECT_EQ(arrivals[0].output_tokens, 44);
  EXPECT_EQ(arrivals[1].at_ns, 750'000'000);  // past midnight
  EXPECT_EQ(arrivals[1].prompt_tokens, 1);    // nothing is not asked for
}

TEST(Workload, ABadLineIsNamed) {
  for (const char* line : {"2023-11-16 18:17:03.9,374", "yesterday,1,2", "2023-11-16 18:17:03,-1,2",
                           "2023-11-16 18:17:03,1,2x"}) {
    const TraceFile file(std::string("TIMESTAMP,ContextTokens,GeneratedTokens\n") + line + "\n");
    const auto read = ReadAzureTrace(file.path());
    ASSERT_FALSE(read) << line;
    EXPECT_NE(read.error().message.find("line 2"), std::string::npos) << read.error().message;
  }
  EXPECT_FALSE(ReadAzureTrace("/nowhere/trace.csv"));
}

}  // namespace
}  // namespace mirage::sim
