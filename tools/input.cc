// SPDX-License-Identifier: Apache-2.0

#include "tools/input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace mirage::cli {
namespace {

// More than the library takes of any text; a device may have no end.
constexpr size_t kMostBytes = size_t{256} << 20;

std::string ReadAll(std::FILE* file, const std::string& name) {
  std::string text;
  char block[1 << 16];
  while (const size_t bytes = std::fread(block, 1, sizeof block, file)) {
    text.append(block, bytes);
    if (text.size() > kMostBytes)
      throw Failure(kBadInput,
                    name + ": more than " + std::to_string(kMostBytes >> 20) + " MiB of text");
  }
  if (std::ferror(file) != 0) throw ReadFailure(name);
  return text;
}

}  // namespace

Failure ReadFailure(const std::string& name) {
  return {errno == EISDIR ? kBadInput : kOther, name + ": " + std::strerror(errno)};
}

std::string ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (file == nullptr)
    throw Failure(errno == EACCES ? kOther : kBadInput, path + ": " + std::strerror(errno));
  return ReadAll(file.get(), path);
}

std::string ReadStandardInput() { return ReadAll(stdin, "standard input"); }

void WriteStandardOutput(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Failure(kOther, std::string("standard output: ") + std::strerror(errno));
}

}  // namespace mirage::cli
