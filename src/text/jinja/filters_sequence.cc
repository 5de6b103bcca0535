// SPDX-License-Identifier: Apache-2.0
// Filters that walk a sequence.
#include <algorithm>
#include <set>

#include "text/jinja/arguments.h"
#include "text/jinja/attributes.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/filters.h"
#include "text/jinja/natives.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

// Strings compare in lower case unless a filter is told otherwise.
Result<Value> FoldCase(Runtime& runtime, Value value) {
  if (!value.is_string()) return value;
  MIRAGE_TRY_ASSIGN(TextPtr lower, ChangeCase(runtime.budget(), value.text(), Case::kLower));
  return Value::String(std::move(lower), value.is_markup());
}

// How sort, unique, min, max and groupby see an item.
struct SortKey {
  AttributePath path;
  bool case_sensitive = false;
  const Value* fallback = nullptr;

  Result<Value> Of(Runtime& runtime, const Value& item) const {
    MIRAGE_TRY_ASSIGN(Value value, path.Get(runtime, item, fallback));
    if (case_sensitive) return value;
    return FoldCase(runtime, std::move(value));
  }
};

Result<std::vector<Value>> KeysOf(Runtime& runtime, const std::vector<Value>& items,
                                  const SortKey& key) {
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    MIRAGE_TRY_ASSIGN(Value value, key.Of(runtime, item));
    keys.push_back(std::move(value));
  }
  return keys;
}

Result<Value> List(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("list()", call, {}));
  MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, value));
  return runtime.List(std::move(items));
}

Result<Value> First(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("first()", call, {}));
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  Value item;
  MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
  if (more) return item;
  return runtime.MakeUndefined("No first item, sequence was empty.");
}

Result<Value> Last(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("last()", call, {}));
  const bool reversible = value.is_string() || value.is_sequence() || value.is(Kind::kDict) ||
                          value.is(Kind::kDictView) || value.is(Kind::kRange);
  if (value.is_undefined()) return runtime.MakeUndefined("No last item, sequence was empty.");
  if (!reversible) {
    return Wrong("'" + std::string(TypeName(value)) + "' object is not reversible");
  }
  const int64_t length = *LengthOf(value);
  if (length == 0) return runtime.MakeUndefined("No last item, sequence was empty.");
  if (value.is(Kind::kDict)) return value.dict().entries.back().first;
  if (value.is(Kind::kDictView)) {
    return ViewItem(runtime, value.view(), static_cast<size_t>(length - 1));
  }
  const Value last = Value::Int(length - 1);
  // A walk over a markup string gives plain characters.
  if (value.is_markup()) return GetItem(runtime, Value::String(value.text_ptr()), last);
  return GetItem(runtime, value, last);
}

Result<Value> ReverseFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("reverse()", call, {}));
  if (value.is_string()) {
    MIRAGE_TRY_ASSIGN(TextPtr text, Reverse(runtime.budget(), value.text()));
    return Value::String(std::move(text), value.is_markup());
  }
  if (!Cursor::IsIterable(value)) return Wrong("argument must be iterable");
  MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, value));
  std::reverse(items.begin(), items.end());
  if (value.is(Kind::kIterator)) return runtime.List(std::move(items));
  return runtime.MakeIterator(std::move(items),
                              value.is(Kind::kList) ? "list_reverseiterator" : "reversed");
}

Result<Value> JoinFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("join()", call, {"d", "attribute"}));
  TextPtr separator = ConstantText("");
  if (bound.Get(0) != nullptr) {
    MIRAGE_TRY_ASSIGN(separator, ToText(runtime, bound.At(0)));
  }
  MIRAGE_TRY_ASSIGN(const AttributePath path, AttributePath::Parse(runtime, bound.Get(1)));
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  TextBuilder out(runtime.budget());
  Value item;
  for (bool first = true;; first = false) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) break;
    if (!first) out.Append(*separator);
    MIRAGE_TRY_ASSIGN(const Value part, path.Get(runtime, item));
    MIRAGE_TRY(AppendStr(runtime, part, &out));
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
  return Value::String(std::move(text));
}

Result<Value> Items(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("items()", call, {}));
  if (value.is_undefined()) return runtime.MakeIterator({});
  if (!value.is(Kind::kDict)) return Wrong("Can only get item pairs from a mapping.");
  MIRAGE_TRY_ASSIGN(const Value view, runtime.View(value, DictPart::kItems));
  MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, view));
  return runtime.MakeIterator(std::move(items));
}

