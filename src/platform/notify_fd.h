// SPDX-License-Identifier: Apache-2.0
#pragma once

// NotifyFd: a condition that poll() and its kin can wait for.
//
// The descriptor is readable, level-triggered, from Set to Clear. Any thread.

#include <utility>

#include "base/result.h"
#include "platform/file.h"  // Descriptor

namespace mirage::platform {

class NotifyFd {
 public:
  [[nodiscard]] static Result<NotifyFd> Create();

  [[nodiscard]] int fd() const { return fd_.get(); }
  void Set() const;
  void Clear() const;

 private:
  explicit NotifyFd(Descriptor fd) : fd_(std::move(fd)) {}
  Descriptor fd_;
};

}  // namespace mirage::platform
