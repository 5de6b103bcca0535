// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_reader.h"

#include <algorithm>
#include <optional>

#include "grammar/json_number.h"
#include "grammar/regex.h"
#include "grammar/string_format.h"
#include "grammar/utf8.h"

namespace mirage::grammar {
namespace {

using Type = JsonValue::Type;

// Readers recurse once per level.
constexpr size_t kMaxOpen = 24;
constexpr size_t kMaxSchemas = 50'000;
constexpr uint64_t kMaxExpansions = 20'000;
// Of a state of an automaton made here: they differ in how it is made.
constexpr uint64_t kComparedSteps = 200;
constexpr uint64_t kTextSteps = 20;

// They say nothing about which values are valid.
constexpr std::string_view kAnnotations[] = {
    "title",       "description",     "default",          "examples",     "deprecated",
    "readOnly",    "writeOnly",       "$comment",         "$schema",      "$defs",
    "definitions", "contentEncoding", "contentMediaType", "contentSchema"};
constexpr std::string_view kNarrowing[] = {
    "minimum",       "maximum",      "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf",    "minLength",    "maxLength",        "pattern",
    "format",        "items",        "prefixItems",      "minItems",
    "maxItems",      "properties",   "required",         "additionalProperties",
    "minProperties", "maxProperties"};
constexpr std::string_view kCombining[] = {"type",  "enum",  "const", "allOf",
                                           "anyOf", "oneOf", "not",   "$ref"};
constexpr std::string_view kConditional[] = {"if", "then", "else"};

template <size_t n>
bool Contains(const std::string_view (&list)[n], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// What the keywords known here mean is the same in both.
bool KnownDialect(std::string_view name) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (name.starts_with(scheme)) name.remove_prefix(scheme.size());
  if (name.ends_with('#')) name.remove_suffix(1);
  return name == "json-schema.org/draft/2020-12/schema" ||
         name == "json-schema.org/draft/2019-09/schema";
}

// A name as a part of a JSON pointer.
std::string Escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}
std::string Below(const std::string& pointer, std::string_view name) {
  return pointer + "/" + Escaped(name);
}

tl::unexpected<Error> Bad(const std::string& pointer, const std::string& what) {
  return Fail(Code::kInvalidArgument, pointer + ": " + what);
}
tl::unexpected<Error> Unsupported(const std::string& pointer, const std::string& what) {
  return Fail(Code::kUnsupported, pointer + ": " + what);
}

// A count such as minItems; 3.0 is one.
Result<std::optional<uint64_t>> Count(const JsonValue& schema, const std::string& pointer,
                                      const char* keyword) {
  const JsonValue* const value = schema.Find(keyword);
  if (value == nullptr) return std::optional<uint64_t>();
  if (!value->is(Type::kNumber) || value->number.negative || !value->number.fraction.empty())
    return Bad(Below(pointer, keyword), "a whole number from 0 on is expected");
  if (value->number.whole.size() > 15)
    return Unsupported(Below(pointer, keyword), "a count of more than 15 digits");
  return std::optional<uint64_t>(value->number.whole.empty() ? 0
                                                             : std::stoull(value->number.whole));
}

Status ReadRange(const JsonValue& schema, const std::string& pointer, const char* least,
                 const char* most, uint64_t* low, uint64_t* high) {
  MIRAGE_TRY_ASSIGN(const std::optional<uint64_t> from, Count(schema, pointer, least));
  MIRAGE_TRY_ASSIGN(const std::optional<uint64_t> to, Count(schema, pointer, most));
  *low = from.value_or(0);
  *high = to.value_or(UINT64_MAX);
  return {};
}

// In pairs, pairs of pairs and so on, so that long lists stay cheap.
Result<Form> AnyOf(std::vector<Form> parts, Demands& demands) {
  if (parts.empty()) return Form();
  while (parts.size() > 1) {
    std::vector<Form> pairs;
    for (size_t i = 0; i + 1 < parts.size(); i += 2) {
      MIRAGE_TRY_ASSIGN(Form pair, Or(parts[i], parts[i + 1], demands));
      pairs.push_back(std::move(pair));
    }
    if (parts.size() % 2 == 1) pairs.push_back(std::move(parts.back()));
    parts = std::move(pairs);
  }
  return std::move(parts[0]);
}

template <typename T>
Result<T> At(Result<T> result, const std::string& pointer) {
  if (!result) return Fail(std::move(result).error().Within(pointer));
  return result;
}

}  // namespace

