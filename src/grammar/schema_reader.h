// SPDX-License-Identifier: Apache-2.0
#pragma once

// SchemaReader: the schemas of one JSON document by number, and the Form of each.
//
// Keywords are read here; one that is not known is refused by name, with the JSON pointer of its
// schema. One thread.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/json_value.h"
#include "grammar/schema_form.h"

namespace mirage::grammar {

class SchemaReader : private Demands {
 public:
  explicit SchemaReader(const JsonValue& root) : root_(root) {}
  ~SchemaReader() override = default;
  SchemaReader(const SchemaReader&) = delete;
  SchemaReader& operator=(const SchemaReader&) = delete;

  // The document itself.
  [[nodiscard]] Demand Root() { return {Number(root_, "#")}; }
  // What satisfies all of a demand.
  [[nodiscard]] Result<Form> FormOf(const Demand& demand);

 private:
  // A schema of the document; or exactly one value; or what does not satisfy a demand.
  enum class Kind : uint8_t { kSchema, kValue, kNot };
  struct Entry {
    Kind kind = Kind::kSchema;
    const JsonValue* value = nullptr;
    std::string pointer;
    Demand opposite;
  };

  [[nodiscard]] Result<Form> Everything();
  [[nodiscard]] uint32_t Number(const JsonValue& schema, std::string pointer);
  [[nodiscard]] uint32_t NumberOfValue(const JsonValue& value, const std::string& pointer);
  [[nodiscard]] Result<uint32_t> Not(const Demand& demand) override;
  [[nodiscard]] bool Impossible(const Demand& demand) override;

  [[nodiscard]] Result<Form> Expand(uint32_t number);
  [[nodiscard]] Result<Form> ExpandSchema(const JsonValue& schema, const std::string& pointer);
  [[nodiscard]] Result<Form> ExactValue(const JsonValue& value, const std::string& pointer);

  // Keywords that narrow one type, all at once.
  [[nodiscard]] Status ReadNumbers(const JsonValue& schema, const std::string& pointer, Form* form);
  [[nodiscard]] Status ReadTexts(const JsonValue& schema, const std::string& pointer, Form* form);
  [[nodiscard]] Status ReadArrays(const JsonValue& schema, const std::string& pointer, Form* form);
  [[nodiscard]] Status ReadObjects(const JsonValue& schema, const std::string& pointer, Form* form);
  [[nodiscard]] Status ReadCondition(const JsonValue& schema, const std::string& pointer,
                                     Form* form);
  // Keywords that combine schemas, one at a time.
  [[nodiscard]] Status Combine(const std::string& keyword, const JsonValue& value,
                               const std::string& pointer, Form* form);
  [[nodiscard]] Result<Form> TypeForm(const JsonValue& value, const std::string& pointer);
  [[nodiscard]] Result<Form> OneOf(const JsonValue& list, const std::string& pointer);
  [[nodiscard]] Result<Form> Reference(const JsonValue& value, const std::string& pointer);

  const JsonValue& root_;
  std::vector<Entry> entries_;
  std::map<const JsonValue*, uint32_t> schemas_, values_;
  std::map<Demand, uint32_t> opposites_;
  std::optional<Form> everything_;
  uint64_t expansions_ = 0;
  std::set<uint32_t> open_;  // being expanded: coming back to one never ends
};

}  // namespace mirage::grammar