Result<Value> DictSort(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound,
                    Bound::To("dictsort()", call, {"case_sensitive", "by", "reverse"}));
  std::string_view by = "key";
  if (bound.Get(1) != nullptr && bound.At(1).is_string()) by = bound.At(1).bytes();
  if (by != "key" && by != "value") {
    return Wrong("You can only sort by either \"key\" or \"value\"");
  }
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (!value.is(Kind::kDict)) {
    return Wrong("'" + std::string(TypeName(value)) + "' object has no attribute 'items'");
  }
  const bool case_sensitive = bound.Truth(0, false);
  std::vector<Value> keys;
  for (const auto& [key, entry] : value.dict().entries) {
    Value sorted_by = by == "key" ? key : entry;
    if (!case_sensitive) {
      MIRAGE_TRY_ASSIGN(sorted_by, FoldCase(runtime, std::move(sorted_by)));
    }
    keys.push_back(std::move(sorted_by));
  }
  MIRAGE_TRY_ASSIGN(const std::vector<size_t> order,
                    SortedOrder(runtime, keys, bound.Truth(2, false)));
  std::vector<Value> pairs;
  pairs.reserve(order.size());
  for (const size_t i : order) {
    const auto& [key, entry] = value.dict().entries[i];
    MIRAGE_TRY_ASSIGN(Value pair, runtime.Tuple({key, entry}));
    pairs.push_back(std::move(pair));
  }
  return runtime.List(std::move(pairs));
}

// The attributes of sort, which may be several: "a,b.c".
Result<std::vector<AttributePath>> ParsePaths(Runtime& runtime, const Value* attribute) {
  std::vector<AttributePath> paths;
  if (attribute == nullptr || !attribute->is_string()) {
    MIRAGE_TRY_ASSIGN(AttributePath path, AttributePath::Parse(runtime, attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  const TextPtr comma = ConstantText(",");
  MIRAGE_TRY_ASSIGN(const std::vector<TextPtr> parts,
                    Split(runtime.budget(), attribute->text(), comma.get(), -1, false));
  for (const TextPtr& part : parts) {
    const Value name = Value::String(part);
    MIRAGE_TRY_ASSIGN(AttributePath path, AttributePath::Parse(runtime, &name));
    paths.push_back(std::move(path));
  }
  return paths;
}

Result<Value> Sort(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound,
                    Bound::To("sort()", call, {"reverse", "case_sensitive", "attribute"}));
  MIRAGE_TRY_ASSIGN(std::vector<AttributePath> paths, ParsePaths(runtime, bound.Get(2)));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributePath& path : paths) {
      const SortKey key{path, bound.Truth(1, false), nullptr};
      MIRAGE_TRY_ASSIGN(Value part, key.Of(runtime, item));
      parts.push_back(std::move(part));
    }
    MIRAGE_TRY_ASSIGN(Value key, runtime.List(std::move(parts)));
    keys.push_back(std::move(key));
  }
  MIRAGE_TRY_ASSIGN(const std::vector<size_t> order,
                    SortedOrder(runtime, keys, bound.Truth(0, false)));
  std::vector<Value> sorted;
  sorted.reserve(order.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  return runtime.List(std::move(sorted));
}

Result<Value> Unique(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound,
                    Bound::To("unique()", call, {"case_sensitive", "attribute"}));
  MIRAGE_TRY_ASSIGN(AttributePath path, AttributePath::Parse(runtime, bound.Get(1)));
  const SortKey key{std::move(path), bound.Truth(0, false), nullptr};
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> keys, KeysOf(runtime, items, key));
  std::set<Value, KeyLess> seen;
  std::vector<Value> kept;
  for (size_t i = 0; i < items.size(); ++i) {
    MIRAGE_TRY(runtime.Step());
    if (!IsHashable(keys[i])) {
      return Wrong("unhashable type: '" + std::string(TypeName(keys[i])) + "'");
    }
    if (seen.insert(keys[i]).second) kept.push_back(items[i]);
  }
  return runtime.MakeIterator(std::move(kept));
}

Result<Value> Extreme(Runtime& runtime, const Value& value, const CallArguments& call,
                      const char* name, bool want_least) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To(name, call, {"case_sensitive", "attribute"}));
  MIRAGE_TRY_ASSIGN(AttributePath path, AttributePath::Parse(runtime, bound.Get(1)));
  const SortKey key{std::move(path), bound.Truth(0, false), nullptr};
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  if (items.empty()) return runtime.MakeUndefined("No aggregated item, sequence was empty.");
  MIRAGE_TRY_ASSIGN(const std::vector<Value> keys, KeysOf(runtime, items, key));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    MIRAGE_TRY_ASSIGN(const bool better, want_least ? Less(runtime, keys[i], keys[best], "<")
                                                    : Less(runtime, keys[best], keys[i], ">"));
    if (better) best = i;
  }
  return items[best];
}

