// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/fork.h"
#include "platform/notify_fd.h"
#include "platform/random.h"

namespace mirage::platform {
namespace {

bool Readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, 0) == 1;
}

TEST(NotifyFd, IsReadableFromSetToClearHoweverOftenItIsSet) {
  const auto notify = NotifyFd::Create();
  ASSERT_TRUE(notify);
  EXPECT_FALSE(Readable(notify->fd()));
  notify->Set();
  notify->Set();
  EXPECT_TRUE(Readable(notify->fd()));
  EXPECT_TRUE(Readable(notify->fd()));
  notify->Clear();
  EXPECT_FALSE(Readable(notify->fd()));
  notify->Clear();
  EXPECT_FALSE(Readable(notify->fd()));
}

TEST(ForkGeneration, DiffersInTheChildOnly) {
  const uint64_t before = ForkGeneration();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(ForkGeneration() == before ? 1 : 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(ForkGeneration(), before);
}

TEST(RandomSeed, IsNotTheSameTwice) { EXPECT_NE(RandomSeed().value(), RandomSeed().value()); }

}  // namespace
}  // namespace mirage::platform
