// SPDX-License-Identifier: Apache-2.0
#include "grammar/text_form.h"

#include <algorithm>
#include <utility>

namespace mirage::grammar {
namespace {

constexpr uint64_t kStateSteps = 20;

bool IsAll(const TextForm& form) {
  return form.counted() && form.low() == 0 && form.high() == UINT64_MAX;
}

}  // namespace

TextForm TextForm::Length(uint64_t low, uint64_t high) {
  TextForm form;
  if (low > high) return form;
  form.counted_ = true;
  form.low_ = low;
  form.high_ = high;
  return form;
}

Result<Dfa> TextForm::AsSet(Work* work) const {
  if (!counted_) return set_;
  if (IsAll(*this)) return Dfa::Any();
  MIRAGE_TRY_ASSIGN(Dfa lengths, Dfa::Length(low_, high_));
  MIRAGE_TRY(work->Spend(lengths.states().size() * kStateSteps));
  return lengths;
}

Result<TextForm> TextForm::And(const TextForm& other, Work* work) const {
  if (counted_ && other.counted_)
    return Length(std::max(low_, other.low_), std::min(high_, other.high_));
  if (empty() || IsAll(other)) return *this;
  if (other.empty() || IsAll(*this)) return other;
  MIRAGE_TRY_ASSIGN(const Dfa mine, AsSet(work));
  MIRAGE_TRY_ASSIGN(const Dfa theirs, other.AsSet(work));
  MIRAGE_TRY_ASSIGN(Dfa both, mine.And(theirs, work));
  return TextForm(std::move(both));
}

Result<TextForm> TextForm::Or(const TextForm& other, Work* work) const {
  if (empty() || IsAll(other)) return other;
  if (other.empty() || IsAll(*this)) return *this;
  const bool meet = counted_ && other.counted_ && (low_ == 0 || low_ - 1 <= other.high_) &&
                    (other.low_ == 0 || other.low_ - 1 <= high_);
  if (meet) return Length(std::min(low_, other.low_), std::max(high_, other.high_));
  MIRAGE_TRY_ASSIGN(const Dfa mine, AsSet(work));
  MIRAGE_TRY_ASSIGN(const Dfa theirs, other.AsSet(work));
  MIRAGE_TRY_ASSIGN(Dfa either, mine.Or(theirs, work));
  return TextForm(std::move(either));
}

Result<TextForm> TextForm::AndNot(const TextForm& other, Work* work) const {
  if (empty() || other.empty()) return *this;
  if (other.counted_) {
    MIRAGE_TRY_ASSIGN(const TextForm shorter,
                      And(other.low_ == 0 ? TextForm() : Length(0, other.low_ - 1), work));
    MIRAGE_TRY_ASSIGN(
        const TextForm longer,
        And(other.high_ == UINT64_MAX ? TextForm() : Length(other.high_ + 1, UINT64_MAX), work));
    return shorter.Or(longer, work);
  }
  return And(TextForm(other.set_.Not()), work);
}

TextForm TextForm::Minimized() const {
  TextForm form = *this;
  form.set_ = set_.Minimized();
  return form;
}

}  // namespace mirage::grammar