Result<Value> Min(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Extreme(runtime, value, call, "min()", true);
}

Result<Value> Max(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Extreme(runtime, value, call, "max()", false);
}

Result<Value> Sum(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("sum()", call, {"attribute", "start"}));
  MIRAGE_TRY_ASSIGN(const AttributePath path, AttributePath::Parse(runtime, bound.Get(0)));
  Value total = bound.Get(1) != nullptr ? bound.At(1) : Value::Int(0);
  if (total.is_string()) return Wrong("sum() can't sum strings [use ''.join(seq) instead]");
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  Value item;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) return total;
    MIRAGE_TRY_ASSIGN(const Value part, path.Get(runtime, item));
    MIRAGE_TRY_ASSIGN(total, Binary(runtime, BinaryOp::kAdd, total, part));
  }
}

Result<Value> GroupBy(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound,
                    Bound::To("groupby()", call, {"attribute", "default", "case_sensitive"}, 1));
  MIRAGE_TRY_ASSIGN(AttributePath path, AttributePath::Parse(runtime, bound.Get(0)));
  const SortKey key{std::move(path), bound.Truth(2, false), bound.GetUnlessNone(1)};
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> keys, KeysOf(runtime, items, key));
  MIRAGE_TRY_ASSIGN(const std::vector<size_t> order, SortedOrder(runtime, keys, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < order.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (; end < order.size(); ++end) {
      MIRAGE_TRY_ASSIGN(const bool same, Equal(runtime, keys[order[begin]], keys[order[end]]));
      if (!same && end > begin) break;
      members.push_back(items[order[end]]);
    }
    // The group is named as its first member spells it.
    MIRAGE_TRY_ASSIGN(Value grouper,
                      key.path.Get(runtime, items[order[begin]], bound.GetUnlessNone(1)));
    MIRAGE_TRY_ASSIGN(Value list, runtime.List(std::move(members)));
    MIRAGE_TRY_ASSIGN(Value group, runtime.Group(std::move(grouper), std::move(list)));
    groups.push_back(std::move(group));
    begin = end;
  }
  return runtime.List(std::move(groups));
}

// How many copies of `fill` a chunk may take is bounded like a range.
Result<int64_t> ChunkCount(Runtime& runtime, const Bound& bound) {
  MIRAGE_TRY_ASSIGN(const int64_t count, bound.Int(0, 0));
  if (count > static_cast<int64_t>(runtime.limits().range_items)) {
    return LimitReached("range_items", runtime.limits().range_items);
  }
  return count;
}

Result<Value> Batch(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("batch()", call, {"linecount", "fill_with"}, 1));
  MIRAGE_TRY_ASSIGN(const int64_t count, ChunkCount(runtime, bound));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  const auto line = static_cast<size_t>(std::max<int64_t>(count, 0));
  std::vector<Value> batches;
  std::vector<Value> batch;
  const auto flush = [&]() -> Status {
    MIRAGE_TRY_ASSIGN(Value list, runtime.List(std::exchange(batch, {})));
    batches.push_back(std::move(list));
    return {};
  };
  for (const Value& item : items) {
    if (count >= 0 && batch.size() == line) MIRAGE_TRY(flush());
    batch.push_back(item);
  }
  if (!batch.empty()) {
    const Value* fill = bound.GetUnlessNone(1);
    if (fill != nullptr && batch.size() < line) batch.resize(line, *fill);
    MIRAGE_TRY(flush());
  }
  return runtime.MakeIterator(std::move(batches));
}

Result<Value> SliceFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("slice()", call, {"slices", "fill_with"}, 1));
  MIRAGE_TRY_ASSIGN(const int64_t count, ChunkCount(runtime, bound));
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  if (count == 0) return Wrong("integer division or modulo by zero");
  const auto slices = static_cast<size_t>(std::max<int64_t>(count, 0));
  std::vector<Value> lists;
  size_t begin = 0;
  for (size_t i = 0; i < slices; ++i) {
    const bool extra = i < items.size() % slices;
    const size_t end = begin + items.size() / slices + extra;
    std::vector<Value> slice(items.begin() + static_cast<ptrdiff_t>(begin),
                             items.begin() + static_cast<ptrdiff_t>(end));
    if (!extra && bound.GetUnlessNone(1) != nullptr) slice.push_back(bound.At(1));
    MIRAGE_TRY_ASSIGN(Value list, runtime.List(std::move(slice)));
    lists.push_back(std::move(list));
    begin = end;
  }
  return runtime.MakeIterator(std::move(lists));
}

