// SPDX-License-Identifier: Apache-2.0
#include "text/answer/marker_lexer.h"

#include <utility>

namespace mirage::text {

MarkerLexer::MarkerLexer(std::vector<Marker> markers) : markers_(std::move(markers)) {
  for (const Marker& marker : markers_)
    if (marker.in_text) begins_[static_cast<unsigned char>(marker.spelling.front())] = true;
}

void MarkerLexer::Push(std::string_view text, Sink& sink) {
  for (const char c : text) Push(c, sink);
}

// What is held is never longer than a marker, so that each byte costs a bounded number of steps.
void MarkerLexer::Push(char c, Sink& sink) {
  if (held_.empty() && !begins_[static_cast<unsigned char>(c)]) {
    sink.Byte(c);
    return;
  }
  held_ += c;
  while (!held_.empty()) {
    bool may_become_one = false;
    for (size_t i = 0; i < markers_.size(); ++i) {
      const Marker& marker = markers_[i];
      if (!marker.in_text || !std::string_view(marker.spelling).starts_with(held_)) continue;
      if (marker.spelling.size() == held_.size()) {
        held_.clear();
        sink.Marker(i, false);
        return;
      }
      may_become_one = true;
    }
    if (may_become_one) return;
    const char first = held_.front();
    held_.erase(0, 1);
    sink.Byte(first);
  }
}

void MarkerLexer::PushControl(std::string_view spelling, Sink& sink) {
  for (size_t i = 0; i < markers_.size(); ++i) {
    if (markers_[i].spelling != spelling) continue;
    Flush(sink);
    sink.Marker(i, true);
    return;
  }
}

void MarkerLexer::Flush(Sink& sink) {
  for (const char c : std::exchange(held_, {})) sink.Byte(c);
}

}  // namespace mirage::text
