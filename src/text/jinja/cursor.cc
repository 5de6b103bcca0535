// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/cursor.h"

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {

bool Cursor::IsIterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kRange:
    case Kind::kIterator:
      return true;
    default:
      return false;
  }
}

Result<Cursor> Cursor::Over(Runtime& runtime, const Value& iterable) {
  if (!IsIterable(iterable)) {
    return Wrong("'" + std::string(TypeName(iterable)) + "' object is not iterable");
  }
  return Cursor(runtime, iterable);
}

Result<bool> Cursor::Next(Value* item) {
  MIRAGE_TRY(runtime_->Step());
  switch (iterable_.kind()) {
    case Kind::kString:
      return NextCharacter(item);
    case Kind::kList:
    case Kind::kTuple:
      if (at_ >= iterable_.items().size()) return false;
      *item = iterable_.items()[at_++];
      return true;
    case Kind::kDict:
      if (at_ >= iterable_.dict().entries.size()) return false;
      *item = iterable_.dict().entries[at_++].first;
      return true;
    case Kind::kDictView: {
      if (at_ >= iterable_.view().dict.dict().entries.size()) return false;
      MIRAGE_TRY_ASSIGN(*item, ViewItem(*runtime_, iterable_.view(), at_++));
      return true;
    }
    case Kind::kRange:
      if (static_cast<int64_t>(at_) >= iterable_.range().count) return false;
      *item = Value::Int(iterable_.range().At(static_cast<int64_t>(at_++)));
      return true;
    case Kind::kIterator: {
      Iterator& iterator = iterable_.iterator();
      if (iterator.next >= iterator.items.size()) return false;
      *item = iterator.items[iterator.next++];
      return true;
    }
    default:
      return false;  // undefined is empty
  }
}

Result<bool> Cursor::NextCharacter(Value* item) {
  const Text& text = iterable_.text();
  if (at_ >= text.size()) return false;
  const size_t begin = at_;
  at_ += Utf8Length(text.bytes()[at_]);
  MIRAGE_TRY_ASSIGN(TextPtr character, Slice(runtime_->budget(), text, begin, at_));
  *item = Value::String(std::move(character));  // of a markup string too
  return true;
}

std::optional<int64_t> LengthOf(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.text().code_points());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kDictView:
      return static_cast<int64_t>(value.view().dict.dict().entries.size());
    case Kind::kRange:
      return value.range().count;
    default:
      return std::nullopt;
  }
}

Result<std::vector<Value>> Collect(Runtime& runtime, const Value& iterable) {
  if (iterable.is_sequence()) {
    MIRAGE_TRY(runtime.Step(1 + iterable.items().size() / 8));
    return iterable.items();
  }
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, iterable));
  std::vector<Value> items;
  Value item;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) return items;
    items.push_back(std::move(item));
  }
}

Result<Value> ViewItem(Runtime& runtime, const DictView& view, size_t index) {
  const auto& [key, value] = view.dict.dict().entries[index];
  switch (view.part) {
    case DictPart::kKeys:
      return key;
    case DictPart::kValues:
      return value;
    case DictPart::kItems:
      break;
  }
  return runtime.Tuple({key, value});
}

}  // namespace mirage::text::jinja
