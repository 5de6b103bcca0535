// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ctrl-C, for commands that end cleanly on it: a flag that loops look at.

namespace mirage::cli {

// From now on Ctrl-C sets the flag instead of ending the program; the second one ends it.
void CatchInterrupts();
// Every one sets the flag.
void CatchEveryInterrupt();
// Waits until there is something to read, or its end; false when Ctrl-C was pressed before. The
// library's threads take no signals, so none is lost.
[[nodiscard]] bool WaitForInput(int fd);
[[nodiscard]] bool Interrupted();
void ClearInterrupt();

}  // namespace mirage::cli
