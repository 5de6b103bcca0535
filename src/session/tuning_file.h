// SPDX-License-Identifier: Apache-2.0
#pragma once

// A tuning as a file: what was measured, and on which machine.
//
//   {"format": "mirage-tuning", "version": 1,
//    "machine": {"cpu": "AMD EPYC", "kernels": "avx2", "cpus": 16},
//    "threads": {"decode": 8, "prefill": 16},
//    "tasks": {"per_thread": 4, "panel_bytes": 524288},
//    "trials": [...]}
//
// "trials" is for people and never read. Any thread.

#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "model/cpu_kernels.h"
#include "model/tuning.h"

namespace mirage::session {

// What a tuning is good for: another processor, other kernels or another number of processors to
// use want one of their own.
struct TunedMachine {
  std::string cpu;
  std::string kernels;
  int cpus = 0;
};
[[nodiscard]] TunedMachine ThisMachine(const kernels::Ops& ops);

[[nodiscard]] std::string TuningText(const TunedMachine& machine,
                                     const model::MeasuredTuning& measured);

// kCorrupt naming the key that is missing, unknown or cannot be right. A tuning for another machine
// or in another version is none: the default one, after a line of the log that says what differs.
[[nodiscard]] Result<model::Tuning> ParseTuning(std::string_view text, const std::string& name,
                                                const TunedMachine& machine, const LogSink& log);

// That of a file; fails as opening it does too.
[[nodiscard]] Result<model::Tuning> LoadTuning(const std::string& path, const TunedMachine& machine,
                                               const LogSink& log);

}  // namespace mirage::session
