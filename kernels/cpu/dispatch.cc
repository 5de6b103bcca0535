// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_table.h"
#include "kernels/cpu/tables.h"
#include "platform/cpu.h"

namespace mirage::kernels {
namespace {

using platform::CpuFeatures;

struct Candidate {
  Ops ops;
  bool (*runs)(const CpuFeatures&);
};

bool Always(const CpuFeatures&) { return true; }

// Slowest first.
#if defined(__x86_64__)
bool HasAvx2(const CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }
bool HasAvx512Vnni(const CpuFeatures& cpu) {
  return HasAvx2(cpu) && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512vnni;
}
constexpr Candidate kCandidates[] = {
    {MakeOps<kGenericKernels>("generic"), Always},
    {MakeOps<kAvx2Kernels>("avx2"), HasAvx2},
    {MakeOps<kAvx512VnniKernels>("avx512vnni"), HasAvx512Vnni},
};
#elif defined(__aarch64__)
constexpr Candidate kCandidates[] = {
    {MakeOps<kGenericKernels>("generic"), Always},
    {MakeOps<kNeonKernels>("neon"), Always},  // part of the base architecture
    {MakeOps<kDotprodKernels>("dotprod"), [](const CpuFeatures& cpu) { return cpu.dotprod; }},
    {MakeOps<kI8mmKernels>("i8mm"), [](const CpuFeatures& cpu) { return cpu.dotprod && cpu.i8mm; }},
};
#endif

}  // namespace

std::span<const Ops* const> RunnableOps() {
  static const std::vector<const Ops*> kRunnable = [] {
    std::vector<const Ops*> runnable;
    for (const Candidate& candidate : kCandidates)
      if (candidate.runs(platform::GetCpuFeatures())) runnable.push_back(&candidate.ops);
    return runnable;
  }();
  return kRunnable;
}

Result<const Ops*> FindCpuOps(std::string_view name) {
  for (const Ops* ops : RunnableOps())
    if (name == ops->name) return ops;
  std::string built;
  for (const std::string_view other : BuiltOpsNames()) {
    if (name == other)
      return Fail(Code::kUnsupported, "this processor cannot run '" + std::string(name) + "'");
    built += (built.empty() ? "" : ", ") + std::string(other);
  }
  return Fail(Code::kUnsupported, "no instruction set '" + std::string(name) + "': " + built);
}

const Ops& CpuOps() { return *RunnableOps().back(); }

std::span<const std::string_view> BuiltOpsNames() {
  static const std::vector<std::string_view> kNames = [] {
    std::vector<std::string_view> names;
    for (const Candidate& candidate : kCandidates) names.push_back(candidate.ops.name);
    return names;
  }();
  return kNames;
}

}  // namespace mirage::kernels
