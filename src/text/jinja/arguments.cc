// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/arguments.h"

#include <algorithm>

#include "text/jinja/compare.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {

Result<Bound> Bound::To(const char* function, const CallArguments& call,
                        std::initializer_list<std::string_view> parameters, size_t required) {
  const std::string name(function);
  Bound bound;
  bound.function_ = function;
  bound.parameters_ = parameters;
  bound.values_.resize(parameters.size());
  if (call.positional.size() > parameters.size()) {
    return Wrong(name + " takes at most " + std::to_string(parameters.size()) +
                 " argument(s) but " + std::to_string(call.positional.size()) + " were given");
  }
  for (size_t i = 0; i < call.positional.size(); ++i) bound.values_[i] = &call.positional[i];
  for (const auto& [key, value, origin] : call.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), key);
    if (at == parameters.end()) {
      return Wrong(name + " got an unexpected keyword argument '" + key + "'");
    }
    const Value*& slot = bound.values_[static_cast<size_t>(at - parameters.begin())];
    if (slot != nullptr) return Wrong(name + " got multiple values for argument '" + key + "'");
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound.values_[i] == nullptr) {
      return Wrong(name + " missing required argument '" + std::string(bound.parameters_[i]) + "'");
    }
  }
  return bound;
}

tl::unexpected<Error> Bound::WrongType(size_t index, std::string_view wanted) const {
  const Value& value = *values_[index];
  if (value.is_undefined()) return Wrong(value.undefined().message);
  return Wrong(std::string(function_) + " argument '" + std::string(parameters_[index]) +
               "' must be " + std::string(wanted) + ", not " + std::string(TypeName(value)));
}

Result<int64_t> Bound::Int(size_t index, int64_t fallback) const {
  if (values_[index] == nullptr) return fallback;
  if (!values_[index]->is_integral()) return WrongType(index, "int");
  return values_[index]->as_int();
}

Result<TextPtr> Bound::String(size_t index) const {
  if (!values_[index]->is_string()) return WrongType(index, "str");
  return values_[index]->text_ptr();
}

bool Bound::Truth(size_t index, bool fallback) const {
  return values_[index] == nullptr ? fallback : Truthy(*values_[index]);
}

}  // namespace mirage::text::jinja
