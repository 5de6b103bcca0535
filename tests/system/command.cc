// SPDX-License-Identifier: Apache-2.0

#include "command.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>

#include "tiny_model.h"

extern char** environ;

namespace mirage::test {
namespace {

// An unlinked temporary file: output of any length, without a pipe that could fill up.
class Capture {
 public:
  explicit Capture(const std::string& text = "") : file_(std::tmpfile(), std::fclose) {
    if (file_ == nullptr) throw std::runtime_error("tmpfile");
    std::fwrite(text.data(), 1, text.size(), file_.get());
    std::rewind(file_.get());
  }
  [[nodiscard]] int fd() const { return fileno(file_.get()); }
  [[nodiscard]] std::string Read() const {
    std::string text;
    char block[4096];
    std::rewind(file_.get());
    while (const size_t bytes = std::fread(block, 1, sizeof block, file_.get()))
      text.append(block, bytes);
    return text;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

// Its standard input, output and error are as `actions` say.
pid_t Spawn(const std::vector<std::string>& arguments, posix_spawn_file_actions_t* actions,
            short flags = 0) {
  std::vector<std::string> words = {MIRAGE_COMMAND};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, flags);
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, MIRAGE_COMMAND, actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(actions);
  if (failed != 0) throw std::runtime_error("posix_spawn");
  return child;
}

int WaitFor(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A pipe that holds some bytes and is open for more.
class OpenInput {
 public:
  explicit OpenInput(const std::string& text) {
    if (pipe2(ends_, O_CLOEXEC) != 0 ||
        write(ends_[1], text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("pipe");
  }
  ~OpenInput() {
    close(ends_[0]);
    close(ends_[1]);
  }
  OpenInput(const OpenInput&) = delete;
  OpenInput& operator=(const OpenInput&) = delete;
  [[nodiscard]] int fd() const { return ends_[0]; }

 private:
  int ends_[2] = {-1, -1};
};

// The master's side of a new terminal.
int OpenTerminal() {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
    throw std::runtime_error("posix_openpt");
  return master;
}

std::string BytesOf(tiny_model model) {
  std::string bytes(reinterpret_cast<const char*>(model.data), model.bytes);
  tiny_model_free(&model);
  return bytes;
}

}  // namespace

Outcome RunMirage(const std::vector<std::string>& arguments, const std::string& input,
                  int interrupt_after_ms) {
  const bool interrupted = interrupt_after_ms >= 0;
  const Capture in(input);
  const OpenInput open_in(interrupted ? input : "");
  const Capture out;
  const Capture err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, interrupted ? open_in.fd() : in.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);
  const pid_t child = Spawn(arguments, &actions);
  if (interrupted) {
    std::this_thread::sleep_for(std::chrono::milliseconds(interrupt_after_ms));
    kill(child, SIGINT);
  }
  const int code = WaitFor(child);
  return {code, out.Read(), err.Read()};
}

Outcome RunAtTerminal(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& typed) {
  const int master = OpenTerminal();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // The first terminal that the leader of a new session opens is the one whose Ctrl-C it gets.
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, ptsname(master), O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
  const pid_t child = Spawn(arguments, &actions, POSIX_SPAWN_SETSID);
  Outcome outcome;
  size_t prompted = 0;  // up to where the output was looked at
  size_t next = 0;
  for (;;) {
    pollfd wait = {master, POLLIN, 0};
    if (poll(&wait, 1, 60'000) <= 0) kill(child, SIGKILL);
    char block[4096];
    const ssize_t bytes = read(master, block, sizeof block);
    if (bytes <= 0) break;  // the command has closed its side
    outcome.out.append(block, static_cast<size_t>(bytes));
    for (size_t at;
         next < typed.size() && (at = outcome.out.find("> ", prompted)) != std::string::npos;
         prompted = at + 2) {
      const std::string& keys = typed[next++];
      if (write(master, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) break;
    }
  }
  close(master);
  outcome.code = WaitFor(child);
  return outcome;
}

TemporaryFile::TemporaryFile(const std::string& text) {
  char path[] = "/tmp/mirage-test-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      close(fd) != 0)
    throw std::runtime_error("mkstemp");
  path_ = path;
}

TemporaryFile::~TemporaryFile() { unlink(path_.c_str()); }

const std::string& TinyModel() {
  static const TemporaryFile file(BytesOf(tiny_model_make()));
  return file.path();
}

const std::string& TinyAdapter() {
  static const TemporaryFile file(BytesOf(tiny_adapter_make(TINY_LAYERS, 4, 1)));
  return file.path();
}

const std::string& TinyToolModel() {
  static const TemporaryFile file(BytesOf(tiny_model_of_tools()));
  return file.path();
}

const std::string& TinyInfillModel() {
  static const TemporaryFile file(BytesOf(tiny_model_of_infill()));
  return file.path();
}

std::string RealModel(const std::string& name) {
  const char* folder = std::getenv("MIRAGE_TEST_MODELS");
  if (folder == nullptr) return "";
  const std::string path = std::string(folder) + "/" + name;
  return access(path.c_str(), R_OK) == 0 ? path : "";
}

}  // namespace mirage::test
