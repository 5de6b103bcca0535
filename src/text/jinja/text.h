// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text: an immutable string in which every byte knows its origin.
//
// Origin kInput is a string that came with the conversation, kTemplate is the template's own. The
// mark follows the bytes through every operation, because only the template may spell special
// tokens. Equality and order ignore it.
//
// A Text is always valid UTF-8, and its positions, like Python's, count code points.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/object.h"

namespace mirage::text::jinja {

enum class Origin : bool { kTemplate = false, kInput = true };

class Text final : public Object {
 public:
  Text(std::string bytes, Origin first, std::vector<uint32_t> changes);

  std::string_view bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  size_t code_points() const { return code_points_; }
  bool ascii() const { return code_points_ == bytes_.size(); }

  Origin OriginAt(size_t byte) const;

  // kInput if any byte is the input's: for what cannot keep a mark for every byte.
  Origin StrictestOrigin() const {
    return bytes_.empty() ? Origin::kTemplate : changes_.empty() ? first_ : Origin::kInput;
  }

  // Visits (begin, end, origin) of each run of one origin inside [begin, end).
  template <typename Visit>
  void ForEachRun(size_t begin, size_t end, Visit&& visit) const {
    size_t next = static_cast<size_t>(std::upper_bound(changes_.begin(), changes_.end(), begin) -
                                      changes_.begin());
    while (begin < end) {
      const size_t run_end = next < changes_.size() ? changes_[next] : bytes_.size();
      const size_t to = std::min(run_end, end);
      visit(begin, to, OriginOfRun(next));
      begin = to;
      ++next;
    }
  }

  // The byte at which the code point numbered `index` begins; index <= code_points().
  size_t ByteOffset(size_t index) const;

  // How many bytes a reader of ByteOffset walks at most; the caller counts them as steps.
  size_t WalkBytes() const { return ascii() ? 0 : bytes_.size(); }

 private:
  Origin OriginOfRun(size_t run) const {
    return static_cast<Origin>(static_cast<bool>(first_) != (run % 2 != 0));
  }

  std::string bytes_;
  size_t code_points_;
  Origin first_;                   // of byte 0
  std::vector<uint32_t> changes_;  // increasing offsets at which the origin changes
};

using TextPtr = std::shared_ptr<const Text>;

// A text outside any render's budget: a literal of the template.
TextPtr ConstantText(std::string bytes);

// Collects pieces of text. Past the limit of one string it drops what is appended, and Finish says
// so: the callers' loops stay plain and bounded in memory.
class TextBuilder {
 public:
  // `limit` names max_bytes in the error.
  TextBuilder(Budget& budget, uint64_t max_bytes, std::string_view limit)
      : budget_(&budget), max_bytes_(max_bytes), limit_(limit) {}
  explicit TextBuilder(Budget& budget)
      : TextBuilder(budget, budget.limits().string_bytes, "string_bytes") {}

  void Append(std::string_view bytes, Origin origin);
  void Append(const Text& text) { Append(text, 0, text.size()); }
  void Append(const Text& text, size_t begin, size_t end);
  void AppendCodePoint(uint32_t code_point, Origin origin);

  bool overflowed() const { return overflow_.has_value(); }

  Result<TextPtr> Finish();

 private:
  bool Reserve(size_t more);

  Budget* budget_;
  uint64_t max_bytes_;
  std::string_view limit_;
  std::string bytes_;
  Origin first_ = Origin::kTemplate;
  Origin last_ = Origin::kTemplate;
  std::vector<uint32_t> changes_;
  Charge charge_;
  uint64_t charged_bytes_ = 0;
  std::optional<Error> overflow_;
};

Result<TextPtr> MakeText(Budget& budget, std::string_view bytes, Origin origin);
Result<TextPtr> Slice(Budget& budget, const Text& text, size_t begin, size_t end);  // bytes
Result<TextPtr> Concat(Budget& budget, const Text& left, const Text& right);

}  // namespace mirage::text::jinja
