// SPDX-License-Identifier: Apache-2.0

#include "platform/notify_fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "platform/os_error.h"

namespace mirage::platform {

Result<NotifyFd> NotifyFd::Create() {
  Descriptor fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return Fail(OsError("eventfd", errno));
  return NotifyFd(std::move(fd));
}

// Neither can fail in a way that matters: the counter is too far from its end to overflow, and
// clearing an empty one leaves it empty.
void NotifyFd::Set() const {
  const uint64_t one = 1;
  static_cast<void>(!write(fd_.get(), &one, sizeof one));
}

void NotifyFd::Clear() const {
  uint64_t count = 0;
  static_cast<void>(!read(fd_.get(), &count, sizeof count));
}

}  // namespace mirage::platform
