// SPDX-License-Identifier: Apache-2.0
#include "platform/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "platform/os_error.h"

namespace mirage::platform {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
    return Fail(Code::kUnsupported, path + " exists and is not a file");
  std::string temporary = path + ".XXXXXX";
  std::string copy = path;  // nothing may fail once the file is there
  Descriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return Fail(OsError(path, errno));
  return OutputFile(std::move(fd), std::move(temporary), std::move(copy));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      temporary_(std::exchange(other.temporary_, {})),
      path_(std::move(other.path_)) {}

Status OutputFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return Fail(OsError(path_ + ": writing", errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status OutputFile::Commit() {
  const std::string folder_path = FolderOf(path_);
  if (fsync(fd_.get()) != 0) return Fail(OsError(path_ + ": writing", errno));
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
