// SPDX-License-Identifier: Apache-2.0
#include "platform/scratch_file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "platform/os_error.h"

namespace mirage::platform {
namespace {

constexpr int kFlags = O_RDWR | O_CLOEXEC | O_DIRECT;

// Where the file system knows no files without a name it has one for a moment.
Result<Descriptor> OpenUnlinked(const std::string& folder, const std::string& name) {
  Descriptor unnamed(open(folder.c_str(), O_TMPFILE | O_EXCL | kFlags, 0600));
  if (unnamed.valid()) return unnamed;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return Fail(OsError(name, errno));
  std::string path = folder + "/.mirage-XXXXXX";
  Descriptor named(mkostemp(path.data(), O_CLOEXEC));
  if (!named.valid()) return Fail(OsError(name, errno));
  unlink(path.c_str());
  const int flags = fcntl(named.get(), F_GETFL);
  if (flags < 0 || fcntl(named.get(), F_SETFL, flags | O_DIRECT) != 0)
    return Fail(Code::kUnsupported, OsError(name + ": direct access", errno).message);
  return named;
}

// preadv or pwritev until all parts have passed.
template <typename Call>
Status Transfer(Call call, const std::string& what, uint64_t offset,
                std::span<const std::span<std::byte>> parts) {
  constexpr size_t kMostParts = 256;  // of one call
  size_t passed = 0;                  // bytes of parts.front()
  while (!parts.empty()) {
    std::array<iovec, kMostParts> pieces;
    const size_t count = std::min(parts.size(), kMostParts);
    for (size_t i = 0; i < count; ++i) pieces[i] = {parts[i].data(), parts[i].size()};
    pieces[0] = {parts[0].data() + passed, parts[0].size() - passed};
    const ssize_t done = call(pieces.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      return Fail(OsError(what + " at " + std::to_string(offset), done < 0 ? errno : EIO));
    offset += static_cast<uint64_t>(done);
    passed += static_cast<size_t>(done);
    while (!parts.empty() && passed >= parts.front().size()) {
      passed -= parts.front().size();
      parts = parts.subspan(1);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ScratchFile>> ScratchFile::Create(const std::string& folder,
                                                         uint64_t bytes) {
  std::string name = "a scratch file of " + std::to_string(bytes) + " bytes in " + folder;
  MIRAGE_TRY_ASSIGN(Descriptor fd, OpenUnlinked(folder, name));
  // Not posix_fallocate, which would write all of it where the file system cannot. There it grows
  // as it is written.
  if (fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP)
    return Fail(OsError(name, errno));
  return std::unique_ptr<ScratchFile>(new ScratchFile(std::move(fd), std::move(name), bytes));
}

Status ScratchFile::WriteAt(uint64_t offset, std::span<const std::span<std::byte>> parts) const {
  return Transfer([this](const iovec* pieces, int count,
                         off_t at) { return pwritev(fd_.get(), pieces, count, at); },
                  name_ + ": writing", offset, parts);
}

Status ScratchFile::ReadAt(uint64_t offset, std::span<const std::span<std::byte>> parts) const {
  return Transfer([this](const iovec* pieces, int count,
                         off_t at) { return preadv(fd_.get(), pieces, count, at); },
                  name_ + ": reading", offset, parts);
}

}  // namespace mirage::platform