Result<Form> SchemaReader::Everything() {
  if (!everything_) {
    MIRAGE_TRY_ASSIGN(everything_, Anything());
  }
  return *everything_;
}

uint32_t SchemaReader::Number(const JsonValue& schema, std::string pointer) {
  const auto [entry, fresh] = schemas_.try_emplace(&schema, static_cast<uint32_t>(entries_.size()));
  if (fresh) entries_.push_back({Kind::kSchema, &schema, std::move(pointer), {}});
  return entry->second;
}

uint32_t SchemaReader::NumberOfValue(const JsonValue& value, const std::string& pointer) {
  const auto [entry, fresh] = values_.try_emplace(&value, static_cast<uint32_t>(entries_.size()));
  if (fresh) entries_.push_back({Kind::kValue, &value, pointer, {}});
  return entry->second;
}

Result<uint32_t> SchemaReader::Not(const Demand& demand) {
  if (entries_.size() > kMaxSchemas)
    return Fail(Code::kUnsupported, "more than " + std::to_string(kMaxSchemas) + " schemas");
  const auto [entry, fresh] =
      opposites_.try_emplace(demand, static_cast<uint32_t>(entries_.size()));
  if (fresh) entries_.push_back({Kind::kNot, nullptr, "not", demand});
  return entry->second;
}

bool SchemaReader::Impossible(const Demand& demand) {
  if (demand.empty()) return false;
  const Result<Form> form = FormOf(demand);
  return form && form->empty();
}

Result<Form> SchemaReader::FormOf(const Demand& demand) {
  if (demand.empty()) return Everything();
  MIRAGE_TRY_ASSIGN(Form form, Expand(demand[0]));
  for (size_t i = 1; i < demand.size(); ++i) {
    MIRAGE_TRY_ASSIGN(const Form other, Expand(demand[i]));
    MIRAGE_TRY_ASSIGN(form, And(form, other, *this));
  }
  return form;
}

Result<Form> SchemaReader::Expand(uint32_t number) {
  const Entry entry = entries_[number];  // the list may move
  if (open_.contains(number))
    return Unsupported(entry.pointer, "the schema leads back to itself without a value between");
  if (open_.size() == kMaxOpen)
    return Unsupported(entry.pointer,
                       "more than " + std::to_string(kMaxOpen) + " schemas within each other");
  if (++expansions_ > kMaxExpansions)
    return Unsupported(entry.pointer, "schemas are combined more than " +
                                          std::to_string(kMaxExpansions) + " times");
  open_.insert(number);
  Result<Form> form = [&]() -> Result<Form> {
    if (entry.kind == Kind::kValue) return ExactValue(*entry.value, entry.pointer);
    if (entry.kind == Kind::kSchema) return ExpandSchema(*entry.value, entry.pointer);
    MIRAGE_TRY_ASSIGN(const Form all, Everything());
    MIRAGE_TRY_ASSIGN(const Form inner, FormOf(entry.opposite));
    return AndNot(all, inner, *this);
  }();
  open_.erase(number);
  return form;
}

Result<Form> SchemaReader::ExactValue(const JsonValue& value, const std::string& pointer) {
  Form form;
  switch (value.type) {
    case Type::kNull:
      form.constants = Form::kNull;
      break;
    case Type::kFalse:
      form.constants = Form::kFalse;
      break;
    case Type::kTrue:
      form.constants = Form::kTrue;
      break;
    case Type::kNumber: {
      MIRAGE_TRY_ASSIGN(form.number, Compared(value.number, false, true, false));
      break;
    }
    case Type::kString:
      form.text = TextForm(Dfa::Literal(*CodePoints(value.text)));
      break;
    case Type::kArray: {
      ArrayForm& array = form.arrays.emplace_back();
      for (const JsonValue& item : value.items)
        array.first.push_back({NumberOfValue(item, pointer)});
      array.low = array.high = value.items.size();
      break;
    }
    case Type::kObject: {
      ObjectForm& object = form.objects.emplace_back();
      for (const auto& [name, member] : value.members) {
        object.named[name] = {NumberOfValue(member, pointer)};
        object.required.insert(name);
      }
      object.low = object.high = value.members.size();
      break;
    }
  }
  return form;
}

