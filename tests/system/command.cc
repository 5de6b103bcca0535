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

}  // namespace

Outcome RunMirage(const std::vector<std::string>& arguments, const std::string& input,
                  int interrupt_after_ms) {
  const Capture in(input);
  const Capture out;
  const Capture err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);
  std::vector<std::string> words = {MIRAGE_COMMAND};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawn(&child, MIRAGE_COMMAND, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("posix_spawn");
  if (interrupt_after_ms >= 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(interrupt_after_ms));
    kill(child, SIGINT);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out.Read(), err.Read()};
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
  static const TemporaryFile file([] {
    tiny_model model = tiny_model_make();
    std::string bytes(reinterpret_cast<const char*>(model.data), model.bytes);
    tiny_model_free(&model);
    return bytes;
  }());
  return file.path();
}

std::string RealModel(const std::string& name) {
  const char* folder = std::getenv("MIRAGE_TEST_MODELS");
  if (folder == nullptr) return "";
  const std::string path = std::string(folder) + "/" + name;
  return access(path.c_str(), R_OK) == 0 ? path : "";
}

}  // namespace mirage::test
