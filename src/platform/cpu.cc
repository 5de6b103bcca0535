// SPDX-License-Identifier: Apache-2.0
#include "platform/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/cgroup.h"
#include "platform/text_file.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace mirage::platform {
namespace {

#if defined(__x86_64__)

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf Cpuid(uint32_t leaf, uint32_t part = 0) {
  CpuidLeaf out;
  __get_cpuid_count(leaf, part, &out.eax, &out.ebx, &out.ecx, &out.edx);
  return out;
}

// Register state that the operating system saves on a context switch.
uint64_t SavedState() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

CpuFeatures Detect() {
  constexpr uint64_t kYmmState = 0x6;       // XMM, YMM
  constexpr uint64_t kZmmState = 0xE6;      // and masks, ZMM
  constexpr uint64_t kTileState = 0x60000;  // tile configuration and data
  const auto bit = [](uint32_t reg, int number) { return ((reg >> number) & 1u) != 0; };
  const CpuidLeaf basic = Cpuid(1);
  CpuFeatures cpu;
  if (!bit(basic.ecx, 27)) return cpu;  // OSXSAVE: xgetbv exists
  const uint64_t saved = SavedState();
  const CpuidLeaf wide = Cpuid(7);
  const CpuidLeaf wide1 = wide.eax >= 1 ? Cpuid(7, 1) : CpuidLeaf{};
  if ((saved & kYmmState) == kYmmState) {
    cpu.fma = bit(basic.ecx, 12);
    cpu.f16c = bit(basic.ecx, 29);
    cpu.avx2 = bit(wide.ebx, 5);
    cpu.avxvnni = bit(wide1.eax, 4);
  }
  if ((saved & kZmmState) == kZmmState) {
    cpu.avx512f = bit(wide.ebx, 16);
    cpu.avx512bw = bit(wide.ebx, 30);
    cpu.avx512vl = bit(wide.ebx, 31);
    cpu.avx512vnni = bit(wide.ecx, 11);
    cpu.avx512bf16 = bit(wide1.eax, 5);
  }
  if ((saved & kTileState) == kTileState)
    cpu.amx = bit(wide.edx, 24) && bit(wide.edx, 25) && bit(wide.edx, 22);
  return cpu;
}

std::optional<std::string> BrandString() {
  if (Cpuid(0x80000000u).eax < 0x80000004u) return std::nullopt;
  char text[49] = {};
  for (uint32_t part = 0; part < 3; ++part) {
    const CpuidLeaf leaf = Cpuid(0x80000002u + part);
    std::memcpy(text + 16 * part, &leaf, 16);
  }
  const std::string_view name(text);
  const size_t first = name.find_first_not_of(' ');
  if (first == std::string_view::npos) return std::nullopt;
  return std::string(name.substr(first, name.find_last_not_of(' ') - first + 1));
}

#elif defined(__aarch64__)

CpuFeatures Detect() {
  constexpr unsigned long kAsimd = 1ul << 1;     // AT_HWCAP
  constexpr unsigned long kAsimdDp = 1ul << 20;  // AT_HWCAP
  constexpr unsigned long kI8mm = 1ul << 13;     // AT_HWCAP2
  CpuFeatures cpu;
  cpu.neon = (getauxval(AT_HWCAP) & kAsimd) != 0;
  cpu.dotprod = (getauxval(AT_HWCAP) & kAsimdDp) != 0;
  cpu.i8mm = (getauxval(AT_HWCAP2) & kI8mm) != 0;
  return cpu;
}

std::optional<std::string> BrandString() { return std::nullopt; }

#endif

// Numbers of the processors in the affinity mask, however many the machine has.
std::vector<int> AllowedCpus() {
  std::vector<int> cpus;
  constexpr size_t kMostCpus = size_t{1} << 20;
  for (size_t count = 1024; count <= kMostCpus; count *= 2) {
    const size_t bytes = CPU_ALLOC_SIZE(count);
    const auto free_set = [](cpu_set_t* set) { CPU_FREE(set); };
    const std::unique_ptr<cpu_set_t, decltype(free_set)> set(CPU_ALLOC(count), free_set);
    if (!set) break;
    CPU_ZERO_S(bytes, set.get());
    if (sched_getaffinity(0, bytes, set.get()) == 0) {
      for (size_t cpu = 0; cpu < count; ++cpu)
        if (CPU_ISSET_S(cpu, bytes, set.get())) cpus.push_back(static_cast<int>(cpu));
      break;
    }
    if (errno != EINVAL) break;  // EINVAL: the machine has more
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

}  // namespace

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = Detect();
  return features;
}

bool EnableAmx() {
#if defined(__x86_64__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  return GetCpuFeatures().amx && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

std::string CpuName(const std::string& root) {
  if (root.empty())
    if (std::optional<std::string> brand = BrandString()) return *brand;
  const std::string text = ReadText(root + "/proc/cpuinfo").value_or("");
  if (const auto model = FindValue(text, "model name")) return std::string(*model);
  const auto implementer = FindValue(text, "CPU implementer");
  const auto part = FindValue(text, "CPU part");
  if (implementer && part)
    return "implementer " + std::string(*implementer) + " part " + std::string(*part);
  return "unknown";
}

int UsableCpus(const std::string& root) {
  const int allowed = static_cast<int>(AllowedCpus().size());
  return std::min(allowed, FindCgroupCpus(root).value_or(allowed));
}

int UsableCores(const std::string& root) {
  std::set<std::pair<uint64_t, uint64_t>> cores;
  for (const int cpu : AllowedCpus()) {
    const std::string folder =
        root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const std::optional<uint64_t> core = ReadNumber(folder + "core_id");
    if (!core) return UsableCpus(root);  // the kernel does not say
    cores.emplace(ReadNumber(folder + "physical_package_id").value_or(0), *core);
  }
  return std::min(static_cast<int>(cores.size()), UsableCpus(root));
}

}  // namespace mirage::platform
