// SPDX-License-Identifier: Apache-2.0

// mirage chat: a conversation, line by line.

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tools/answer.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"

namespace mirage::cli {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> system;
};

// The next line; nothing at the end of the input. Ctrl-C drops what was typed and asks again.
std::optional<std::string> ReadLine() {
  for (;;) {
    if (isatty(STDIN_FILENO) == 1) WriteStandardOutput("> ");
    char* line = nullptr;
    size_t capacity = 0;
    errno = 0;
    const ssize_t bytes = getline(&line, &capacity, stdin);
    const std::unique_ptr<char, void (*)(void*)> owner(line, std::free);
    if (bytes >= 0) {
      std::string text(line, static_cast<size_t>(bytes));
      if (!text.empty() && text.back() == '\n') text.pop_back();
      return text;
    }
    if (errno != EINTR) {
      if (std::ferror(stdin) != 0) throw ReadFailure("standard input");
      if (isatty(STDIN_FILENO) == 1) WriteStandardOutput("\n");
      return std::nullopt;
    }
    std::clearerr(stdin);
    ClearInterrupt();
    WriteStandardOutput("\n");
  }
}

void KeepMessages(mirage_session* session, uint64_t count) {
  mirage_error error = MIRAGE_ERROR_INIT;
  Check(mirage_session_truncate(session, count, &error), error, "");
}

// One message and its answer. A message for which the context has no room left, or which the
// template refuses, is taken back: the conversation goes on without it.
void Exchange(const mirage_model* model, mirage_session* session,
              const mirage_generation_options& options, const std::string& line) {
  const uint64_t before = SessionStats(session).messages;
  try {
    AppendMessage(session, "user", line);
    const Answer answer = Generate(session, options, WriteStandardOutput);
    WriteStandardOutput("\n");
    if (options.logprobs > 0) PrintLogprobs(model, answer);
    if (answer.failure) throw Failure(*answer.failure);
    NoteFullContext(answer, session, options.max_tokens);
  } catch (const Failure& failure) {
    if (failure.status() != MIRAGE_CONTEXT_FULL && failure.status() != MIRAGE_REFUSED) throw;
    fmt::print(stderr, "mirage: {} (/clear begins anew)\n", Printable(failure.what()));
    KeepMessages(session, before);
  }
}

int Chat(const ChatFlags& flags) {
  CatchEveryInterrupt();
  std::optional<Grammar> grammar = flags.sampling.grammar.Read();
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = flags.model.Load(runtime.get(), 1);
  const SessionHandle session = OpenSession(model.get());
  const GenerationOptions options(model.get(), flags.sampling, std::move(grammar));
  if (ModelInfo(model.get()).has_chat_template != 1)
    AppendMessage(session.get(), "user", "");  // fails, and says why there is none
  if (flags.system) AppendMessage(session.get(), "system", *flags.system);
  while (const std::optional<std::string> line = ReadLine()) {
    ClearInterrupt();
    if (*line == "/clear")
      KeepMessages(session.get(), flags.system ? 1 : 0);
    else if (!line->empty())
      Exchange(model.get(), session.get(), options.get(), *line);
    ClearInterrupt();
  }
  return kDone;
}

}  // namespace

void AddChat(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "chat",
      "A conversation; Ctrl-C ends an answer, Ctrl-D the conversation, /clear begins anew", flags,
      Chat);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  flags->sampling.Add(*command);
  command->add_option("--system", flags->system, "A system message to begin with");
}

}  // namespace mirage::cli
