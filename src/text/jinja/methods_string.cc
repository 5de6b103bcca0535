// SPDX-License-Identifier: Apache-2.0
// Methods of str. A markup string's replace, join and padding escape what they are given.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/characters.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

// A result of the receiver's own type.
Result<Value> SameType(const Value& receiver, Result<TextPtr> text) {
  if (!text) return Fail(std::move(text).error());
  return Value::String(std::move(*text), receiver.is_markup());
}

Result<Value> ListOf(Runtime& runtime, const Value& receiver, std::vector<TextPtr> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (TextPtr& part : parts) items.push_back(Value::String(std::move(part), receiver.is_markup()));
  return runtime.List(std::move(items));
}

// A string argument as a markup receiver takes it: escaped, unless it is markup too.
Result<TextPtr> ArgumentFor(Runtime& runtime, const Value& receiver, const Bound& bound,
                            size_t index) {
  MIRAGE_TRY_ASSIGN(TextPtr text, bound.String(index));
  if (!receiver.is_markup() || bound.At(index).is_markup()) return text;
  return EscapeHtml(runtime.budget(), *text);
}

// --- Case ---

template <Case kTo>
Result<Value> ToCase(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("a case method", call, {}));
  return SameType(value, ChangeCase(runtime.budget(), value.text(), kTo));
}

// --- Stripping, padding ---

template <Side kSide>
Result<Value> StripMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("strip()", call, {"chars"}));
  TextPtr chars;
  if (bound.GetUnlessNone(0) != nullptr) {
    MIRAGE_TRY_ASSIGN(chars, bound.String(0));
  }
  return SameType(value, Strip(runtime.budget(), value.text(), chars.get(), kSide));
}

template <Align kAlign>
Result<Value> PadMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("padding", call, {"width", "fillchar"}, 1));
  MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(0, 0));
  TextPtr fill = ConstantText(" ");
  if (bound.Get(1) != nullptr) {
    MIRAGE_TRY_ASSIGN(fill, ArgumentFor(runtime, value, bound, 1));
  }
  return SameType(value, Pad(runtime.budget(), value.text(), width, *fill, kAlign));
}

Result<Value> ZFill(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("zfill()", call, {"width"}, 1));
  MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(0, 0));
  const Text& text = value.text();
  const bool has_sign = text.size() > 0 && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  Budget& budget = runtime.budget();
  MIRAGE_TRY_ASSIGN(const TextPtr digits, Slice(budget, text, has_sign, text.size()));
  MIRAGE_TRY_ASSIGN(const TextPtr padded,
                    Pad(budget, *digits, std::max<int64_t>(width, 1) - has_sign, *ConstantText("0"),
                        Align::kRight));
  TextBuilder out(budget);
  out.Append(text, 0, has_sign);
  out.Append(*padded);
  return SameType(value, out.Finish());
}

// --- Cutting and joining ---

template <bool kFromRight>
Result<Value> SplitMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("split()", call, {"sep", "maxsplit"}));
  TextPtr separator;
  if (bound.GetUnlessNone(0) != nullptr) {
    MIRAGE_TRY_ASSIGN(separator, bound.String(0));
  }
  MIRAGE_TRY_ASSIGN(const int64_t max_splits, bound.Int(1, -1));
  MIRAGE_TRY_ASSIGN(std::vector<TextPtr> parts,
                    Split(runtime.budget(), value.text(), separator.get(), max_splits, kFromRight));
  return ListOf(runtime, value, std::move(parts));
}

Result<Value> SplitLinesMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("splitlines()", call, {"keepends"}));
  MIRAGE_TRY_ASSIGN(std::vector<TextPtr> lines,
                    SplitLines(runtime.budget(), value.text(), bound.Truth(0, false)));
  return ListOf(runtime, value, std::move(lines));
}

