// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a program as a shell would, and gives back all that it said.

#include <string>
#include <vector>

namespace mirage::test {

struct Outcome {
  int code = -1;  // exit status, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

// The `mirage` command; `interrupt_after_ms` >= 0 sends it Ctrl-C, before the end of its input.
[[nodiscard]] Outcome RunMirage(const std::vector<std::string>& arguments,
                                const std::string& input = "", int interrupt_after_ms = -1);

// The command at a terminal, where each of `typed` follows another "> ". What it says is in `out`.
[[nodiscard]] Outcome RunAtTerminal(const std::vector<std::string>& arguments,
                                    const std::vector<std::string>& typed);
inline const std::string kCtrlC = "\x03";
inline const std::string kCtrlD = "\x04";

// A file that lives as long as the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The tiny models of tests/abi, each written once.
[[nodiscard]] const std::string& TinyModel();
[[nodiscard]] const std::string& TinyToolModel();
[[nodiscard]] const std::string& TinyInfillModel();

// A LoRA adapter of it, written once.
[[nodiscard]] const std::string& TinyAdapter();

// A real model in the folder MIRAGE_TEST_MODELS names, or empty.
[[nodiscard]] std::string RealModel(const std::string& name);

}  // namespace mirage::test