Result<Value> MapAttribute(Runtime& runtime, const Value& value, const CallArguments& call) {
  for (const auto& [name, argument, origin] : call.named) {
    if (name != "attribute" && name != "default") {
      return Wrong("Unexpected keyword argument '" + name + "'");
    }
  }
  MIRAGE_TRY_ASSIGN(const AttributePath path,
                    AttributePath::Parse(runtime, call.FindNamed("attribute")));
  const Value* fallback = call.FindNamed("default");
  if (fallback != nullptr && fallback->is_none()) fallback = nullptr;
  MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, value));
  for (Value& item : items) {
    MIRAGE_TRY_ASSIGN(item, path.Get(runtime, item, fallback));
  }
  return runtime.MakeIterator(std::move(items));
}

Result<Value> Map(Runtime& runtime, const Value& value, const CallArguments& call) {
  if (!Truthy(value)) return runtime.MakeIterator({});
  if (call.positional.empty()) {
    if (call.FindNamed("attribute") != nullptr) return MapAttribute(runtime, value, call);
    return Wrong("map requires a filter argument");
  }
  const Value& name = call.positional[0];
  const NativeFunction* filter = name.is_string() ? FindFilter(name.bytes()) : nullptr;
  if (filter == nullptr) {
    MIRAGE_TRY_ASSIGN(const std::string quoted, Quoted(runtime, name));
    return Wrong("no filter named " + quoted);
  }
  // The filter may be map itself: `map('map', 'map', ...)` calls as deep as it has arguments.
  const Runtime::NativeLevel level(runtime);
  MIRAGE_TRY(level.Check());
  const CallArguments rest{{call.positional.begin() + 1, call.positional.end()}, call.named};
  MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, value));
  for (Value& item : items) {
    MIRAGE_TRY_ASSIGN(item, filter->call(runtime, item, rest));
  }
  return runtime.MakeIterator(std::move(items));
}

// select, reject and their -attr forms: the items for which the test is `wanted`.
Result<Value> Choose(Runtime& runtime, const Value& value, const CallArguments& call, bool wanted,
                     bool by_attribute) {
  if (!Truthy(value)) return runtime.MakeIterator({});
  size_t next = 0;
  AttributePath path;
  if (by_attribute) {
    if (call.positional.empty()) return Wrong("Missing parameter for attribute name");
    MIRAGE_TRY_ASSIGN(path, AttributePath::Parse(runtime, &call.positional[next++]));
  }
  const NativeFunction* test = nullptr;
  if (next < call.positional.size()) {
    const Value& name = call.positional[next++];
    test = name.is_string() ? FindTest(name.bytes()) : nullptr;
    if (test == nullptr) {
      MIRAGE_TRY_ASSIGN(const std::string quoted, Quoted(runtime, name));
      return Wrong("no test named " + quoted);
    }
  }
  const auto begin = call.positional.begin() + static_cast<ptrdiff_t>(next);
  const CallArguments rest{{begin, call.positional.end()}, call.named};
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  std::vector<Value> chosen;
  Value item;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) return runtime.MakeIterator(std::move(chosen));
    MIRAGE_TRY_ASSIGN(Value tested, path.Get(runtime, item));
    if (test != nullptr) {
      MIRAGE_TRY_ASSIGN(tested, test->call(runtime, tested, rest));
    }
    if (Truthy(tested) == wanted) chosen.push_back(item);
  }
}

Result<Value> Select(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Choose(runtime, value, call, true, false);
}

Result<Value> Reject(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Choose(runtime, value, call, false, false);
}

Result<Value> SelectAttr(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Choose(runtime, value, call, true, true);
}

Result<Value> RejectAttr(Runtime& runtime, const Value& value, const CallArguments& call) {
  return Choose(runtime, value, call, false, true);
}

constexpr NativeFunction kFilters[] = {
    {"batch", Batch},
    {"dictsort", DictSort},
    {"first", First},
    {"groupby", GroupBy},
    {"items", Items},
    {"join", JoinFilter},
    {"last", Last},
    {"list", List},
    {"map", Map},
    {"max", Max},
    {"min", Min},
    {"reject", Reject},
    {"rejectattr", RejectAttr},
    {"reverse", ReverseFilter},
    {"select", Select},
    {"selectattr", SelectAttr},
    {"slice", SliceFilter},
    {"sort", Sort},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

std::span<const NativeFunction> SequenceFilters() { return kFilters; }

}  // namespace mirage::text::jinja
