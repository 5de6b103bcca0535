// SPDX-License-Identifier: Apache-2.0
#pragma once

// ProgressBar: one line on stderr that goes away when the work is done; nothing at all unless
// stderr is a terminal.

#include <chrono>
#include <cstdint>
#include <string>

namespace mirage::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Draws at most a few times a second, and not at all for what is quickly over.
  void Update(uint64_t done, uint64_t total);

 private:
  const std::string label_;
  const bool visible_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

// A mirage_progress_callback whose user data is a ProgressBar: draws it, and cancels after Ctrl-C.
int32_t ReportProgress(uint64_t done, uint64_t total, void* bar);

}  // namespace mirage::cli
