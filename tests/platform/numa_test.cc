// SPDX-License-Identifier: Apache-2.0
#include "platform/numa.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "platform/host_memory.h"
#include "platform/text_file.h"
#include "temp_folder.h"

namespace mirage::platform {
namespace {

using Nodes = std::vector<int>;

// A machine whose node n has the processors `cpus[n]`, "" for none.
class FakeNodes {
 public:
  FakeNodes(const std::vector<std::string>& cpus, const std::string& with_memory) {
    for (size_t node = 0; node < cpus.size(); ++node)
      Put("node" + std::to_string(node) + "/cpulist", cpus[node]);
    Put("has_memory", with_memory);
  }
  void Allow(const std::string& cpus, const std::string& nodes) const {
    folder_.Write("proc/thread-self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t" +
                                                 cpus + "\nMems_allowed_list:\t" + nodes + "\n");
  }
  [[nodiscard]] Nodes ToInterleave() const { return NodesToInterleave(folder_.path()); }

 private:
  void Put(const std::string& name, const std::string& text) const {
    folder_.Write("sys/devices/system/node/" + name, text + "\n");
  }
  TempFolder folder_;
};

TEST(NodesToInterleave, AreAllOfAMachineThatMayBeUsed) {
  const FakeNodes machine({"0-3,8-11", "4-7,12-15"}, "0-1");
  machine.Allow("0-15", "0-1");
  EXPECT_EQ(machine.ToInterleave(), (Nodes{0, 1}));
}

TEST(NodesToInterleave, IsTheOneOfAMachineWithOne) {
  const FakeNodes machine({"0-1"}, "0");
  machine.Allow("0-1", "0");
  EXPECT_EQ(machine.ToInterleave(), Nodes{0});
}

TEST(NodesToInterleave, AreThoseOfTheProcessorsAllowed) {
  const FakeNodes machine({"0-3", "4-7", "8-11"}, "0-2");
  machine.Allow("6-8", "0-2");
  EXPECT_EQ(machine.ToInterleave(), (Nodes{1, 2}));
  machine.Allow("0,3", "0-2");
  EXPECT_EQ(machine.ToInterleave(), Nodes{0});
}

TEST(NodesToInterleave, AreThoseWhoseMemoryIsAllowed) {
  const FakeNodes machine({"0-3", "4-7"}, "0-1");
  machine.Allow("0-7", "1");
  EXPECT_EQ(machine.ToInterleave(), Nodes{1});
}

TEST(NodesToInterleave, LeaveOutThoseWithoutMemoryOrWithoutProcessors) {
  const FakeNodes machine({"0-3", "4-7", "", "8-11"}, "0,2-3");  // 1 has no memory, 2 nothing else
  machine.Allow("0-11", "0-3");
  EXPECT_EQ(machine.ToInterleave(), (Nodes{0, 3}));
}

TEST(NodesToInterleave, LeaveOutThoseThatAreOffline) {
  const FakeNodes machine({"0-3"}, "0");  // an offline node has no folder and is in no list
  machine.Allow("0-7", "0-1");
  EXPECT_EQ(machine.ToInterleave(), Nodes{0});
}

TEST(NodesToInterleave, AreNoneWhereTheKernelDoesNotTell) {
  const TempFolder nothing;
  EXPECT_EQ(NodesToInterleave(nothing.path()), Nodes{});
  const FakeNodes machine({"0-3", "4-7"}, "nonsense");
  machine.Allow("0-7", "0-1");
  EXPECT_EQ(machine.ToInterleave(), Nodes{});
}

TEST(ParseList, ReadsNumbersAndRanges) {
  EXPECT_EQ(ParseList("0-2,5,9-10\n"), (std::vector<int>{0, 1, 2, 5, 9, 10}));
  EXPECT_EQ(ParseList("7"), std::vector<int>{7});
  EXPECT_EQ(ParseList("\n"), std::vector<int>{});
  for (const char* bad : {"x", "3-", "3-1", "-1", "0-99999999999", "99999999999999999999"})
    EXPECT_EQ(ParseList(bad), std::vector<int>{}) << bad;
}

// The policy that the kernel keeps for an address.
std::pair<int, unsigned long> PolicyAt(std::byte* address) {
  int policy = -1;
  unsigned long mask[64] = {};
  EXPECT_EQ(syscall(SYS_get_mempolicy, &policy, mask, sizeof mask * 8, address, MPOL_F_ADDR), 0);
  return {policy, mask[0]};
}

TEST(InterleavePages, HoldsForWhateverBacksTheRange) {
  constexpr uint64_t kBytes = 1 << 20;
  const auto base = ReserveHostAddresses(kBytes);
  ASSERT_TRUE(base);
  Nodes first = NodesToInterleave();
  first.resize(1);  // node 0 where the kernel does not tell
  if (!InterleavePages(*base, kBytes, first)) {
    const int error = errno;
    ReleaseHostAddresses(*base, kBytes);
    if (error == EPERM || error == ENOSYS) GTEST_SKIP() << "memory policies are forbidden here";
    FAIL() << "mbind: error " << error;
  }
  const std::pair<int, unsigned long> interleaved{MPOL_INTERLEAVE, 1ul << first[0]};
  EXPECT_EQ(PolicyAt(*base), interleaved);
  ASSERT_TRUE(BackHostMemory(*base, kBytes / 2));
  EXPECT_EQ(PolicyAt(*base), interleaved);
  UnbackHostMemory(*base, kBytes / 2);
  ASSERT_TRUE(BackHostMemory(*base, kBytes));
  EXPECT_EQ(PolicyAt(*base + kBytes - 1), interleaved);
  ReleaseHostAddresses(*base, kBytes);
}

TEST(InterleavePages, SaysWhereTheSystemRefuses) {
  constexpr uint64_t kBytes = 1 << 16;
  const auto base = ReserveHostAddresses(kBytes);
  ASSERT_TRUE(base);
  EXPECT_FALSE(InterleavePages(*base, kBytes, Nodes{1000}));  // there is no such node
  ReleaseHostAddresses(*base, kBytes);
}

}  // namespace
}  // namespace mirage::platform
