// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_table.h"
#include "kernels/cpu/tables.h"
#include "platform/cpu.h"

namespace mirage::kernels {
namespace {

using platform::CpuFeatures;

enum class Choice {
  kAutomatic,
  kByName,  // only, until a processor of its kind has passed the tests
};

struct Candidate {
  Ops ops;
  bool (*runs)(const CpuFeatures&);
  Choice choice = Choice::kAutomatic;
};

bool Always(const CpuFeatures&) { return true; }

// Slowest first, by what is known or meant.
#if defined(__x86_64__)
bool HasAvx2(const CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }
bool HasAvx512Vnni(const CpuFeatures& cpu) {
  return HasAvx2(cpu) && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512vnni;
}
// Asks for the permission, which changes what the system expects of the whole process.
bool HasAmx(const CpuFeatures& cpu) { return HasAvx512Vnni(cpu) && platform::EnableAmx(); }
constexpr Candidate kCandidates[] = {
    {MakeOps<kGenericKernels>("generic"), Always},
    {MakeOps<kAvx2Kernels>("avx2"), HasAvx2},
    {MakeOps<kAvx512VnniKernels>("avx512vnni"), HasAvx512Vnni},
    {MakeOps<kAmxKernels>("amx"), HasAmx, Choice::kByName},
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

const Ops& CpuOps() {
  static const Ops* const kFastest = [] {
    const Ops* fastest = nullptr;
    for (const Candidate& candidate : kCandidates)
      if (candidate.choice == Choice::kAutomatic && candidate.runs(platform::GetCpuFeatures()))
        fastest = &candidate.ops;
    return fastest;
  }();
  return *kFastest;
}

const Ops* FindCpuOps(std::string_view name) {
  for (const Candidate& candidate : kCandidates)
    if (candidate.ops.name == name && candidate.runs(platform::GetCpuFeatures()))
      return &candidate.ops;
  return nullptr;
}

std::span<const Ops* const> RunnableOps() {
  static const std::vector<const Ops*> kRunnable = [] {
    std::vector<const Ops*> runnable;
    for (const Candidate& candidate : kCandidates)
      if (candidate.runs(platform::GetCpuFeatures())) runnable.push_back(&candidate.ops);
    return runnable;
  }();
  return kRunnable;
}

std::span<const std::string_view> BuiltOpsNames() {
  static const std::vector<std::string_view> kNames = [] {
    std::vector<std::string_view> names;
    for (const Candidate& candidate : kCandidates) names.push_back(candidate.ops.name);
    return names;
  }();
  return kNames;
}

}  // namespace mirage::kernels
