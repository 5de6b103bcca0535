// SPDX-License-Identifier: Apache-2.0
#pragma once

// OutputFile: a file that appears under its name whole, or not at all.
//
// Bytes go to a file without a name in the same folder until Commit syncs it and gives it the name,
// in place of one that was there. Destroyed before that, or with the process killed, it leaves
// nothing behind; where the file system knows no files without a name, and in the moment between
// naming the file and replacing another, a process killed leaves ".mirage-XXXXXX" in the folder. A
// symbolic link is followed. One thread at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "platform/file.h"

namespace mirage::platform {

class OutputFile {
 public:
  enum class Readers : uint8_t { kOwner, kAsUsual };  // the owner alone, or as the umask says

  // kNotFound, kIo, kUnsupported for what is there and no file.
  [[nodiscard]] static Result<OutputFile> Create(const std::string& path,
                                                 Readers readers = Readers::kOwner);
  ~OutputFile() { Discard(); }
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) = delete;

  // At the end of what was written by Write.
  [[nodiscard]] Status Write(std::span<const std::byte> bytes);
  [[nodiscard]] Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  // Takes the room for so many bytes now, where the file system can: kIo when there is none.
  [[nodiscard]] Status Reserve(uint64_t bytes);
  // What was written so far, on the device, to be read from it.
  [[nodiscard]] Result<std::unique_ptr<File>> Reopen() const;
  [[nodiscard]] Status Commit();

 private:
  OutputFile(Descriptor fd, std::string temporary, std::string path)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  void Discard();

  Descriptor fd_;
  std::string temporary_;  // empty where the file has no name
  std::string path_;
  uint64_t written_ = 0;
};

}  // namespace mirage::platform
