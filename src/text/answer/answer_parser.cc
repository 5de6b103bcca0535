// SPDX-License-Identifier: Apache-2.0
#include "text/answer/answer_parser.h"

#include <algorithm>
#include <utility>

namespace mirage::text {
namespace {

constexpr size_t kMadeIdBytes = 9;

std::unique_ptr<AnswerReader> MakeReader(const AnswerOptions& options, PieceWriter& writer) {
  const AnswerFormat& format = options.format;
  if (format.calls == CallFormat::kHarmony) return MakeHarmonyReader(writer);
  const bool calls = options.calls || format.marks_all();
  return MakeTaggedReader(writer, format.reasoning, options.in_reasoning,
                          calls ? SyntaxOf(format.calls) : nullptr, *options.tools);
}

// What a model wrote for an id goes back to its template, and to callers: Mistral's want the form
// that MakeCallId gives.
bool IsCallId(std::string_view id, CallFormat format) {
  constexpr size_t kMostBytes = 64;
  const bool mistral = format == CallFormat::kMistral;
  const auto allowed = [mistral](char c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
    return !mistral && (c == '_' || c == '.' || c == ':' || c == '-');
  };
  const bool right_size =
      mistral ? id.size() == kMadeIdBytes : !id.empty() && id.size() <= kMostBytes;
  return right_size && std::all_of(id.begin(), id.end(), allowed);
}

// splitmix64's finaliser (Steele, Lea and Flood 2014).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

AnswerParser::AnswerParser(AnswerOptions options)
    : options_(std::move(options)), reader_(MakeReader(options_, writer_)), lexer_(Markers()) {}

std::vector<MarkerLexer::Marker> AnswerParser::Markers() const {
  std::vector<MarkerLexer::Marker> markers;
  for (std::string& spelling : reader_->markers()) {
    const bool control = options_.has_control && options_.has_control(spelling);
    markers.push_back({std::move(spelling), !control});
  }
  return markers;
}

void AnswerParser::Push(std::string_view text, std::vector<AnswerPiece>* pieces) {
  const size_t from = pieces->size();
  writer_.SetOutput(pieces);
  lexer_.Push(text, *reader_);
  NameCalls(pieces, from);
}

void AnswerParser::PushControl(std::string_view spelling, std::vector<AnswerPiece>* pieces) {
  const size_t from = pieces->size();
  writer_.SetOutput(pieces);
  lexer_.PushControl(spelling, *reader_);
  NameCalls(pieces, from);
}

void AnswerParser::End(bool whole, std::vector<AnswerPiece>* pieces) {
  const size_t from = pieces->size();
  writer_.SetOutput(pieces);
  lexer_.Flush(*reader_);
  reader_->End(whole);
  NameCalls(pieces, from);
}

void AnswerParser::NameCalls(std::vector<AnswerPiece>* pieces, size_t from) {
  for (size_t i = from; i < pieces->size(); ++i) {
    AnswerPiece& piece = (*pieces)[i];
    if (piece.kind != AnswerPiece::Kind::kToolCall) continue;
    if (!IsCallId(piece.call.id, options_.format.calls))
      piece.call.id = MakeCallId(options_.id_seed, calls_);
    ++calls_;
  }
}

std::string MakeCallId(uint64_t seed, uint64_t number) {
  constexpr std::string_view kDigits =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t bits = Mix(Mix(seed + 0x9E3779B97F4A7C15u) + number);
  std::string id;
  while (id.size() < kMadeIdBytes) {
    id += kDigits[bits % kDigits.size()];
    bits /= kDigits.size();
  }
  return id;
}

bool OpensReasoning(std::string_view prompt_end, const ReasoningTags& tags) {
  return !tags.begin.empty() && Trim(prompt_end).ends_with(tags.begin);
}

}  // namespace mirage::text
