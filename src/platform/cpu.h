// SPDX-License-Identifier: Apache-2.0
#pragma once

// The processors: what they can do, and how many of them this process may use. Any thread.

#include <string>

namespace mirage::platform {

// Instruction sets that both the processor and the operating system support.
struct CpuFeatures {
  // x86-64
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avxvnni = false;
  bool amx = false;  // tiles with int8 and bf16 products; EnableAmx() before the first use
  // aarch64
  bool neon = false;
  bool dotprod = false;
  bool i8mm = false;
};

[[nodiscard]] const CpuFeatures& GetCpuFeatures();

// Asks the kernel for tile state for the whole process; false where it refuses, as it does while a
// thread has an alternate signal stack that is too small for that state. Permitted, it refuses such
// stacks instead: sigaltstack() then wants getauxval(AT_MINSIGSTKSZ) bytes.
[[nodiscard]] bool EnableAmx();

// The model name as the processor or the kernel gives it.
[[nodiscard]] std::string CpuName(const std::string& root = "");

// Processors that the affinity mask and the tightest cgroup quota allow: at least 1.
[[nodiscard]] int UsableCpus(const std::string& root = "");

// Cores behind the processors of the affinity mask (two hyper-threads are one core), not more than
// UsableCpus: the number of threads that computing gains from.
[[nodiscard]] int UsableCores(const std::string& root = "");

}  // namespace mirage::platform
