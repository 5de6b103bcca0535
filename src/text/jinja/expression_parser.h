// SPDX-License-Identifier: Apache-2.0
#pragma once

// ExpressionParser: expressions, from the loosest to the tightest binding operator.

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/jinja/parser_base.h"

namespace mirage::text::jinja {

class ExpressionParser : protected ParserBase {
 protected:
  using ParserBase::ParserBase;

  struct TupleRules {
    bool conditional = true;         // whether items may be `a if b else c`
    bool targets = false;            // items are names and literals only
    bool namespaces = false;         // ns.attr is an item too
    bool parenthesized = false;      // an empty tuple is allowed
    std::string_view end_name = {};  // a name that ends the tuple
  };

  // One expression, or a tuple if a comma follows it.
  Result<ExprPtr> ParseTuple(TupleRules rules);
  Result<ExprPtr> ParseTuple();
  // a if b else c
  Result<ExprPtr> ParseExpression();
  // The part behind the bar.
  Result<ExprPtr> ParseFilter(ExprPtr subject);

 private:
  // How tightly an operator binds. `not` stands between `and` and the comparisons.
  enum Level : int {
    kOrLevel,
    kAndLevel,
    kNotLevel,
    kCompareLevel,
    kSumLevel,
    kConcatLevel,
    kProductLevel,
    kPowerLevel
  };

  struct InfixOperator {
    std::string_view text;
    Level level;
    ExprKind kind;
    BinaryOp op = {};        // of a kBinary
    CompareOp compare = {};  // of a kCompare
  };

  bool AtTupleEnd(const TupleRules& rules) const;
  // The operator at the current token, or nullptr.
  const InfixOperator* FindInfix() const;
  void TakeInfix(const InfixOperator& infix);
  Result<ExprPtr> ParseOr();
  // An operand and the operators behind it that bind at least as tightly as `least`, grouped to the
  // left: even `**`, unlike Python's. One function for all levels keeps the parser's own recursion
  // shallow.
  Result<ExprPtr> ParseInfix(Level least);
  Result<ExprPtr> FinishUnary(UnaryOp op, uint32_t line, ExprPtr operand);
  Result<ExprPtr> ParseNot();
  // a < b <= c is one node.
  Result<ExprPtr> ParseCompare(uint32_t line, ExprPtr first);
  // a ~ b ~ c is one node. It binds tighter than `+`.
  Result<ExprPtr> ParseConcat(uint32_t line, ExprPtr first);
  Result<ExprPtr> ParseUnary(bool with_filters);
  Result<ExprPtr> Constant(Value value, uint32_t line);
  Result<ExprPtr> ParsePrimary(bool with_namespace);
  Result<ExprPtr> ParseName(const Token& token, bool with_namespace);
  // Neighbouring literals are one string.
  Result<ExprPtr> ParseStrings();
  Result<ExprPtr> ParseInteger(const Token& token);
  Result<ExprPtr> ParseList();
  Result<ExprPtr> ParseDict();
  // .name, .0, [key], [a:b] and (arguments), any number of them.
  Result<ExprPtr> ParsePostfix(ExprPtr expr);
  Result<ExprPtr> ParseAttribute(ExprPtr object);
  Result<ExprPtr> ParseSubscript(ExprPtr object);
  Result<ExprPtr> ParseSlice(ExprPtr object, ExprPtr start, uint32_t line);
  Result<ExprPtr> ParseCall(ExprPtr callee);
  Status ParseArguments(Arguments* arguments);
  Result<std::string> ParseDottedName();
  // The part behind `is`.
  Result<ExprPtr> ParseTest(ExprPtr subject);
  // Whether a test's argument follows without parentheses: `x is divisibleby 3`.
  bool AtBareArgument() const;

  size_t expression_depth_ = 0;
};

}  // namespace mirage::text::jinja
