// SPDX-License-Identifier: Apache-2.0
#pragma once

// JsonCallsReader: calls as JSON objects, one or a list of them, up to an end marker that may be
// missing.
//
// One thread at a time.

#include "text/answer/call_reader.h"

namespace mirage::text {

class JsonCallsReader : public CallReader {
 public:
  // Markers of these bits end the calls.
  JsonCallsReader(const std::string& held, const ToolSet& tools, uint32_t enders)
      : CallReader(held, tools), enders_(enders), object_(held) {}

  void Begin(size_t opener) override;
  Verdict Byte(char c) override;
  Verdict Marker(size_t index) override;
  Verdict End(bool whole) override;

 protected:
  enum class State { kStart, kItem, kObject, kSeparator, kClosing };
  State state_ = State::kStart;

 private:
  void BeginObject();
  [[nodiscard]] Verdict FollowObject();

  const uint32_t enders_;
  bool list_ = false;
  HeldObject object_;
};

}  // namespace mirage::text
