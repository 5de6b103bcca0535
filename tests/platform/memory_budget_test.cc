// SPDX-License-Identifier: Apache-2.0
#include "platform/memory_budget.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "platform/cgroup.h"
#include "platform/cpu.h"
#include "platform/text_file.h"
#include "temp_folder.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;

// A machine of text files: 16 GiB, half of it available.
class FakeMachine {
 public:
  FakeMachine() {
    Put("proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree: 100 kB\nMemAvailable:    8388608 kB\n");
  }

  void Put(const std::string& name, const std::string& text) const { folder_.Write(name, text); }
  void PutNumber(const std::string& name, uint64_t number) const {
    Put(name, std::to_string(number) + "\n");
  }

  // The process is in `group` of a hierarchy mounted at /sys/fs/cgroup, whose top is the group
  // `top`.
  void MountV2(const std::string& group, const std::string& top = "/") const {
    Put("proc/self/cgroup", "0::" + group + "\n");
    Put("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n31 22 0:26 " + top +
                                   " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 none rw\n");
  }
  void MountV1(const std::string& group) const {
    Put("proc/self/cgroup",
        "9:name=systemd:/x\n5:cpu,cpuacct:/\n4:memory:" + group + "\n0::/elsewhere\n");
    Put("proc/self/mountinfo",
        "31 1 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n");
  }
  Result<MemoryBudget> Budget(std::optional<uint64_t> given = {}, uint64_t own = 0) const {
    return DetectMemoryBudget({given, own, folder_.path()});
  }
  std::string path() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

TEST(MemoryGuard, IsTwoPercentAndAtLeastFourMebibytes) {
  EXPECT_EQ(MemoryGuardBytes(60 * kMib), 4 * kMib);
  EXPECT_EQ(MemoryGuardBytes(1000 * kMib), 20 * kMib);
}

TEST(MemoryBudget, WithoutAnyLimitIsFourFifthsOfAvailableMemory) {
  const FakeMachine machine;
  const auto budget = machine.Budget();
  ASSERT_TRUE(budget) << budget.error().message;
  EXPECT_EQ(budget->source, BudgetSource::kAvailable);
  EXPECT_EQ(budget->limit_bytes, 8192 * kMib);
  EXPECT_EQ(budget->bytes, 8192 * kMib / 5 * 4);
  // What the library holds already is available to it.
  EXPECT_EQ(machine.Budget({}, 512 * kMib)->limit_bytes, 8704 * kMib);
}

TEST(MemoryBudget, AGivenLimitIsUsedWholeLessTheGuard) {
  const FakeMachine machine;
  const auto budget = machine.Budget(60 * kMib);
  EXPECT_EQ(budget->source, BudgetSource::kGiven);
  EXPECT_EQ(budget->bytes, 56 * kMib);
  EXPECT_EQ(machine.Budget(3 * kMib)->bytes, 0u);
}

TEST(MemoryBudget, SaysWhatIsLeftBeside) {
  const FakeMachine machine;  // 8 GiB are available
  EXPECT_EQ(machine.Budget(60 * kMib)->beside_bytes, 8132 * kMib);
  EXPECT_EQ(machine.Budget(9000 * kMib)->beside_bytes, 0u);
  EXPECT_EQ(machine.Budget()->beside_bytes, 8192 * kMib - 8192 * kMib / 5 * 4);
  machine.MountV2("/a");
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 600 * kMib);
  EXPECT_EQ(machine.Budget(500 * kMib)->beside_bytes, 100 * kMib);
  EXPECT_EQ(machine.Budget()->beside_bytes, 0u);
}

TEST(MemoryBudget, WithoutProcTheKernelIsAsked) {
  const TempFolder nothing;
  const Result<MemoryBudget> budget = DetectMemoryBudget({{}, 0, nothing.path()});
  ASSERT_TRUE(budget) << budget.error().message;
  EXPECT_EQ(budget->source, BudgetSource::kAvailable);
  EXPECT_GT(budget->bytes, 0u);
  const Result<MemoryBudget> given = DetectMemoryBudget({64 * kMib, 0, nothing.path()});
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->limit_bytes, 64 * kMib);
  EXPECT_EQ(given->source, BudgetSource::kGiven);
}

