// SPDX-License-Identifier: Apache-2.0

#include "tools/interrupt.h"

#include <poll.h>

#include <cerrno>
#include <csignal>

namespace mirage::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void NoteInterrupt(int) { interrupted = 1; }

void Catch(int flags) {
  struct sigaction action = {};
  action.sa_handler = NoteInterrupt;
  action.sa_flags = flags;  // without SA_RESTART: a read waiting for a line ends
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

void CatchInterrupts() { Catch(static_cast<int>(SA_RESETHAND)); }

void CatchEveryInterrupt() { Catch(0); }

// Blocked but for the wait itself: one that comes between a look at the flag and the wait ends
// that.
bool WaitForInput(int fd) {
  sigset_t interrupts;
  sigset_t before;
  sigemptyset(&interrupts);
  sigaddset(&interrupts, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupts, &before);
  pollfd input = {fd, POLLIN, 0};
  while (interrupted == 0 && ppoll(&input, 1, nullptr, &before) < 0 && errno == EINTR) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return interrupted == 0;
}

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() { interrupted = 0; }

}  // namespace mirage::cli