template <bool kFromRight>
Result<Value> Partition(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("partition()", call, {"sep"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr separator, bound.String(0));
  Budget& budget = runtime.budget();
  MIRAGE_TRY_ASSIGN(std::vector<TextPtr> parts,
                    Split(budget, value.text(), separator.get(), 1, kFromRight));
  if (parts.size() == 2) {
    parts.insert(parts.begin() + 1, separator);
  } else {
    parts.insert(kFromRight ? parts.begin() : parts.end(), 2, ConstantText(""));
  }
  std::vector<Value> items;
  for (TextPtr& part : parts) items.push_back(Value::String(std::move(part), value.is_markup()));
  return runtime.Tuple(std::move(items));
}

Result<Value> JoinMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("join()", call, {"iterable"}, 1));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, bound.At(0)));
  std::vector<TextPtr> parts;
  for (const Value& item : items) {
    if (!item.is_string()) {
      return Wrong("sequence item " + std::to_string(parts.size()) + ": expected str instance, " +
                   std::string(TypeName(item)) + " found");
    }
    TextPtr part = item.text_ptr();
    if (value.is_markup() && !item.is_markup()) {
      MIRAGE_TRY_ASSIGN(part, EscapeHtml(runtime.budget(), *part));
    }
    parts.push_back(std::move(part));
  }
  return SameType(value, Join(runtime.budget(), value.text(), parts));
}

Result<Value> ReplaceMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("replace()", call, {"old", "new", "count"}, 2));
  MIRAGE_TRY_ASSIGN(const TextPtr from, bound.String(0));
  MIRAGE_TRY_ASSIGN(const TextPtr to, ArgumentFor(runtime, value, bound, 1));
  MIRAGE_TRY_ASSIGN(const int64_t count, bound.Int(2, -1));
  return SameType(value, Replace(runtime.budget(), value.text(), *from, *to, count));
}

template <bool kSuffix>
Result<Value> RemoveAffix(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("removing an affix", call, {"affix"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr affix, bound.String(0));
  const std::string_view bytes = value.bytes();
  const size_t rest = bytes.size() - std::min(bytes.size(), affix->size());
  const bool has = kSuffix ? bytes.substr(rest) == affix->bytes()
                           : bytes.substr(0, affix->size()) == affix->bytes();
  if (!has) return value;
  return SameType(value, Slice(runtime.budget(), value.text(), kSuffix ? 0 : affix->size(),
                               kSuffix ? rest : bytes.size()));
}

// --- Searching ---

// The bytes that [start, stop) of characters spans; an empty optional if it is no place in the
// text.
Result<std::optional<std::pair<size_t, size_t>>> ByteSpan(Runtime& runtime, const Value& value,
                                                          const Bound& bound) {
  using Span = std::optional<std::pair<size_t, size_t>>;
  const Text& text = value.text();
  const auto length = static_cast<int64_t>(text.code_points());
  const auto resolve = [&](size_t index, int64_t fallback) -> Result<int64_t> {
    if (bound.GetUnlessNone(index) == nullptr) return fallback;
    MIRAGE_TRY_ASSIGN(const int64_t given, bound.Int(index, fallback));
    if (given < 0) return std::max<int64_t>(given < -length ? 0 : given + length, 0);
    return given;
  };
  MIRAGE_TRY_ASSIGN(const int64_t start, resolve(1, 0));
  MIRAGE_TRY_ASSIGN(const int64_t stop, resolve(2, length));
  if (start > length || start > stop) return Span();
  MIRAGE_TRY(runtime.budget().StepBytes(2 * text.WalkBytes()));
  return Span({text.ByteOffset(static_cast<size_t>(start)),
               text.ByteOffset(static_cast<size_t>(std::min(stop, length)))});
}

// The character at which `sub` begins, or nothing.
Result<std::optional<int64_t>> FindIn(Runtime& runtime, const Value& value,
                                      const CallArguments& call, bool from_right) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("find()", call, {"sub", "start", "end"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr sub, bound.String(0));
  MIRAGE_TRY_ASSIGN(const auto span, ByteSpan(runtime, value, bound));
  if (!span) return std::optional<int64_t>();
  const std::string_view bytes = value.bytes().substr(0, span->second);
  // Searching backwards takes the product of the lengths at worst.
  MIRAGE_TRY(runtime.budget().StepBytes(bytes.size() * (from_right ? sub->size() : 1)));
  size_t at = kNone;
  if (!from_right) {
    at = FindBytes(bytes, sub->bytes(), span->first);
  } else {
    at = bytes.rfind(sub->bytes());
    if (at != kNone && at < span->first) at = kNone;
  }
  if (at == kNone) return std::optional<int64_t>();
  return std::optional<int64_t>(static_cast<int64_t>(CountCodePoints(bytes.substr(0, at))));
}

template <bool kFromRight>
Result<Value> FindMethodOf(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const std::optional<int64_t> at, FindIn(runtime, value, call, kFromRight));
  return Value::Int(at.value_or(-1));
}