TEST(MemoryBudget, OfAVersion2GroupIsItsLimitLessWhatOthersCannotGiveUp) {
  const FakeMachine machine;
  machine.MountV2("/app");
  machine.PutNumber("sys/fs/cgroup/app/memory.max", 1000 * kMib);
  machine.PutNumber("sys/fs/cgroup/app/memory.current", 500 * kMib);
  machine.Put("sys/fs/cgroup/app/memory.stat",
              "anon 1\ninactive_file " + std::to_string(300 * kMib) + "\nactive_file " +
                  std::to_string(50 * kMib) + "\nslab_reclaimable " + std::to_string(30 * kMib) +
                  "\n");
  const auto budget = machine.Budget();
  ASSERT_TRUE(budget);
  EXPECT_EQ(budget->source, BudgetSource::kCgroup);
  EXPECT_EQ(budget->limit_bytes, 880 * kMib);
  EXPECT_EQ(budget->bytes, 880 * kMib - 880 * kMib / 50);
  EXPECT_NE(budget->origin.find("/sys/fs/cgroup/app"), std::string::npos);
  // Of the 120 MiB that cannot be reclaimed 100 are ours.
  EXPECT_EQ(machine.Budget({}, 100 * kMib)->limit_bytes, 980 * kMib);
}

TEST(MemoryBudget, TheTightestAncestorBinds) {
  const FakeMachine machine;
  machine.MountV2("/a/b/c");
  machine.Put("sys/fs/cgroup/a/b/c/memory.max", "max\n");
  machine.PutNumber("sys/fs/cgroup/a/b/memory.max", 900 * kMib);
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 1000 * kMib);
  machine.PutNumber("sys/fs/cgroup/a/memory.current", 400 * kMib);  // a sibling's
  EXPECT_EQ(machine.Budget()->limit_bytes, 600 * kMib);
  machine.PutNumber("sys/fs/cgroup/a/memory.current", 0);
  EXPECT_EQ(machine.Budget()->limit_bytes, 900 * kMib);
}

TEST(MemoryBudget, MemoryHighBindsLikeALimit) {
  const FakeMachine machine;
  machine.MountV2("/a");
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 900 * kMib);
  machine.PutNumber("sys/fs/cgroup/a/memory.high", 700 * kMib);
  EXPECT_EQ(machine.Budget()->limit_bytes, 700 * kMib);
}

TEST(MemoryBudget, OfAVersion1GroupCountsTheGroupsBelowIt) {
  const FakeMachine machine;
  machine.MountV1("/app/inner");
  machine.PutNumber("sys/fs/cgroup/mem ory/app/inner/memory.limit_in_bytes", 9223372036854771712u);
  machine.PutNumber("sys/fs/cgroup/mem ory/app/memory.limit_in_bytes", 800 * kMib);
  machine.PutNumber("sys/fs/cgroup/mem ory/app/memory.usage_in_bytes", 300 * kMib);
  machine.Put("sys/fs/cgroup/mem ory/app/memory.stat",
              "inactive_file 0\ntotal_inactive_file " + std::to_string(200 * kMib) + "\n");
  const auto budget = machine.Budget();
  EXPECT_EQ(budget->source, BudgetSource::kCgroup);
  EXPECT_EQ(budget->limit_bytes, 700 * kMib);
}

TEST(MemoryBudget, Version1NamesLimitsOfAncestorsThatAreNotMounted) {
  const FakeMachine machine;
  machine.MountV1("/");
  machine.PutNumber("sys/fs/cgroup/mem ory/memory.limit_in_bytes", 9223372036854771712u);
  machine.Put("sys/fs/cgroup/mem ory/memory.stat",
              "hierarchical_memory_limit " + std::to_string(500 * kMib) + "\n");
  EXPECT_EQ(machine.Budget()->limit_bytes, 500 * kMib);
}

