// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/runtime.h"

#include <algorithm>

#include "text/jinja/errors.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kIndexFrom = 9;  // entries at which a dict gets its sorted index

uint32_t DeepestOf(const std::vector<Value>& items) {
  uint32_t deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.depth());
  return deepest;
}

}  // namespace

Runtime::~Runtime() {
  for (const auto& empty : at_end_) empty();
}

Status Runtime::NativeLevel::Check() const {
  if (runtime_.native_depth_ <= runtime_.limits().call_depth) return {};
  return LimitReached("call_depth", runtime_.limits().call_depth);
}

Status Runtime::Adopt(Object* object, uint64_t payload_bytes, uint32_t child_depth) {
  if (child_depth + 1 > kMaxValueDepth) return LimitReached("value depth", kMaxValueDepth);
  object->depth = child_depth + 1;
  MIRAGE_TRY(budget_.Step(1 + payload_bytes / 64));
  MIRAGE_TRY_ASSIGN(object->charge, budget_.Take(kObjectBytes + payload_bytes));
  return {};
}

Result<Value> Runtime::String(std::string_view bytes, Origin origin) {
  MIRAGE_TRY_ASSIGN(TextPtr text, MakeText(budget_, bytes, origin));
  return Value::String(std::move(text));
}

Result<Value> Runtime::MakeSequence(Kind kind, std::vector<Value> items, bool is_group) {
  auto sequence = std::make_shared<Sequence>();
  MIRAGE_TRY(Adopt(sequence.get(), items.size() * sizeof(Value), DeepestOf(items)));
  sequence->items = std::move(items);
  sequence->is_group = is_group;
  return Value::OfObject(kind, std::move(sequence));
}

Result<Value> Runtime::List(std::vector<Value> items) {
  return MakeSequence(Kind::kList, std::move(items), false);
}

Result<Value> Runtime::Tuple(std::vector<Value> items) {
  return MakeSequence(Kind::kTuple, std::move(items), false);
}

Result<Value> Runtime::Group(Value grouper, Value list) {
  return MakeSequence(Kind::kTuple, {std::move(grouper), std::move(list)}, true);
}

Result<Value> Runtime::MakeDict(DictBuilder builder) {
  auto& given = builder.entries_;
  uint32_t deepest = 0;
  for (const auto& [key, value] : given) {
    if (!IsHashable(key)) {
      return Wrong("unhashable type: '" + std::string(TypeName(key)) + "'");
    }
    deepest = std::max({deepest, key.depth(), value.depth()});
  }
  auto dict = std::make_shared<Dict>();
  MIRAGE_TRY(Adopt(dict.get(), given.size() * (2 * sizeof(Value) + sizeof(uint32_t)), deepest));

  // Sorted by key and then by age, equal keys stand together: the oldest gives the place, the
  // newest the value.
  std::vector<uint32_t> order(given.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return CompareKeys(given[a].first, given[b].first) < 0;
  });
  std::vector<bool> keep(given.size(), true);
  for (size_t i = 1, oldest = 0; i < order.size(); ++i) {
    if (CompareKeys(given[order[oldest]].first, given[order[i]].first) == 0) {
      given[order[oldest]].second = std::move(given[order[i]].second);
      keep[order[i]] = false;
    } else {
      oldest = i;
    }
  }
  std::vector<uint32_t> place(given.size());
  for (uint32_t i = 0; i < given.size(); ++i) {
    if (!keep[i]) continue;
    place[i] = static_cast<uint32_t>(dict->entries.size());
    dict->entries.push_back(std::move(given[i]));
  }
  if (dict->entries.size() >= kIndexFrom) {
    for (const uint32_t i : order) {
      if (keep[i]) dict->order.push_back(place[i]);
    }
  }
  return Value::OfObject(Kind::kDict, std::move(dict));
}

Result<Value> Runtime::View(Value dict, DictPart part) {
  auto view = std::make_shared<DictView>();
  MIRAGE_TRY(Adopt(view.get(), 0, dict.depth()));
  view->dict = std::move(dict);
  view->part = part;
  return Value::OfObject(Kind::kDictView, std::move(view));
}

Result<Value> Runtime::MakeRange(int64_t start, int64_t stop, int64_t step) {
  if (step == 0) return Wrong("range() arg 3 must not be zero");
  // Unsigned, because the distance of two int64 may not fit one.
  uint64_t count = 0;
  if (step > 0 && start < stop) {
    count = (static_cast<uint64_t>(stop) - static_cast<uint64_t>(start) - 1) /
                static_cast<uint64_t>(step) +
            1;
  } else if (step < 0 && start > stop) {
    count = (static_cast<uint64_t>(start) - static_cast<uint64_t>(stop) - 1) /
                (0 - static_cast<uint64_t>(step)) +
            1;
  }
  if (count > limits().range_items) return LimitReached("range_items", limits().range_items);
  auto range = std::make_shared<Range>();
  MIRAGE_TRY(Adopt(range.get(), 0, 0));
  range->start = start;
  range->stop = stop;
  range->step = step;
  range->count = static_cast<int64_t>(count);
  return Value::OfObject(Kind::kRange, std::move(range));
}

Result<Value> Runtime::MakeIterator(std::vector<Value> items, std::string_view type_name) {
  auto iterator = std::make_shared<Iterator>();
  MIRAGE_TRY(Adopt(iterator.get(), items.size() * sizeof(Value), DeepestOf(items)));
  iterator->items = std::move(items);
  iterator->type_name = type_name;
  return Value::OfObject(Kind::kIterator, std::move(iterator));
}

Result<Value> Runtime::MakeNamespace() {
  auto name_space = std::make_shared<Namespace>();
  MIRAGE_TRY(Adopt(name_space.get(), sizeof(std::function<void()>), 0));
  AtEnd([name_space] { name_space->members.clear(); });
  return Value::OfObject(Kind::kNamespace, std::move(name_space));
}

Result<Value> Runtime::MakeFunction(const NativeFunction& native, Value receiver) {
  auto function = std::make_shared<Function>();
  MIRAGE_TRY(Adopt(function.get(), 0, receiver.depth()));
  function->native = native;
  function->receiver = std::move(receiver);
  return Value::OfObject(Kind::kFunction, std::move(function));
}

Result<Value> Runtime::MakeUndefined(std::string message) {
  auto undefined = std::make_shared<Undefined>();
  MIRAGE_TRY(Adopt(undefined.get(), message.size(), 0));
  undefined->message = std::move(message);
  return Value::OfObject(Kind::kUndefined, std::move(undefined));
}

Result<Value> Runtime::MissingElement(const Value& object, const Value& key) {
  const std::string owner = object.is_none() ? "None" : std::string(TypeName(object)) + " object";
  if (key.is_string()) {
    MIRAGE_TRY_ASSIGN(const std::string name, Quoted(*this, key));
    return MakeUndefined("'" + owner + "' has no attribute " + name);
  }
  MIRAGE_TRY_ASSIGN(const std::string index, Quoted(*this, key));
  return MakeUndefined(owner + " has no element " + index);
}

const Value* CallArguments::FindNamed(std::string_view name) const {
  for (const NamedArgument& argument : named) {
    if (argument.name == name) return &argument.value;
  }
  return nullptr;
}

}  // namespace mirage::text::jinja
