// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/loop.h"

#include "text/jinja/compare.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {

Result<bool> Loop::Peek() {
  if (!ahead_.empty()) return true;
  if (pull_ == nullptr) return false;
  Value item;
  MIRAGE_TRY_ASSIGN(const bool more, pull_(&item));
  if (more) ahead_.push_back(std::move(item));
  return more;
}

Result<bool> Loop::Advance() {
  MIRAGE_TRY_ASSIGN(const bool more, Peek());
  if (!more) return false;
  before_ = std::move(current_);
  current_ = std::move(ahead_.front());
  ahead_.pop_front();
  ++index0_;
  return true;
}

Result<int64_t> Loop::Length() {
  if (!length_) {
    while (pull_ != nullptr) {
      Value item;
      MIRAGE_TRY_ASSIGN(const bool more, pull_(&item));
      if (!more) break;
      ahead_.push_back(std::move(item));
    }
    length_ = index0_ + 1 + static_cast<int64_t>(ahead_.size());
  }
  return *length_;
}

Result<std::optional<Value>> Loop::Attribute(Runtime& runtime, std::string_view name) {
  const auto found = [](Value value) { return std::optional<Value>(std::move(value)); };
  if (name == "index") return found(Value::Int(index0_ + 1));
  if (name == "index0") return found(Value::Int(index0_));
  if (name == "first") return found(Value::Bool(index0_ == 0));
  if (name == "depth") return found(Value::Int(depth0_ + 1));
  if (name == "depth0") return found(Value::Int(depth0_));
  if (name == "last") {
    MIRAGE_TRY_ASSIGN(const bool more, Peek());
    return found(Value::Bool(!more));
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    MIRAGE_TRY_ASSIGN(const int64_t length, Length());
    const int64_t passed = name == "length" ? 0 : name == "revindex" ? index0_ : index0_ + 1;
    return found(Value::Int(length - passed));
  }
  if (name == "previtem") {
    if (index0_ > 0) return found(before_);
    MIRAGE_TRY_ASSIGN(Value none, runtime.MakeUndefined("there is no previous item"));
    return found(std::move(none));
  }
  if (name == "nextitem") {
    MIRAGE_TRY_ASSIGN(const bool more, Peek());
    if (more) return found(ahead_.front());
    MIRAGE_TRY_ASSIGN(Value none, runtime.MakeUndefined("there is no next item"));
    return found(std::move(none));
  }
  return std::optional<Value>();
}

Result<Value> Loop::Cycle(const CallArguments& arguments) const {
  if (arguments.positional.empty()) return Wrong("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

Result<Value> Loop::Changed(Runtime& runtime, const CallArguments& arguments) {
  bool same = last_changed_.has_value() && last_changed_->size() == arguments.positional.size();
  for (size_t i = 0; same && i < arguments.positional.size(); ++i) {
    MIRAGE_TRY_ASSIGN(same, Equal(runtime, (*last_changed_)[i], arguments.positional[i]));
  }
  if (!same) last_changed_ = arguments.positional;
  return Value::Bool(!same);
}

}  // namespace mirage::text::jinja