// In a container the mount shows the container's group at its top, the path may be the host's.
TEST(MemoryBudget, AContainersMountIsItsGroup) {
  const FakeMachine machine;
  machine.MountV2("/docker/1f/work", "/docker/1f");
  machine.PutNumber("sys/fs/cgroup/memory.max", 700 * kMib);
  machine.PutNumber("sys/fs/cgroup/work/memory.max", 600 * kMib);
  EXPECT_EQ(machine.Budget()->limit_bytes, 600 * kMib);
  machine.PutNumber("sys/fs/cgroupff/memory.max", 100 * kMib);
  machine.MountV2("/docker/1fff", "/docker/1f");  // another group with the same beginning
  EXPECT_EQ(machine.Budget()->limit_bytes, 700 * kMib);
  machine.MountV2("/../other");
  EXPECT_EQ(machine.Budget()->limit_bytes, 700 * kMib);
}

TEST(MemoryBudget, AGroupLooserThanTheMachineDoesNotBind) {
  const FakeMachine machine;
  machine.MountV2("/a");
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 12 * 1024 * kMib);  // 8 GiB are available
  EXPECT_EQ(machine.Budget()->source, BudgetSource::kAvailable);
}

TEST(MemoryBudget, TheTighterOfGroupAndGivenLimitBinds) {
  const FakeMachine machine;
  machine.MountV2("/a");
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 600 * kMib);
  EXPECT_EQ(machine.Budget(500 * kMib)->source, BudgetSource::kGiven);
  EXPECT_EQ(machine.Budget(700 * kMib)->source, BudgetSource::kCgroup);
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 12 * 1024 * kMib);
  EXPECT_EQ(machine.Budget(14 * 1024 * kMib)->source, BudgetSource::kCgroup);
}

TEST(MemoryBudget, GroupsFullOfOthersMemoryLeaveNothing) {
  const FakeMachine machine;
  machine.MountV2("/a");
  machine.PutNumber("sys/fs/cgroup/a/memory.max", 600 * kMib);
  machine.PutNumber("sys/fs/cgroup/a/memory.current", 700 * kMib);
  EXPECT_EQ(machine.Budget()->bytes, 0u);
}

TEST(MemoryBudget, NonsenseInTheFilesIsNoLimit) {
  const FakeMachine machine;
  machine.MountV2("/a");
  machine.Put("sys/fs/cgroup/a/memory.max", "-5\n");
  EXPECT_EQ(machine.Budget()->source, BudgetSource::kAvailable);
  machine.Put("sys/fs/cgroup/a/memory.max", "99999999999999999999999\n");
  EXPECT_EQ(machine.Budget()->source, BudgetSource::kAvailable);
  machine.Put("proc/self/mountinfo", "x\n - cgroup2\n1 2 3 4 - cgroup2\n\n");
  EXPECT_EQ(machine.Budget()->source, BudgetSource::kAvailable);
  machine.Put("proc/self/cgroup", ":\n::\n0:\n");
  machine.Put("proc/self/mountinfo", "1 2 3 / /sys/fs/cgroup rw - cgroup2 none rw\n");
  EXPECT_EQ(machine.Budget()->source, BudgetSource::kAvailable);
}

TEST(CgroupCpus, AreTheTightestQuotaRoundedUp) {
  const FakeMachine machine;
  EXPECT_FALSE(FindCgroupCpus(machine.path()));
  machine.MountV2("/a/b");
  machine.Put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(FindCgroupCpus(machine.path()));
  machine.Put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(FindCgroupCpus(machine.path()), 2);
  machine.Put("sys/fs/cgroup/a/b/cpu.max", "10000 100000\n");
  EXPECT_EQ(FindCgroupCpus(machine.path()), 1);
  machine.MountV1("/");
  machine.PutNumber("sys/fs/cgroup/cpu/cpu.cfs_period_us", 100000);
  machine.Put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(FindCgroupCpus(machine.path()));
  machine.PutNumber("sys/fs/cgroup/cpu/cpu.cfs_quota_us", 100000);
  EXPECT_EQ(FindCgroupCpus(machine.path()), 1);
  EXPECT_EQ(UsableCpus(machine.path()), 1);
}