template <bool kFromRight>
Result<Value> IndexMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const std::optional<int64_t> at, FindIn(runtime, value, call, kFromRight));
  if (!at) return Wrong("substring not found");
  return Value::Int(*at);
}

Result<Value> CountMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("count()", call, {"sub", "start", "end"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr sub, bound.String(0));
  MIRAGE_TRY_ASSIGN(const auto span, ByteSpan(runtime, value, bound));
  if (!span) return Value::Int(0);
  const std::string_view bytes = value.bytes().substr(span->first, span->second - span->first);
  MIRAGE_TRY(runtime.budget().StepBytes(bytes.size()));
  if (sub->size() == 0) return Value::Int(static_cast<int64_t>(CountCodePoints(bytes)) + 1);
  int64_t count = 0;
  for (size_t at = FindBytes(bytes, sub->bytes()); at != kNone;
       at = FindBytes(bytes, sub->bytes(), at + sub->size())) {
    MIRAGE_TRY(runtime.Step());
    ++count;
  }
  return Value::Int(count);
}

// startswith and endswith take one affix or a tuple of them.
template <bool kSuffix>
Result<Value> HasAffix(Runtime& runtime, const Value& value, const CallArguments& call) {
  constexpr const char* kName = kSuffix ? "endswith()" : "startswith()";
  const std::string name = kName;
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To(kName, call, {"affix", "start", "end"}, 1));
  const Value& given = bound.At(0);
  if (given.is_undefined()) return Wrong(given.undefined().message);
  if (!given.is_string() && !given.is(Kind::kTuple)) {
    return Wrong(name + " first arg must be str or a tuple of str, not " +
                 std::string(TypeName(given)));
  }
  const std::vector<Value> affixes = given.is_string() ? std::vector<Value>{given} : given.items();
  MIRAGE_TRY_ASSIGN(const auto span, ByteSpan(runtime, value, bound));
  if (!span) return Value::Bool(false);
  const std::string_view bytes = value.bytes().substr(span->first, span->second - span->first);
  for (const Value& affix : affixes) {
    MIRAGE_TRY(runtime.Step());
    if (!affix.is_string()) {
      return Wrong("tuple for " + name + " must only contain str, not " +
                   std::string(TypeName(affix)));
    }
    const size_t length = affix.bytes().size();
    if (length > bytes.size()) continue;
    if (bytes.substr(kSuffix ? bytes.size() - length : 0, length) == affix.bytes()) {
      return Value::Bool(true);
    }
  }
  return Value::Bool(false);
}

// --- Formatting ---

Result<Value> FormatMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  return FormatBraces(runtime, value, call);
}

Result<Value> FormatMapMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("format_map()", call, {"mapping"}, 1));
  if (!bound.At(0).is(Kind::kDict)) return Wrong("format_map() needs a mapping");
  CallArguments arguments;
  for (const auto& [key, item] : bound.At(0).dict().entries) {
    if (key.is_string()) arguments.named.push_back({std::string(key.bytes()), item});
  }
  return FormatBraces(runtime, value, arguments);
}

// --- Kinds of characters ---