Result<Form> SchemaReader::ExpandSchema(const JsonValue& schema, const std::string& pointer) {
  if (schema.is(Type::kFalse)) return Form();
  MIRAGE_TRY_ASSIGN(Form form, Everything());
  if (schema.is(Type::kTrue)) return form;
  if (!schema.is(Type::kObject)) return Bad(pointer, "an object, true or false is expected");
  for (const auto& [keyword, value] : schema.members) {
    const bool base = keyword == "$id" && &schema == &root_;
    if (keyword == "$schema" && !(value.is(Type::kString) && KnownDialect(value.text)))
      return Unsupported(pointer, "the '$schema' is not that of draft 2020-12 or 2019-09");
    if (!base && !Contains(kAnnotations, keyword) && !Contains(kNarrowing, keyword) &&
        !Contains(kCombining, keyword) && !Contains(kConditional, keyword))
      return Unsupported(pointer, "the keyword '" + keyword + "' is not supported");
  }
  MIRAGE_TRY(ReadNumbers(schema, pointer, &form));
  MIRAGE_TRY(ReadTexts(schema, pointer, &form));
  MIRAGE_TRY(ReadArrays(schema, pointer, &form));
  MIRAGE_TRY(ReadObjects(schema, pointer, &form));
  for (const auto& [keyword, value] : schema.members)
    if (Contains(kCombining, keyword))
      MIRAGE_TRY(Combine(keyword, value, Below(pointer, keyword), &form));
  MIRAGE_TRY(ReadCondition(schema, pointer, &form));
  return form;
}

Status SchemaReader::ReadNumbers(const JsonValue& schema, const std::string& pointer, Form* form) {
  struct Bound {
    const char* keyword;
    bool less, equal, greater;
  };
  for (const Bound& bound :
       {Bound{"minimum", false, true, true}, Bound{"exclusiveMinimum", false, false, true},
        Bound{"maximum", true, true, false}, Bound{"exclusiveMaximum", true, false, false}}) {
    const JsonValue* const value = schema.Find(bound.keyword);
    if (value == nullptr) continue;
    if (!value->is(Type::kNumber))
      return Bad(Below(pointer, bound.keyword), "a number is expected");
    MIRAGE_TRY_ASSIGN(const Dfa inside,
                      At(Compared(value->number, bound.less, bound.equal, bound.greater),
                         Below(pointer, bound.keyword)));
    MIRAGE_TRY(work.Spend(inside.states().size() * kComparedSteps));
    MIRAGE_TRY_ASSIGN(form->number,
                      At(form->number.And(inside, &work), Below(pointer, bound.keyword)));
  }
  if (const JsonValue* const value = schema.Find("multipleOf")) {
    const std::string where = Below(pointer, "multipleOf");
    if (!value->is(Type::kNumber) || value->number.negative || value->number.zero())
      return Bad(where, "a number above 0 is expected");
    MIRAGE_TRY_ASSIGN(const Dfa multiples, At(MultiplesOf(value->number), where));
    MIRAGE_TRY(work.Spend(multiples.states().size() * kComparedSteps));
    MIRAGE_TRY_ASSIGN(form->number, At(form->number.And(multiples, &work), where));
  }
  return {};
}

Status SchemaReader::ReadTexts(const JsonValue& schema, const std::string& pointer, Form* form) {
  uint64_t low = 0, high = 0;
  MIRAGE_TRY(ReadRange(schema, pointer, "minLength", "maxLength", &low, &high));
  form->text = TextForm::Length(low, high);
  for (const char* const keyword : {"pattern", "format"}) {
    const JsonValue* const value = schema.Find(keyword);
    if (value == nullptr) continue;
    const std::string where = Below(pointer, keyword);
    if (!value->is(Type::kString)) return Bad(where, "a string is expected");
    MIRAGE_TRY_ASSIGN(Dfa inside, At(std::string_view(keyword) == "format"
                                         ? StringFormat(value->text)
                                         : CompileRegex(value->text, Anchoring::kSearch, &work),
                                     where));
    MIRAGE_TRY(work.Spend(inside.states().size() * kTextSteps));
    MIRAGE_TRY_ASSIGN(form->text, At(form->text.And(TextForm(std::move(inside)), &work), where));
  }
  return {};
}