TEST(Cpu, CountsAndNamesThisMachine) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_GE(UsableCores(), 1);
  EXPECT_LE(UsableCores(), UsableCpus());
  EXPECT_FALSE(CpuName().empty());
}

TEST(Cpu, HyperThreadsOfACoreCountOnce) {
  const FakeMachine machine;
  constexpr int kMoreThanAffinityAllowsAnywhere = 512;
  for (int cpu = 0; cpu < kMoreThanAffinityAllowsAnywhere; ++cpu)
    machine.Put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_id", "0\n");
  EXPECT_EQ(UsableCores(machine.path()), 1);
}

TEST(Cpu, FeaturesAgreeWithWhatTheKernelLists) {
  const std::string text = ReadText("/proc/cpuinfo").value_or("");
  const CpuFeatures& cpu = GetCpuFeatures();
  const auto lists = [&](const char* flag) {
    return (text + " ").find(std::string(" ") + flag + " ") != std::string::npos;
  };
#if defined(__x86_64__)
  EXPECT_EQ(cpu.avx2, lists("avx2"));
  EXPECT_EQ(cpu.fma, lists("fma"));
  EXPECT_EQ(cpu.f16c, lists("f16c"));
  EXPECT_EQ(cpu.avx512f, lists("avx512f"));
  EXPECT_EQ(cpu.avx512vnni, lists("avx512_vnni"));
  EXPECT_EQ(cpu.avx512bf16, lists("avx512_bf16"));
  EXPECT_EQ(cpu.avxvnni, lists("avx_vnni"));
  EXPECT_EQ(cpu.amx, lists("amx_int8"));
  EXPECT_FALSE(cpu.neon);
#else
  EXPECT_EQ(cpu.neon, lists("asimd"));
  EXPECT_EQ(cpu.dotprod, lists("asimddp"));
  EXPECT_EQ(cpu.i8mm, lists("i8mm"));
#endif
}

// A real group, where this process may make one.
class RealGroup {
 public:
  RealGroup() {
    for (const CgroupChain& chain : FindCgroups("memory", "")) {
      if (chain.version != 1) continue;
      outer_ = chain.folders.front() + "/mirage-test-" + std::to_string(getpid());
      inner_ = outer_ + "/inner";
      if (mkdir(outer_.c_str(), 0755) == 0 && mkdir(inner_.c_str(), 0755) == 0) made_ = true;
    }
  }
  ~RealGroup() {
    if (!inner_.empty()) rmdir(inner_.c_str());
    if (!outer_.empty()) rmdir(outer_.c_str());
  }
  bool made() const { return made_; }
  bool LimitOuter(uint64_t bytes) const {
    return static_cast<bool>(std::ofstream(outer_ + "/memory.limit_in_bytes")
                             << bytes << std::flush);
  }
  bool EnterInner() const {
    return static_cast<bool>(std::ofstream(inner_ + "/cgroup.procs") << getpid() << std::flush);
  }

 private:
  std::string outer_;
  std::string inner_;
  bool made_ = false;
};

TEST(MemoryBudget, ARealNestedGroupBindsTheProcessInIt) {
  const RealGroup group;
  if (!group.made() || !group.LimitOuter(256 * kMib))
    GTEST_SKIP() << "no writable version 1 memory group here";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!group.EnterInner()) _exit(77);
    const auto budget = DetectMemoryBudget({});
    const bool right = budget && budget->source == BudgetSource::kCgroup &&
                       budget->limit_bytes <= 256 * kMib && budget->limit_bytes > 192 * kMib &&
                       budget->bytes + budget->guard_bytes == budget->limit_bytes;
    if (!right && budget)
      std::fprintf(stderr, "%s: %ju\n", budget->origin.c_str(), uintmax_t{budget->limit_bytes});
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "may not move a process into a memory group";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace mirage::platform
