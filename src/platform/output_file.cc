// SPDX-License-Identifier: Apache-2.0
#include "platform/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

// Where the bytes go: through a symbolic link to the file it names.
Result<std::string> Target(const std::string& path) {
  if (path.empty()) return Fail(Code::kInvalidArgument, "an output file without a name");
  struct stat facts;
  if (lstat(path.c_str(), &facts) != 0 || !S_ISLNK(facts.st_mode)) return path;
  char* const resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return Fail(OsError(path, errno));
  std::string target = resolved;
  std::free(resolved);
  return target;
}

constexpr int kTries = 100;  // at a name nobody has

Result<std::string> TemporaryName(const std::string& path) {
  MIRAGE_TRY_ASSIGN(uint64_t bits, RandomSeed());
  const size_t slash = path.find_last_of('/');
  std::string name = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  name += ".mirage-";
  for (int i = 0; i < 6; ++i, bits >>= 5) name += "abcdefghijklmnopqrstuvwxyz234567"[bits & 31];
  return name;
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& given, Readers readers) {
  MIRAGE_TRY_ASSIGN(std::string path, Target(given));
  struct stat facts;
  if (stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
    return Fail(Code::kUnsupported, given + " exists and is not a file");
  const mode_t mode = readers == Readers::kOwner ? 0600 : 0666;
  // A file without a name gets it through /proc.
  Descriptor unnamed;
  if (access("/proc/self/fd", F_OK) == 0)
    unnamed = Descriptor(open(FolderOf(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  if (unnamed.valid()) return OutputFile(std::move(unnamed), {}, std::move(path));
  for (int attempt = 0; attempt < kTries; ++attempt) {
    MIRAGE_TRY_ASSIGN(std::string temporary, TemporaryName(path));
    Descriptor fd(open(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode));
    if (fd.valid()) return OutputFile(std::move(fd), std::move(temporary), std::move(path));
    if (errno != EEXIST) break;
  }
  return Fail(OsError(given, errno));
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
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Fail(OsError(path_ + ": writing", written < 0 ? errno : EIO));
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Status OutputFile::Reserve(uint64_t bytes) {
  const int failed = posix_fallocate(fd_.get(), 0, static_cast<off_t>(bytes));
  if (failed == 0 || failed == EOPNOTSUPP || failed == EINVAL || failed == EINTR) return {};
  return Fail(OsError(path_ + ": room for " + std::to_string(bytes) + " bytes", failed));
}

Result<std::unique_ptr<File>> OutputFile::Reopen() const {
  if (fsync(fd_.get()) != 0) return Fail(OsError(path_ + ": writing", errno));
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);  // so that reading asks the device
  return File::FromDescriptor(fd_.get(), path_);
}

Status OutputFile::Commit() {
  const std::string folder_path = FolderOf(path_);
  if (fsync(fd_.get()) != 0) return Fail(OsError(path_ + ": writing", errno));
  const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
  const auto link_to = [&](const std::string& name) {
    return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  };
  bool named = temporary_.empty() && link_to(path_);
  // Over a file that is there a name has to be renamed.
  for (int attempt = 0; !named && temporary_.empty(); ++attempt) {
    if (errno != EEXIST || attempt == kTries) return Fail(OsError(path_, errno));
    MIRAGE_TRY_ASSIGN(std::string name, TemporaryName(path_));
    if (link_to(name)) temporary_ = std::move(name);
  }
  if (!named && rename(temporary_.c_str(), path_.c_str()) != 0) return Fail(OsError(path_, errno));
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
