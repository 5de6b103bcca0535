// SPDX-License-Identifier: Apache-2.0

#include "tools/interrupt.h"

#include <csignal>

namespace mirage::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void NoteInterrupt(int) { interrupted = 1; }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = NoteInterrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: a read waiting for a line ends
}

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() { interrupted = 0; }

}  // namespace mirage::cli
