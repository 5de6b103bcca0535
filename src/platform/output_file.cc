// SPDX-License-Identifier: Apache-2.0
#include "platform/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "platform/os_error.h"
#include "platform/random.h"

namespace mirage::platform {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

constexpr int kTries = 100;  // at a name nobody has

Result<std::string> TemporaryName(const std::string& path) {
  MIRAGE_TRY_ASSIGN(uint64_t bits, RandomSeed());
  std::string name = path + ".";
  for (int i = 0; i < 6; ++i, bits >>= 5) name += "abcdefghijklmnopqrstuvwxyz234567"[bits & 31];
  return name;
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& path, Readers readers) {
  struct stat facts;
  if (stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
    return Fail(Code::kUnsupported, path + " exists and is not a file");
  std::string copy = path;  // nothing may fail once the file is there
  const mode_t mode = readers == Readers::kOwner ? 0600 : 0666;
  // A file without a name gets it through /proc.
  Descriptor unnamed;
  if (access("/proc/self/fd", F_OK) == 0)
    unnamed = Descriptor(open(FolderOf(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  if (unnamed.valid()) return OutputFile(std::move(unnamed), {}, std::move(copy));
  for (int attempt = 0; attempt < kTries; ++attempt) {
    MIRAGE_TRY_ASSIGN(std::string temporary, TemporaryName(path));
    Descriptor fd(open(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode));
    if (fd.valid()) return OutputFile(std::move(fd), std::move(temporary), std::move(copy));
    if (errno != EEXIST) break;
  }
  return Fail(OsError(path, errno));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      temporary_(std::exchange(other.temporary_, {})),
      path_(std::move(other.path_)),
      written_(other.written_) {}

Status OutputFile::Write(std::span<const std::byte> bytes) {
  MIRAGE_TRY(WriteAt(written_, bytes));
  written_ += bytes.size();
  return {};
}

Status OutputFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return Fail(OsError(path_ + ": writing", errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Result<std::unique_ptr<File>> OutputFile::Reopen() const {
  return File::FromDescriptor(fd_.get(), path_);
}

Status OutputFile::Commit() {
  const std::string folder_path = FolderOf(path_);
  if (fsync(fd_.get()) != 0) return Fail(OsError(path_ + ": writing", errno));
  // A name can only be given where there is none: it is a temporary one first.
  for (int attempt = 0; temporary_.empty(); ++attempt) {
    MIRAGE_TRY_ASSIGN(std::string name, TemporaryName(path_));
    const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
      temporary_ = std::move(name);
    else if (errno != EEXIST || attempt == kTries)
      return Fail(OsError(path_, errno));
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return Fail(OsError(path_, errno));
  temporary_.clear();
  fd_.Reset();
  // The name, too, is to be there after a power cut; a folder that cannot be opened has it anyway.
  const Descriptor folder(open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid()) fsync(folder.get());
  return {};
}

void OutputFile::Discard() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
}

}  // namespace mirage::platform
