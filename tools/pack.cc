// SPDX-License-Identifier: Apache-2.0

// mirage pack: a model file in the layout that kernels read.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <memory>
#include <string>

#define MIRAGE_TOOLS_UNSTABLE
#include "mirage/tools.h"
#include "tools/command.h"
#include "tools/failure.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

namespace mirage::cli {
namespace {

struct PackFlags {
  std::string in;
  std::string out;
  std::string quant;
  int32_t threads = 0;
};

int Pack(const PackFlags& flags) {
  CatchInterrupts();
  mirage_tools_pack_report report{};
  report.struct_size = sizeof report;
  {
    ProgressBar bar("packing");
    mirage_tools_pack_options options;
    mirage_tools_pack_options_init(&options, sizeof options);
    options.threads = flags.threads;
    if (!flags.quant.empty()) options.quant = flags.quant.c_str();
    options.progress = ReportProgress;
    options.progress_user_data = &bar;
    mirage_error error = MIRAGE_ERROR_INIT;
    const mirage_status status =
        mirage_tools_pack(flags.in.c_str(), flags.out.c_str(), &options, &report, &error);
    if (status == MIRAGE_CANCELLED) throw Failure(kInterrupted, "packing was interrupted");
    Check(status, error, flags.in);
  }
  WriteStandardOutput(fmt::format(
      "{}: {} bytes in {} regions, {:.2f}% for alignment\n", flags.out, report.file_bytes,
      report.regions,
      100.0 * static_cast<double>(report.padding_bytes) / static_cast<double>(report.file_bytes)));
  return kDone;
}

}  // namespace

void AddPack(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<PackFlags>();
  CLI::App* command =
      AddCommand(app, chosen, "pack",
                 "Writes a model in the layout that kernels read, for quick loads", flags, Pack);
  command
      ->add_option("in", flags->in, "The model: a GGUF file, the first of a split one, or a pack")
      ->required();
  command->add_option("out", flags->out, "The pack to write, MODEL.mirage")->required();
  command->add_option("--quant", flags->quant,
                      "What the matrices become: F16, Q4_0, Q8_0, Q4_K or Q6_K");
  command->add_option("-t,--threads", flags->threads, "Threads; 0: one for each core")
      ->check(CLI::Range(0, 1024));
}

}  // namespace mirage::cli