template <bool (*kHas)(uint32_t)>
Result<Value> AllAre(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("a character test", call, {}));
  MIRAGE_TRY(runtime.budget().StepBytes(value.text().size()));
  for (size_t at = 0; at < value.text().size();) {
    if (!kHas(DecodeUtf8(value.bytes(), &at))) return Value::Bool(false);
  }
  return Value::Bool(value.text().size() > 0);
}

bool IsAlnum(uint32_t c) { return IsAlpha(c) || IsDecimal(c) || IsDigit(c) || IsNumeric(c); }

Result<Value> IsAsciiMethod(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("isascii()", call, {}));
  return Value::Bool(value.text().ascii());
}

Result<Value> IsPrintableMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  if (value.text().size() == 0) return Value::Bool(true);
  return AllAre<IsPrintable>(runtime, value, call);
}

// At least one character of the case, and none of another.
template <bool (*kHas)(uint32_t)>
Result<Value> AllOfCase(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("a case test", call, {}));
  MIRAGE_TRY(runtime.budget().StepBytes(value.text().size()));
  bool any = false;
  for (size_t at = 0; at < value.text().size();) {
    const uint32_t c = DecodeUtf8(value.bytes(), &at);
    if (kHas(c)) {
      any = true;
    } else if (IsCased(c)) {
      return Value::Bool(false);
    }
  }
  return Value::Bool(any);
}

Result<Value> IsTitleMethod(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("istitle()", call, {}));
  MIRAGE_TRY(runtime.budget().StepBytes(value.text().size()));
  bool any = false;
  bool in_word = false;
  for (size_t at = 0; at < value.text().size();) {
    const uint32_t c = DecodeUtf8(value.bytes(), &at);
    const bool begins = IsUpper(c) || IsTitle(c);
    if ((begins && in_word) || (IsLower(c) && !in_word)) return Value::Bool(false);
    in_word = begins || IsLower(c);
    any |= in_word;
  }
  return Value::Bool(any);
}

constexpr NativeFunction kMethods[] = {
    {"capitalize", ToCase<Case::kCapitalize>},
    {"center", PadMethod<Align::kCenter>},
    {"count", CountMethod},
    {"endswith", HasAffix<true>},
    {"find", FindMethodOf<false>},
    {"format", FormatMethod},
    {"format_map", FormatMapMethod},
    {"index", IndexMethod<false>},
    {"isalnum", AllAre<IsAlnum>},
    {"isalpha", AllAre<IsAlpha>},
    {"isascii", IsAsciiMethod},
    {"isdecimal", AllAre<IsDecimal>},
    {"isdigit", AllAre<IsDigit>},
    {"islower", AllOfCase<IsLower>},
    {"isnumeric", AllAre<IsNumeric>},
    {"isprintable", IsPrintableMethod},
    {"isspace", AllAre<IsSpace>},
    {"istitle", IsTitleMethod},
    {"isupper", AllOfCase<IsUpper>},
    {"join", JoinMethod},
    {"ljust", PadMethod<Align::kLeft>},
    {"lower", ToCase<Case::kLower>},
    {"lstrip", StripMethod<Side::kLeft>},
    {"partition", Partition<false>},
    {"removeprefix", RemoveAffix<false>},
    {"removesuffix", RemoveAffix<true>},
    {"replace", ReplaceMethod},
    {"rfind", FindMethodOf<true>},
    {"rindex", IndexMethod<true>},
    {"rjust", PadMethod<Align::kRight>},
    {"rpartition", Partition<true>},
    {"rsplit", SplitMethod<true>},
    {"rstrip", StripMethod<Side::kRight>},
    {"split", SplitMethod<false>},
    {"splitlines", SplitLinesMethod},
    {"startswith", HasAffix<false>},
    {"strip", StripMethod<Side::kBoth>},
    {"swapcase", ToCase<Case::kSwap>},
    {"title", ToCase<Case::kTitle>},
    {"upper", ToCase<Case::kUpper>},
    {"zfill", ZFill},
};

}  // namespace

std::span<const NativeFunction> StringMethods() { return kMethods; }

}  // namespace mirage::text::jinja
