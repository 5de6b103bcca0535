// SPDX-License-Identifier: Apache-2.0
#include "platform/memory_budget.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "platform/cgroup.h"
#include "platform/os_error.h"
#include "platform/text_file.h"

namespace mirage::platform {
namespace {

struct MachineMemory {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
};

// Without /proc, as in some sandboxes, the kernel still says what is free, though not which of its
// caches it would give up.
Result<MachineMemory> AskKernel() {
  struct sysinfo facts;
  if (sysinfo(&facts) != 0) return Fail(OsError("sysinfo", errno));
  const uint64_t unit = facts.mem_unit;
  return MachineMemory{facts.totalram * unit, (facts.freeram + facts.bufferram) * unit};
}

Result<MachineMemory> ReadMachineMemory(const std::string& root) {
  constexpr uint64_t kKib = 1024;
  const std::string text = ReadText(root + "/proc/meminfo").value_or("");
  const std::optional<uint64_t> total = FindNumber(text, "MemTotal");
  const std::optional<uint64_t> available = FindNumber(text, "MemAvailable");
  if (!total || !available) return AskKernel();
  return MachineMemory{*total * kKib, *available * kKib};
}

MemoryBudget Guarded(BudgetSource source, uint64_t limit_bytes, std::string origin) {
  const uint64_t guard = std::min(MemoryGuardBytes(limit_bytes), limit_bytes);
  return {limit_bytes - guard, limit_bytes, guard, 0, source, std::move(origin)};
}

}  // namespace

uint64_t MemoryGuardBytes(uint64_t limit_bytes) {
  constexpr uint64_t kLeast = uint64_t{4} << 20;
  return std::max(kLeast, limit_bytes / 50);
}

Result<MemoryBudget> DetectMemoryBudget(const MemoryBudgetQuery& query) {
  MIRAGE_TRY_ASSIGN(const MachineMemory machine, ReadMachineMemory(query.root));
  const std::optional<CgroupMemory> cgroup =
      FindCgroupMemory(query.own_bytes, machine.total_bytes, query.root);
  const uint64_t available = machine.available_bytes + query.own_bytes;

  // A group that leaves more than the user gave, or than the machine has, is not what binds.
  if (cgroup && cgroup->room_bytes() <= query.given_bytes.value_or(available))
    return Guarded(BudgetSource::kCgroup, cgroup->room_bytes(), cgroup->folder);
  if (query.given_bytes) {
    MemoryBudget budget = Guarded(BudgetSource::kGiven, *query.given_bytes, "the given limit");
    const uint64_t room = std::min(available, cgroup ? cgroup->room_bytes() : available);
    budget.beside_bytes = room - std::min(room, *query.given_bytes);
    return budget;
  }
  const uint64_t share = available / 5 * 4;
  return MemoryBudget{share,
                      available,
                      available - share,
                      available - share,
                      BudgetSource::kAvailable,
                      "available memory"};
}

}  // namespace mirage::platform
