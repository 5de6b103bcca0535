// SPDX-License-Identifier: Apache-2.0

#include "tools/interrupt.h"

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

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() { interrupted = 0; }

}  // namespace mirage::cli
