// SPDX-License-Identifier: Apache-2.0
#pragma once

// A command is one file here: it adds its subcommand with its options, and what to do when it is
// chosen.

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

namespace mirage::cli {

// What the chosen command does; gives the exit code.
using Action = std::function<int()>;

void AddRun(CLI::App& app, Action& chosen);
void AddChat(CLI::App& app, Action& chosen);
void AddTokenize(CLI::App& app, Action& chosen);
void AddDetokenize(CLI::App& app, Action& chosen);
void AddRender(CLI::App& app, Action& chosen);
void AddEmbed(CLI::App& app, Action& chosen);
void AddPerplexity(CLI::App& app, Action& chosen);
void AddInspect(CLI::App& app, Action& chosen);
void AddBench(CLI::App& app, Action& chosen);
void AddPressure(CLI::App& app, Action& chosen);  // bench pressure
void AddGrammarCheck(CLI::App& app, Action& chosen);
void AddPack(CLI::App& app, Action& chosen);
void AddTune(CLI::App& app, Action& chosen);

// A subcommand whose options live in `flags` for as long as the program runs.
template <typename Flags>
CLI::App* AddCommand(CLI::App& app, Action& chosen, const char* name, const char* about,
                     const std::shared_ptr<Flags>& flags, int (*act)(const Flags&)) {
  CLI::App* command = app.add_subcommand(name, about);
  command->callback([&chosen, flags, act] { chosen = [flags, act] { return act(*flags); }; });
  return command;
}

}  // namespace mirage::cli
