// SPDX-License-Identifier: Apache-2.0
#pragma once

// LogSink: where a runtime's messages go. Silent unless the application gave a callback.

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace mirage {

enum class LogLevel : int32_t { kError = 1, kWarning = 2, kInfo = 3, kDebug = 4 };

// Any thread; the callback is called from whichever thread logs and must not call back into the
// library.
class LogSink {
 public:
  using Callback = std::function<void(LogLevel, std::string_view room, std::string_view message)>;

  LogSink() = default;
  LogSink(Callback callback, LogLevel level) : callback_(std::move(callback)), level_(level) {}

  [[nodiscard]] bool Wants(LogLevel level) const { return callback_ && level <= level_; }
  void Log(LogLevel level, std::string_view room, std::string_view message) const {
    if (Wants(level)) callback_(level, room, message);
  }

 private:
  Callback callback_;
  LogLevel level_ = LogLevel::kInfo;
};

}  // namespace mirage
