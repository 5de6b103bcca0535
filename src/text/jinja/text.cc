// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/text.h"

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {

Text::Text(std::string bytes, Origin first, std::vector<uint32_t> changes)
    : bytes_(std::move(bytes)),
      code_points_(CountCodePoints(bytes_)),
      first_(first),
      changes_(std::move(changes)) {}

Origin Text::OriginAt(size_t byte) const {
  const auto passed = std::upper_bound(changes_.begin(), changes_.end(), byte);
  return OriginOfRun(static_cast<size_t>(passed - changes_.begin()));
}

size_t Text::ByteOffset(size_t index) const {
  if (ascii()) return index;
  size_t at = 0;
  for (size_t i = 0; i < index; ++i) at += Utf8Length(bytes_[at]);
  return at;
}

TextPtr ConstantText(std::string bytes) {
  return std::make_shared<const Text>(std::move(bytes), Origin::kTemplate, std::vector<uint32_t>());
}

bool TextBuilder::Reserve(size_t more) {
  if (overflow_) return false;
  if (more > max_bytes_ - bytes_.size()) {
    overflow_ = LimitReached(limit_, max_bytes_).value();
    return false;
  }
  // Each change of origin may cost an offset beside the bytes.
  const uint64_t needed = bytes_.size() + more + (changes_.size() + 1) * sizeof(uint32_t);
  if (needed <= charged_bytes_) return true;
  const uint64_t growth = needed - charged_bytes_ + charged_bytes_ / 2;
  if (Status charged = budget_->Extend(&charge_, growth); !charged) {
    overflow_ = std::move(charged).error();
    return false;
  }
  charged_bytes_ += growth;
  return true;
}

void TextBuilder::Append(std::string_view bytes, Origin origin) {
  if (bytes.empty() || !Reserve(bytes.size())) return;
  if (bytes_.empty()) {
    first_ = origin;
  } else if (origin != last_) {
    changes_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  last_ = origin;
  bytes_.append(bytes);
}

void TextBuilder::Append(const Text& text, size_t begin, size_t end) {
  text.ForEachRun(begin, end, [&](size_t from, size_t to, Origin origin) {
    Append(text.bytes().substr(from, to - from), origin);
  });
}

void TextBuilder::AppendCodePoint(uint32_t code_point, Origin origin) {
  std::string encoded;
  AppendUtf8(code_point, &encoded);
  Append(encoded, origin);
}

Result<TextPtr> TextBuilder::Finish() {
  if (overflow_) return Fail(*overflow_);
  MIRAGE_TRY(budget_->StepBytes(bytes_.size()));
  MIRAGE_TRY(budget_->Extend(&charge_, kObjectBytes));
  auto text = std::make_shared<Text>(std::move(bytes_), first_, std::move(changes_));
  text->charge = std::move(charge_);
  return TextPtr(std::move(text));
}

Result<TextPtr> MakeText(Budget& budget, std::string_view bytes, Origin origin) {
  TextBuilder builder(budget);
  builder.Append(bytes, origin);
  return builder.Finish();
}

Result<TextPtr> Slice(Budget& budget, const Text& text, size_t begin, size_t end) {
  TextBuilder builder(budget);
  builder.Append(text, begin, end);
  return builder.Finish();
}

Result<TextPtr> Concat(Budget& budget, const Text& left, const Text& right) {
  TextBuilder builder(budget);
  builder.Append(left);
  builder.Append(right);
  return builder.Finish();
}

}  // namespace mirage::text::jinja