Status SchemaReader::ReadArrays(const JsonValue& schema, const std::string& pointer, Form* form) {
  ArrayForm& array = form->arrays[0];
  MIRAGE_TRY(ReadRange(schema, pointer, "minItems", "maxItems", &array.low, &array.high));
  if (const JsonValue* const list = schema.Find("prefixItems")) {
    const std::string where = Below(pointer, "prefixItems");
    if (!list->is(Type::kArray)) return Bad(where, "an array of schemas is expected");
    for (size_t i = 0; i < list->items.size(); ++i)
      array.first.push_back({Number(list->items[i], Below(where, std::to_string(i)))});
  }
  if (const JsonValue* const items = schema.Find("items")) {
    if (items->is(Type::kArray))
      return Unsupported(Below(pointer, "items"),
                         "a list of schemas is not supported: it is 'prefixItems' now");
    array.rest = {Number(*items, Below(pointer, "items"))};
  }
  return {};
}

Status SchemaReader::ReadObjects(const JsonValue& schema, const std::string& pointer, Form* form) {
  ObjectForm& object = form->objects[0];
  MIRAGE_TRY(
      ReadRange(schema, pointer, "minProperties", "maxProperties", &object.low, &object.high));
  if (const JsonValue* const others = schema.Find("additionalProperties"))
    object.others = {Number(*others, Below(pointer, "additionalProperties"))};
  if (const JsonValue* const properties = schema.Find("properties")) {
    const std::string where = Below(pointer, "properties");
    if (!properties->is(Type::kObject)) return Bad(where, "an object of schemas is expected");
    for (const auto& [name, value] : properties->members)
      object.named[name] = {Number(value, Below(where, name))};
  }
  if (const JsonValue* const required = schema.Find("required")) {
    const std::string where = Below(pointer, "required");
    if (!required->is(Type::kArray)) return Bad(where, "an array of strings is expected");
    for (const JsonValue& name : required->items) {
      if (!name.is(Type::kString)) return Bad(where, "an array of strings is expected");
      object.required.insert(name.text);
    }
  }
  return {};
}

// What `if` allows and `then` does, or what neither `if` allows nor `else` forbids. Without `if`
// the other two mean nothing.
Status SchemaReader::ReadCondition(const JsonValue& schema, const std::string& pointer,
                                   Form* form) {
  const JsonValue* const condition = schema.Find("if");
  if (condition == nullptr) return {};
  const std::string where = Below(pointer, "if");
  MIRAGE_TRY_ASSIGN(const Form inside, Expand(Number(*condition, where)));
  MIRAGE_TRY_ASSIGN(Form yes, At(And(*form, inside, *this), where));
  MIRAGE_TRY_ASSIGN(Form no, At(AndNot(*form, inside, *this), where));
  const auto narrow = [&](const char* keyword, Form* branch) -> Status {
    const JsonValue* const value = schema.Find(keyword);
    if (value == nullptr) return {};
    MIRAGE_TRY_ASSIGN(const Form other, Expand(Number(*value, Below(pointer, keyword))));
    MIRAGE_TRY_ASSIGN(*branch, At(And(*branch, other, *this), Below(pointer, keyword)));
    return {};
  };
  MIRAGE_TRY(narrow("then", &yes));
  MIRAGE_TRY(narrow("else", &no));
  MIRAGE_TRY_ASSIGN(*form, At(Or(yes, no, *this), where));
  return {};
}

Status SchemaReader::Combine(const std::string& keyword, const JsonValue& value,
                             const std::string& pointer, Form* form) {
  const auto narrow = [&](Result<Form> other) -> Status {
    if (!other) return Fail(std::move(other).error());
    Result<Form> both = And(*form, *other, *this);
    if (!both) return Fail(std::move(both).error().Within(pointer));
    *form = *std::move(both);
    return {};
  };
  if (keyword == "type") return narrow(TypeForm(value, pointer));
  if (keyword == "const") return narrow(Expand(NumberOfValue(value, pointer)));
  if (keyword == "$ref") return narrow(Reference(value, pointer));
  if (keyword == "not") {
    MIRAGE_TRY_ASSIGN(const Form inner, Expand(Number(value, pointer)));
    Result<Form> rest = AndNot(*form, inner, *this);
    if (!rest) return Fail(std::move(rest).error().Within(pointer));
    *form = *std::move(rest);
    return {};
  }
  if (!value.is(Type::kArray)) return Bad(pointer, "an array is expected");
  if (keyword == "oneOf") return narrow(OneOf(value, pointer));
  std::vector<Form> parts;
  for (size_t i = 0; i < value.items.size(); ++i) {
    const std::string where = Below(pointer, std::to_string(i));
    MIRAGE_TRY_ASSIGN(Form part, Expand(keyword == "enum" ? NumberOfValue(value.items[i], where)
                                                          : Number(value.items[i], where)));
    if (keyword == "allOf")
      MIRAGE_TRY(narrow(std::move(part)));
    else
      parts.push_back(std::move(part));
  }
  if (keyword == "allOf") return {};
  return narrow(At(AnyOf(std::move(parts), *this), pointer));
}

