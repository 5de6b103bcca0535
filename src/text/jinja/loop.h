// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loop: the `loop` variable of a for statement, and the walk of the statement itself.
//
// Items are pulled one at a time and a loop's `if` is asked when its item is pulled, so that what
// the body does is seen by the next test; only loop.last, nextitem, length and the like look ahead,
// as in Jinja.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

struct ForStmt;
struct Scope;

class Loop final : public Object {
 public:
  // Gives the next item that takes part; false at the end.
  using Pull = std::function<Result<bool>(Value* item)>;

  // `length` is given where it is known without walking.
  Loop(Pull pull, std::optional<int64_t> length, int64_t depth0)
      : pull_(std::move(pull)), length_(length), depth0_(depth0) {}

  Result<bool> Advance();
  const Value& current() const { return current_; }
  int64_t depth0() const { return depth0_; }

  // The statement is done: what is left of the loop object can look nowhere.
  void Close() {
    pull_ = nullptr;
    recursive_statement = nullptr;
    recursive_scope = nullptr;
  }

  // loop.index and the like; nothing for a name that is none of them.
  Result<std::optional<Value>> Attribute(Runtime& runtime, std::string_view name);

  Result<Value> Cycle(const CallArguments& arguments) const;
  Result<Value> Changed(Runtime& runtime, const CallArguments& arguments);
  bool remembers_changed() const { return last_changed_.has_value(); }
  void ForgetChanged() { last_changed_.reset(); }

  // What loop(...) runs again in a recursive loop, and the scope it stands in; null otherwise.
  const ForStmt* recursive_statement = nullptr;
  const std::shared_ptr<Scope>* recursive_scope = nullptr;

 private:
  Result<bool> Peek();  // whether ahead_ has an item
  Result<int64_t> Length();

  Pull pull_;
  std::optional<int64_t> length_;
  int64_t depth0_;
  int64_t index0_ = -1;
  Value before_, current_;
  std::deque<Value> ahead_;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace mirage::text::jinja
