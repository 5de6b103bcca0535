// SPDX-License-Identifier: Apache-2.0
#pragma once

// OutputFile: a file that appears under its name whole, or not at all.
//
// Bytes go to a temporary file in the same folder, readable by the owner alone, until Commit syncs
// and renames it. Destroyed before that it leaves nothing behind. One thread at a time.

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "platform/file.h"

namespace mirage::platform {

class OutputFile {
 public:
  // kNotFound, kIo.
  [[nodiscard]] static Result<OutputFile> Create(const std::string& path);
  ~OutputFile() { Discard(); }
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) = delete;

  [[nodiscard]] Status Write(std::span<const std::byte> bytes);
  // The file is now under its name, in place of one that was there.
  [[nodiscard]] Status Commit();

 private:
  OutputFile(Descriptor fd, std::string temporary, std::string path)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  void Discard();

  Descriptor fd_;
  std::string temporary_;  // empty once it is gone
  std::string path_;
};

}  // namespace mirage::platform
