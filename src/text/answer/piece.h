// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an answer is made of. Plain data.

#include <string>

namespace mirage::text {

struct ToolCall {
  std::string id;         // as the model wrote it, or made for it
  std::string name;       // of the tool
  std::string arguments;  // a JSON object, spelled as the model spelled it
};

struct AnswerPiece {
  enum class Kind {
    kContent,    // text: to be shown
    kReasoning,  // text: what the model thought before
    kToolCall,   // call
  };
  Kind kind = Kind::kContent;
  std::string text;
  ToolCall call;
};

}  // namespace mirage::text
