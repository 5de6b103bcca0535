// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bound: a call's arguments, put in the places of the parameters they are for.
//
//   MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("indent()", arguments, {"width", "first",
//   "blank"})); MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(0, 4));
//
// Views into the call: it must outlive the Bound.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

class Bound {
 public:
  // The first `required` parameters must be given. `function` is a literal: it is kept for
  // messages.
  static Result<Bound> To(const char* function, const CallArguments& call,
                          std::initializer_list<std::string_view> parameters, size_t required = 0);

  // nullptr if not given.
  const Value* Get(size_t index) const { return values_[index]; }
  // nullptr if not given, or None.
  const Value* GetUnlessNone(size_t index) const {
    return values_[index] == nullptr || values_[index]->is_none() ? nullptr : values_[index];
  }
  const Value& At(size_t index) const { return *values_[index]; }  // required ones

  Result<int64_t> Int(size_t index, int64_t fallback) const;
  Result<TextPtr> String(size_t index) const;  // required, must be a string
  bool Truth(size_t index, bool fallback) const;

 private:
  tl::unexpected<Error> WrongType(size_t index, std::string_view wanted) const;

  const char* function_ = "";
  std::vector<std::string_view> parameters_;
  std::vector<const Value*> values_;
};

}  // namespace mirage::text::jinja
