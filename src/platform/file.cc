// SPDX-License-Identifier: Apache-2.0
#include "platform/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/checked.h"
#include "platform/os_error.h"

namespace mirage::platform {
namespace {

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

// Non-blocking, so that opening a pipe nobody writes to returns and can be refused.
int OpenToRead(const std::string& path) {
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

Result<uint64_t> LengthOf(int fd, const std::string& name) {
  struct stat facts;
  if (fstat(fd, &facts) != 0) return Fail(OsError(name, errno));
  if (!S_ISREG(facts.st_mode))
    return Fail(Code::kUnsupported, name + " is " + KindOf(facts.st_mode) + ", not a file");
  return static_cast<uint64_t>(facts.st_size);
}

Error BecameShorter(const std::string& name, uint64_t now, uint64_t before) {
  return {Code::kCorrupt, name + ": ends at " + std::to_string(now) + ", had " +
                              std::to_string(before) + " bytes when it was opened"};
}

}  // namespace

Result<std::unique_ptr<File>> File::Open(const std::string& path) {
  Descriptor fd(OpenToRead(path));
  if (!fd.valid()) return Fail(OsError(path, errno));
  return Adopt(std::move(fd), path);
}

Result<std::unique_ptr<File>> File::FromDescriptor(int fd, std::string name) {
  if (fcntl(fd, F_GETFD) < 0) return Fail(OsError(name, errno));
  MIRAGE_TRY(LengthOf(fd, name));
  // Opened anew where /proc allows, so that reading needs no flag of the caller's; else a
  // duplicate.
  Descriptor own(OpenToRead("/proc/self/fd/" + std::to_string(fd)));
  if (!own.valid()) {
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
      return Fail(Code::kInvalidArgument, name + " is open for writing only");
    own = Descriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!own.valid()) return Fail(OsError(name + ": duplicating the descriptor", errno));
  }
  return Adopt(std::move(own), std::move(name));
}

Result<std::unique_ptr<File>> File::Adopt(Descriptor fd, std::string name) {
  MIRAGE_TRY_ASSIGN(const uint64_t bytes, LengthOf(fd.get(), name));
  return std::unique_ptr<File>(new File(std::move(fd), std::move(name), bytes));
}

Status File::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  MIRAGE_TRY(CheckRange(offset, out.size()));
  constexpr size_t kMostAtOnce = size_t{1} << 30;  // the kernel moves less than 2 GiB in one call
  while (!out.empty()) {
    const ssize_t got =
        pread(fd_.get(), out.data(), std::min(out.size(), kMostAtOnce), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(OsError(name_ + ": reading at " + std::to_string(offset), errno));
    if (got == 0) return Fail(BecameShorter(name_, offset, bytes_));
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Status File::ReadUncached(uint64_t offset, std::span<std::byte> out) const {
  MIRAGE_TRY(CheckRange(offset, out.size()));
  std::call_once(direct_once_, [this] {
    Result<std::unique_ptr<DirectReader>> reader = DirectReader::Open(fd_.get(), name_);
    if (reader) direct_ = *std::move(reader);
  });
  if (direct_ == nullptr || direct_refused_) return ReadAt(offset, out);
  Status status = direct_->ReadAt(offset, out);
  if (status || status.error().code != Code::kUnsupported) return status;
  MIRAGE_TRY(ReadAt(offset, out));  // else it is the file's failure
  direct_refused_ = true;
  return {};
}

std::span<const std::byte> File::Mapping() const {
  std::call_once(map_once_, [this] {
    Result<MappedFile> map = MappedFile::Map(fd_.get(), name_, bytes_);
    if (map) map_ = *std::move(map);
  });
  return map_.data();
}

Status File::CheckMapping() const {
  MIRAGE_TRY_ASSIGN(const uint64_t now, LengthOf(fd_.get(), name_));
  return now >= bytes_ ? Status() : Fail(BecameShorter(name_, now, bytes_));
}

void File::DropMapping(uint64_t offset, uint64_t count) const { map_.Drop(offset, count); }

Result<MappedFile> MappedFile::Map(int fd, const std::string& name, uint64_t bytes) {
  MIRAGE_TRY_ASSIGN(const uint64_t now, LengthOf(fd, name));
  if (now < bytes) return Fail(BecameShorter(name, now, bytes));
  MappedFile mapped;
  if (bytes == 0) return mapped;
  void* const data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return Fail(OsError(name + ": mapping", errno));
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.bytes_ = bytes;
  return mapped;
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat first;
  struct stat second;
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    Reset();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void MappedFile::Drop(uint64_t offset, uint64_t count) const {
  if (offset > bytes_) return;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = RoundUp(offset, page);
  const uint64_t end = (offset + std::min(count, bytes_ - offset)) & ~(page - 1);
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::Reset() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace mirage::platform
