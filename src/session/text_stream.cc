// SPDX-License-Identifier: Apache-2.0

#include "session/text_stream.h"

#include <utility>

namespace mirage::session {
namespace {

class StopStringRule final : public engine::StopRule {
 public:
  explicit StopStringRule(TextStream stream) : stream_(std::move(stream)) {}
  [[nodiscard]] bool Push(int32_t token) override {
    static_cast<void>(stream_.Push(token));
    return stream_.stopped();
  }

 private:
  TextStream stream_;
};

}  // namespace

std::string TextStream::Push(int32_t token) {
  std::string piece;
  if (controls_divide_ && tokenizer_->has_token(token) && tokenizer_->is_control(token))
    detokenizer_.Flush(&piece);
  // A model may have more rows than its vocabulary has tokens; those have no text.
  static_cast<void>(detokenizer_.Push(token, &piece));
  if (unsearched_ > 0) {
    --unsearched_;
    return piece;
  }
  return matcher_.Push(piece);
}

std::string TextStream::Flush(bool whole) {
  std::string piece;
  if (whole) detokenizer_.Flush(&piece);
  if (unsearched_ > 0) return piece;
  return matcher_.Push(piece) + matcher_.Flush();
}

std::string TextOf(const text::Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  text::Detokenizer detokenizer(tokenizer);
  std::string text;
  for (const int32_t token : tokens) static_cast<void>(detokenizer.Push(token, &text));
  detokenizer.Flush(&text);
  return text;
}

std::unique_ptr<engine::StopRule> MakeStopRule(const TextStream& stream) {
  if (!stream.may_stop()) return nullptr;
  return std::make_unique<StopStringRule>(stream);
}

}  // namespace mirage::session
