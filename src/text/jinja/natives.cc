// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/natives.h"

#include <algorithm>
#include <array>
#include <span>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"

namespace mirage::text::jinja {
namespace {

const NativeFunction* Find(std::span<const NativeFunction> table, std::string_view name) {
  const auto at = std::find_if(table.begin(), table.end(),
                               [&](const NativeFunction& row) { return row.name == name; });
  return at == table.end() ? nullptr : &*at;
}

template <size_t kCount>
bool Has(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const NativeFunction* FindFilter(std::string_view name) {
  for (const auto table : {TextFilters(), SequenceFilters(), ValueFilters()}) {
    if (const NativeFunction* filter = Find(table, name)) return filter;
  }
  return nullptr;
}

bool IsUnsupportedFilter(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kNames = {"pprint", "random",   "striptags",
                                                             "urlize", "wordwrap", "xmlattr"};
  return Has(kNames, name);
}

const NativeFunction* FindMethod(const Value& receiver, std::string_view name) {
  switch (receiver.kind()) {
    case Kind::kString:
      return Find(StringMethods(), name);
    case Kind::kDict:
      return Find(DictMethods(), name);
    case Kind::kList:
      return Find(SequenceMethods(), name);
    case Kind::kTuple:
    case Kind::kRange:
      return name == "copy" ? nullptr : Find(SequenceMethods(), name);
    case Kind::kLoop:
      return Find(LoopMethods(), name);
    case Kind::kCycler:
      return Find(CyclerMethods(), name);
    default:
      return nullptr;
  }
}

bool IsUnsupportedMethod(const Value& receiver, std::string_view name) {
  static constexpr std::array<std::string_view, 6> kString = {
      "casefold", "encode", "expandtabs", "isidentifier", "maketrans", "translate"};
  static constexpr std::array<std::string_view, 3> kMarkup = {"escape", "striptags", "unescape"};
  static constexpr std::array<std::string_view, 7> kNumber = {
      "as_integer_ratio", "bit_count", "bit_length", "conjugate", "hex", "is_integer", "to_bytes"};
  if (receiver.is_string()) {
    return Has(kString, name) || (receiver.is_markup() && Has(kMarkup, name));
  }
  if (receiver.is(Kind::kDict)) return name == "fromkeys";
  return receiver.is_number() && Has(kNumber, name);
}

}  // namespace mirage::text::jinja
