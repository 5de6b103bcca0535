// SPDX-License-Identifier: Apache-2.0

#include "tools/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include "tools/interrupt.h"

namespace mirage::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
constexpr int kCells = 30;

}  // namespace

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)),
      visible_(isatty(STDERR_FILENO) == 1),
      next_(std::chrono::steady_clock::now() + kInterval) {}

ProgressBar::~ProgressBar() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
}

void ProgressBar::Update(uint64_t done, uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (!visible_ || total == 0 || now < next_) return;
  next_ = now + kInterval;
  drawn_ = true;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<size_t>(share * kCells);
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {:3.0f}%", label_, "", full, "", kCells - full,
             share * 100);
  std::fflush(stderr);
}

int32_t ReportProgress(uint64_t done, uint64_t total, void* bar) {
  static_cast<ProgressBar*>(bar)->Update(done, total);
  return Interrupted() ? 1 : 0;
}

}  // namespace mirage::cli
