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
#include <vector>

#include "tools/answer.h"
#include "tools/answer_printer.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/tools_file.h"

namespace mirage::cli {
namespace {

struct ChatFlags {
  ModelFlags model;
  OverflowFlags overflow;
  SamplingFlags sampling;
  std::optional<std::string> system;
  std::optional<std::string> tools;  // a file
};

// The next line; nothing at the end of the input, or with Interrupted() after a Ctrl-C that ends
// the conversation: the second in a row at a terminal, where the first drops what was typed; any
// where nobody types.
std::optional<std::string> ReadLine(bool terminal, const std::string& asks = "> ") {
  bool dropped = false;  // what was typed, by the Ctrl-C before
  while (terminal || !Interrupted()) {
    if (terminal) WriteStandardOutput(asks);
    char* line = nullptr;
    size_t capacity = 0;
    ssize_t bytes = -1;
    errno = 0;
    if (terminal && !WaitForInput(STDIN_FILENO))
      errno = EINTR;
    else
      bytes = getline(&line, &capacity, stdin);
    const std::unique_ptr<char, void (*)(void*)> owner(line, std::free);
    if (bytes >= 0) {
      std::string text(line, static_cast<size_t>(bytes));
      if (!text.empty() && text.back() == '\n') text.pop_back();
      return text;
    }
    if (errno != EINTR) {
      if (std::ferror(stdin) != 0) throw ReadFailure("standard input");
      if (terminal) WriteStandardOutput("\n");
      return std::nullopt;
    }
    std::clearerr(stdin);
    if (!terminal || !Interrupted()) continue;
    WriteStandardOutput("\n");
    if (dropped) return std::nullopt;
    dropped = true;
    ClearInterrupt();
    WriteStandardOutput("(Ctrl-C again, or Ctrl-D, ends the conversation)\n");
  }
  return std::nullopt;
}

void KeepMessages(mirage_session* session, uint64_t count) {
  mirage_error error = MIRAGE_ERROR_INIT;
  Check(mirage_session_truncate(session, count, &error), error, "");
}

Answer ShowAnswer(const mirage_model* model, mirage_session* session,
                  const mirage_generation_options& options) {
  AnswerPrinter printer;
  Answer answer =
      Generate(session, options, [&](const mirage_event& event) { printer.Print(event); });
  printer.End();
  if (options.logprobs > 0) PrintLogprobs(model, answer.tokens);
  if (answer.failure) throw Failure(*answer.failure);
  NoteFullContext(answer, session, options.max_tokens);
  return answer;
}

// What the tools gave, a line for each call; false when the input ends before.
bool ReadResults(mirage_session* session, const std::vector<Answer::Call>& calls, bool terminal) {
  mirage_error error = MIRAGE_ERROR_INIT;
  for (const Answer::Call& call : calls) {
    const std::optional<std::string> result = ReadLine(terminal, call.name + " gives> ");
    if (!result) return false;
    Check(mirage_session_append_tool_result(session, call.id.c_str(), call.name.c_str(),
                                            result->data(), result->size(), &error),
          error, "");
  }
  return true;
}

// One message and its answers: another after each that calls tools. A message for which the context
// has no room left, or which the template refuses, is taken back: the conversation goes on without
// it, and without one that a Ctrl-C ended at its calls. False when the conversation is to end.
bool Exchange(const mirage_model* model, mirage_session* session,
              const mirage_generation_options& options, const std::string& line, bool terminal) {
  const uint64_t before = SessionStats(session).messages;
  try {
    AppendMessage(session, "user", line);
    for (;;) {
      const Answer answer = ShowAnswer(model, session, options);
      if (answer.calls.empty()) return true;
      if (Interrupted()) break;
      if (!ReadResults(session, answer.calls, terminal)) return false;
    }
  } catch (const Failure& failure) {
    if (failure.status() != MIRAGE_CONTEXT_FULL && failure.status() != MIRAGE_REFUSED) throw;
    fmt::print(stderr, "mirage: {} (/clear begins anew)\n", Printable(failure.what()));
  }
  KeepMessages(session, before);
  return true;
}

int Chat(const ChatFlags& flags) {
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal)
    CatchEveryInterrupt();
  else
    CatchInterrupts();
  const mirage_session_options session_options = flags.overflow.SessionOptions();
  std::optional<Grammar> grammar = flags.sampling.grammar.Read();
  const std::optional<std::string> tools = ReadTools(flags.tools);
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = flags.model.Load(runtime.get(), 1);
  const SessionHandle session = OpenSession(model.get(), &session_options);
  const ModelHandle draft =
      flags.model.LoadDraft(runtime.get(), model.get(), flags.sampling.draft_model);
  const Adapters adapters(model.get(), flags.model.lora);
  const GenerationOptions options(model.get(), flags.sampling, std::move(grammar), adapters,
                                  draft.get());
  if (ModelInfo(model.get()).has_chat_template != 1)
    AppendMessage(session.get(), "user", "");  // fails, and says why there is none
  if (tools) AppendTools(session.get(), *tools);
  if (flags.system) AppendMessage(session.get(), "system", *flags.system);
  while (const std::optional<std::string> line = ReadLine(terminal)) {
    if (*line == "/clear")
      KeepMessages(session.get(), flags.system ? 1 : 0);
    else if (!line->empty() &&
             !Exchange(model.get(), session.get(), options.get(), *line, terminal))
      break;
    if (!terminal && Interrupted()) break;
    ClearInterrupt();
  }
  return Interrupted() ? kInterrupted : kDone;
}

}  // namespace

void AddChat(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "chat",
      "A conversation; Ctrl-C ends an answer, Ctrl-D or a second Ctrl-C the conversation, /clear "
      "begins anew",
      flags, Chat);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  flags->model.lora.Add(*command);
  flags->overflow.Add(*command);
  flags->sampling.Add(*command);
  command->add_option("--system", flags->system, "A system message to begin with");
  command->add_option(
      "--tools", flags->tools,
      std::string(kAboutTools) + "; what they give is the next lines of input, one for each call");
}

}  // namespace mirage::cli
