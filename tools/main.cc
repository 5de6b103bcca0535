// SPDX-License-Identifier: Apache-2.0

// The `mirage` command: everything a person or a script may want of the library without writing a
// program.

#define FMT_HEADER_ONLY
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

#include "mirage/mirage.h"
#include "tools/command.h"
#include "tools/failure.h"

namespace mirage::cli {
namespace {

// Commands that are documented but that this build does not have.
constexpr const char* kAbsentCommands[] = {"serve"};

int Complain(int code, const std::string& message) {
  fmt::print(stderr, "mirage: {}\n", Printable(message));
  return code;
}

// Runs the program mirage-sim, which lies beside this one; returns only where it cannot.
int RunSim(char** argv) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path program = self.parent_path() / "mirage-sim";
  execv(program.c_str(), argv);
  return Complain(kOther, fmt::format("{}: {}", program.string(), std::strerror(errno)));
}

// A file opened while descriptor 0, 1 or 2 is closed would take its place and be read as the
// standard input, or be written to.
// What a closed standard output should have taken is an error.
void KeepStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) == -1)
      static_cast<void>(open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY));
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "sim") return RunSim(argv + 1);
  if (argc > 1)
    for (const char* absent : kAbsentCommands)
      if (std::string(argv[1]) == absent)
        return Complain(kBadInput,
                        fmt::format("the command '{}' is not part of this build", absent));

  CLI::App app("Runs large language models on this machine.", "mirage");
  app.set_version_flag("--version", fmt::format("mirage {}", mirage_version_string()));
  app.require_subcommand(1);
  Action chosen;
  AddRun(app, chosen);
  AddChat(app, chosen);
  AddTokenize(app, chosen);
  AddDetokenize(app, chosen);
  AddRender(app, chosen);
  AddEmbed(app, chosen);
  AddPerplexity(app, chosen);
  AddInspect(app, chosen);
  AddBench(app, chosen);
  AddGrammarCheck(app, chosen);
  AddPack(app, chosen);
  AddTune(app, chosen);
  // A command of its own, since bench's options are not its.
  const bool pressure =
      argc > 2 && std::string(argv[1]) == "bench" && std::string(argv[2]) == "pressure";
  if (pressure) AddPressure(app, chosen);
  const auto commands = app.get_subcommands(
      [&](const CLI::App* command) { return argc > 1 && command->check_name(argv[1]); });
  if (argc > 1 && commands.empty() && app.get_option_no_throw(argv[1]) == nullptr)
    return Complain(kBadInput, fmt::format("there is no {} '{}'; see mirage --help",
                                           argv[1][0] == '-' ? "option" : "command", argv[1]));
  try {
    if (pressure)
      app.parse(argc - 1, argv + 1);
    else
      app.parse(argc, argv);
    return chosen();
  } catch (const CLI::Success& done) {  // --help, --version
    const int code = app.exit(done);
    return std::fflush(stdout) == 0 && std::cout.flush()
               ? code
               : Complain(kOther, "standard output: it cannot be written");
  } catch (const CLI::Error& error) {
    const std::string message = error.what();
    return Complain(kBadInput, message.substr(0, message.find('\n')));
  } catch (const Failure& failure) {
    return Complain(failure.code(), failure.what());
  } catch (const std::bad_alloc&) {
    return Complain(kOther, "out of memory");
  } catch (const std::exception& exception) {
    return Complain(kOther, exception.what());
  }
}

}  // namespace
}  // namespace mirage::cli

int main(int argc, char** argv) {
  mirage::cli::KeepStandardDescriptors();
  return mirage::cli::Main(argc, argv);
}
