// SPDX-License-Identifier: Apache-2.0

// mirage tune: with how many threads and in pieces of which size this machine computes fastest,
// measured in about 20 seconds and kept for the other commands.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <memory>
#include <string>

#define MIRAGE_TOOLS_UNSTABLE
#include "mirage/tools.h"
#include "tools/command.h"
#include "tools/failure.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/progress.h"
#include "tools/tuning_place.h"

namespace mirage::cli {
namespace {

struct TuneFlags {
  std::string out;
  std::string device = "cpu";
  bool json = false;
};

std::string Text(const std::string& path, const Json& tuning) {
  std::string text;
  for (const Json& trial : tuning["trials"]) {
    const bool decode = trial["pass"] == "decode";
    text += fmt::format(
        "{:7}  {:4} threads  {:4} tasks per thread  {:5} KiB panels  {:8.1f} {:6}  x {:.2f}\n",
        trial["pass"].get<std::string>(), trial["threads"].get<int>(),
        trial["tasks_per_thread"].get<int>(), trial["panel_bytes"].get<int64_t>() / 1024,
        trial[decode ? "gb_s" : "gmac_s"].get<double>(), decode ? "GB/s" : "GMAC/s",
        trial["speedup"].get<double>());
  }
  return text + fmt::format(
                    "{}: decode with {} threads, prefill with {}, {} tasks per thread, panels of "
                    "{} KiB\n",
                    path, tuning["threads"]["decode"].get<int>(),
                    tuning["threads"]["prefill"].get<int>(),
                    tuning["tasks"]["per_thread"].get<int>(),
                    tuning["tasks"]["panel_bytes"].get<int64_t>() / 1024);
}

int Tune(const TuneFlags& flags) {
  CatchInterrupts();
  const std::string path = flags.out.empty() ? MakeDefaultTuningPlace() : flags.out;
  {
    ProgressBar bar("tune");
    mirage_error error = MIRAGE_ERROR_INIT;
    const mirage_status status =
        mirage_tools_tune(flags.device.c_str(), path.c_str(), ReportProgress, &bar, &error);
    if (status == MIRAGE_CANCELLED) throw Failure(kInterrupted, "tuning was interrupted");
    Check(status, error, "");
  }
  const std::string written = ReadFile(path);
  WriteStandardOutput(flags.json ? written : Text(path, Json::parse(written, nullptr, false)));
  return kDone;
}

}  // namespace

void AddTune(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<TuneFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "tune",
      "Measures how many threads and which cuts are fastest here, for later runs", flags, Tune);
  command->add_option("--out", flags->out,
                      "Where to keep it instead of $XDG_CACHE_HOME/mirage/tuning.json or "
                      "~/.cache/mirage/tuning.json, where other commands look for it");
  ModelFlags::AddDevice(*command, &flags->device);
  command->add_flag("--json", flags->json, "What is kept, instead of text");
}

}  // namespace mirage::cli
