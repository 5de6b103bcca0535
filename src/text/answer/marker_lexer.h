// SPDX-License-Identifier: Apache-2.0
#pragma once

// MarkerLexer: an answer's text as bytes and markers.
//
// Markers are the words with which a format says what comes next, such as <tool_call>. Some of them
// are control tokens of the vocabulary: these come beside the text, and the same words spelled in
// the text are only text. Others are found in the text, across its pieces: the first that is
// complete; none is the beginning of another. What may become a marker is held back.
//
// One thread at a time.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mirage::text {

class MarkerLexer {
 public:
  // Takes what is found. `control`: it came as a control token.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void Byte(char c) = 0;
    virtual void Marker(size_t index, bool control) = 0;
  };
  struct Marker {
    std::string spelling;
    bool in_text = true;
  };

  explicit MarkerLexer(std::vector<Marker> markers);

  void Push(std::string_view text, Sink& sink);
  // A control token, as it is spelled; nothing comes of one that is no marker.
  void PushControl(std::string_view spelling, Sink& sink);
  // The end of the text: what was held back.
  void Flush(Sink& sink);

 private:
  void Push(char c, Sink& sink);

  std::vector<Marker> markers_;
  std::array<bool, 256> begins_{};  // a marker
  std::string held_;                // the beginning of a marker
};

}  // namespace mirage::text