Result<Form> SchemaReader::TypeForm(const JsonValue& value, const std::string& pointer) {
  MIRAGE_TRY_ASSIGN(const Form all, Everything());
  MIRAGE_TRY_ASSIGN(const Dfa integers, AnyInteger());
  Form form;
  std::vector<JsonValue> names = value.is(Type::kArray) ? value.items : std::vector{value};
  bool whole = false;
  for (const JsonValue& name : names) {
    if (!name.is(Type::kString)) return Bad(pointer, "the name of a type is expected");
    if (name.text == "null")
      form.constants |= Form::kNull;
    else if (name.text == "boolean")
      form.constants |= Form::kFalse | Form::kTrue;
    else if (name.text == "integer")
      whole = true;
    else if (name.text == "number")
      form.number = all.number;
    else if (name.text == "string")
      form.text = all.text;
    else if (name.text == "array")
      form.arrays = all.arrays;
    else if (name.text == "object")
      form.objects = all.objects;
    else
      return Bad(pointer, "there is no type '" + name.text + "'");
  }
  if (whole && form.number.empty()) form.number = integers;
  return form;
}

// Those of one and of none of the others.
Result<Form> SchemaReader::OneOf(const JsonValue& list, const std::string& pointer) {
  std::vector<Form> parts;
  for (size_t i = 0; i < list.items.size(); ++i) {
    MIRAGE_TRY_ASSIGN(Form part, Expand(Number(list.items[i], Below(pointer, std::to_string(i)))));
    parts.push_back(std::move(part));
  }
  std::vector<Form> single;
  for (size_t i = 0; i < parts.size(); ++i) {
    Form alone = parts[i];
    for (size_t k = 0; k < parts.size(); ++k) {
      if (k == i) continue;
      MIRAGE_TRY_ASSIGN(alone, At(AndNot(alone, parts[k], *this), pointer));
    }
    single.push_back(std::move(alone));
  }
  return At(AnyOf(std::move(single), *this), pointer);
}

Result<Form> SchemaReader::Reference(const JsonValue& value, const std::string& pointer) {
  if (!value.is(Type::kString)) return Bad(pointer, "a string is expected");
  if (value.text.empty() || value.text[0] != '#' || (value.text.size() > 1 && value.text[1] != '/'))
    return Unsupported(
        pointer, "the reference '" + value.text + "' is not supported: only '#' and '#/...' are");
  std::string decoded;
  for (size_t i = 1; i < value.text.size(); ++i) {
    const auto hex = [&](size_t at) {
      const char c = at < value.text.size() ? value.text[at] : '?';
      if (c >= '0' && c <= '9') return c - '0';
      return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    };
    if (value.text[i] == '%' && hex(i + 1) >= 0 && hex(i + 2) >= 0) {
      decoded.push_back(static_cast<char>(hex(i + 1) * 16 + hex(i + 2)));
      i += 2;
    } else {
      decoded.push_back(value.text[i]);
    }
  }
  const JsonValue* at = &root_;
  std::string where = "#";
  for (size_t begin = 0; begin < decoded.size();) {
    const size_t end = std::min(decoded.find('/', begin + 1), decoded.size());
    std::string name;
    for (size_t i = begin + 1; i < end; ++i) {
      const bool escape = decoded[i] == '~' && i + 1 < end;
      name.push_back(!escape ? decoded[i] : decoded[++i] == '1' ? '/' : '~');
    }
    begin = end;
    where = Below(where, name);
    const JsonValue* next = at->Find(name);
    if (at->is(Type::kArray) && !name.empty() && name.size() < 9 &&
        name.find_first_not_of("0123456789") == std::string::npos &&
        std::stoul(name) < at->items.size())
      next = &at->items[std::stoul(name)];
    if (next == nullptr) return Bad(pointer, "there is no '" + value.text + "'");
    // A schema with its own name is another document.
    if (next->is(Type::kObject) && next->Find("$id") != nullptr)
      return Unsupported(where, "the keyword '$id' is not supported here");
    at = next;
  }
  return Expand(Number(*at, where));
}

}  // namespace mirage::grammar
