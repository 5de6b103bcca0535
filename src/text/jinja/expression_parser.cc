// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace mirage::text::jinja {

bool ExpressionParser::AtTupleEnd(const TupleRules& rules) const {
  const Token& token = Current();
  return token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd ||
         token.IsOperator(")") || (!rules.end_name.empty() && token.IsName(rules.end_name));
}

Result<ExprPtr> ExpressionParser::ParseTuple() { return ParseTuple(TupleRules{}); }

Result<ExprPtr> ExpressionParser::ParseTuple(TupleRules rules) {
  const uint32_t line = Current().line;
  auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple);
  bool is_tuple = false;
  uint32_t deepest = 0;
  while (true) {
    if (!tuple->items.empty()) MIRAGE_TRY(ExpectOperator(","));
    if (AtTupleEnd(rules)) break;
    MIRAGE_TRY_ASSIGN(ExprPtr item, rules.targets       ? ParsePrimary(rules.namespaces)
                                    : rules.conditional ? ParseExpression()
                                                        : ParseOr());
    deepest = std::max(deepest, item->depth);
    tuple->items.push_back(std::move(item));
    if (!Current().IsOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->items.empty()) return std::move(tuple->items.front());
    if (!rules.parenthesized) {
      return Bad(Current().line, "expected an expression, got " + Describe(Current()));
    }
  }
  return Finish(std::move(tuple), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseExpression() {
  const Nested nested(&expression_depth_);
  MIRAGE_TRY(CheckNesting(expression_depth_));
  const uint32_t line = Current().line;
  const size_t mark = pending_unknown_.size();
  MIRAGE_TRY_ASSIGN(ExprPtr expr, ParseOr());
  while (SkipName("if")) {
    auto conditional = std::make_unique<ConditionalExpr>();
    conditional->if_true = std::move(expr);
    MIRAGE_TRY_ASSIGN(conditional->test, ParseOr());
    if (SkipName("else")) {
      MIRAGE_TRY_ASSIGN(conditional->if_false, ParseExpression());
    }
    pending_unknown_.resize(mark);  // all three parts may go unreached
    const uint32_t deepest = std::max(
        {conditional->if_true->depth, conditional->test->depth, DepthOf(conditional->if_false)});
    MIRAGE_TRY_ASSIGN(expr, Finish(std::move(conditional), line, deepest));
  }
  return expr;
}

const ExpressionParser::InfixOperator* ExpressionParser::FindInfix() const {
  static constexpr InfixOperator kOperators[] = {
      {"+", kSumLevel, ExprKind::kBinary, BinaryOp::kAdd},
      {"-", kSumLevel, ExprKind::kBinary, BinaryOp::kSubtract},
      {"~", kConcatLevel, ExprKind::kConcat},
      {"*", kProductLevel, ExprKind::kBinary, BinaryOp::kMultiply},
      {"/", kProductLevel, ExprKind::kBinary, BinaryOp::kDivide},
      {"//", kProductLevel, ExprKind::kBinary, BinaryOp::kFloorDivide},
      {"%", kProductLevel, ExprKind::kBinary, BinaryOp::kModulo},
      {"**", kPowerLevel, ExprKind::kBinary, BinaryOp::kPower},
      {"==", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kEqual},
      {"!=", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kNotEqual},
      {"<", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kLess},
      {"<=", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kLessEqual},
      {">", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kGreater},
      {">=", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kGreaterEqual},
      {"in", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kIn},
      {"or", kOrLevel, ExprKind::kOr},
      {"and", kAndLevel, ExprKind::kAnd},
  };
  static constexpr InfixOperator kNotIn = {
      "not", kCompareLevel, ExprKind::kCompare, {}, CompareOp::kNotIn};
  const Token& token = Current();
  if (token.kind != TokenKind::kOperator && token.kind != TokenKind::kName) return nullptr;
  if (token.IsName("not") && Peek().IsName("in")) return &kNotIn;
  const auto* at = std::find_if(std::begin(kOperators), std::end(kOperators),
                                [&](const InfixOperator& row) { return row.text == token.text; });
  return at == std::end(kOperators) ? nullptr : at;
}

void ExpressionParser::TakeInfix(const InfixOperator& infix) {
  Take();
  if (infix.compare == CompareOp::kNotIn) Take();
}

Result<ExprPtr> ExpressionParser::ParseOr() { return ParseInfix(kOrLevel); }

Result<ExprPtr> ExpressionParser::ParseInfix(Level least) {
  const uint32_t line = Current().line;
  ExprPtr left;
  if (least <= kNotLevel && Current().IsName("not")) {
    MIRAGE_TRY_ASSIGN(left, ParseNot());
  } else {
    MIRAGE_TRY_ASSIGN(left, ParseUnary(true));
  }
  while (true) {
    const InfixOperator* infix = FindInfix();
    if (infix == nullptr || infix->level < least) return left;
    if (infix->kind == ExprKind::kCompare) {
      MIRAGE_TRY_ASSIGN(left, ParseCompare(line, std::move(left)));
    } else if (infix->kind == ExprKind::kConcat) {
      MIRAGE_TRY_ASSIGN(left, ParseConcat(line, std::move(left)));
    } else {
      TakeInfix(*infix);
      auto binary = std::make_unique<BinaryExpr>(infix->kind);
      binary->op = infix->op;
      binary->left = std::move(left);
      MIRAGE_TRY_ASSIGN(binary->right, ParseInfix(static_cast<Level>(infix->level + 1)));
      const uint32_t deepest = std::max(binary->left->depth, binary->right->depth);
      MIRAGE_TRY_ASSIGN(left, Finish(std::move(binary), line, deepest));
    }
  }
}

Result<ExprPtr> ExpressionParser::FinishUnary(UnaryOp op, uint32_t line, ExprPtr operand) {
  auto unary = std::make_unique<UnaryExpr>();
  unary->op = op;
  unary->operand = std::move(operand);
  const uint32_t deepest = unary->operand->depth;
  return Finish(std::move(unary), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseNot() {
  const Nested nested(&expression_depth_);
  MIRAGE_TRY(CheckNesting(expression_depth_));
  const uint32_t line = Take().line;
  MIRAGE_TRY_ASSIGN(ExprPtr operand, ParseInfix(kNotLevel));
  return FinishUnary(UnaryOp::kNot, line, std::move(operand));
}

Result<ExprPtr> ExpressionParser::ParseCompare(uint32_t line, ExprPtr first) {
  auto compare = std::make_unique<CompareExpr>();
  uint32_t deepest = first->depth;
  compare->first = std::move(first);
  while (true) {
    const InfixOperator* infix = FindInfix();
    if (infix == nullptr || infix->kind != ExprKind::kCompare) break;
    TakeInfix(*infix);
    MIRAGE_TRY_ASSIGN(ExprPtr operand, ParseInfix(kSumLevel));
    deepest = std::max(deepest, operand->depth);
    compare->rest.emplace_back(infix->compare, std::move(operand));
  }
  return Finish(std::move(compare), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseConcat(uint32_t line, ExprPtr first) {
  auto concat = std::make_unique<ItemsExpr>(ExprKind::kConcat);
  uint32_t deepest = first->depth;
  concat->items.push_back(std::move(first));
  while (SkipOperator("~")) {
    MIRAGE_TRY_ASSIGN(ExprPtr item, ParseInfix(kProductLevel));
    deepest = std::max(deepest, item->depth);
    concat->items.push_back(std::move(item));
  }
  return Finish(std::move(concat), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseUnary(bool with_filters) {
  ExprPtr expr;
  if (Current().IsOperator("-") || Current().IsOperator("+")) {
    const Nested nested(&expression_depth_);
    MIRAGE_TRY(CheckNesting(expression_depth_));
    const Token sign = Take();
    MIRAGE_TRY_ASSIGN(ExprPtr operand, ParseUnary(false));
    MIRAGE_TRY_ASSIGN(expr, FinishUnary(sign.text == "-" ? UnaryOp::kNegate : UnaryOp::kPlus,
                                        sign.line, std::move(operand)));
  } else {
    MIRAGE_TRY_ASSIGN(expr, ParsePrimary(false));
  }
  MIRAGE_TRY_ASSIGN(expr, ParsePostfix(std::move(expr)));
  if (!with_filters) return expr;
  while (true) {
    if (SkipOperator("|")) {
      MIRAGE_TRY_ASSIGN(expr, ParseFilter(std::move(expr)));
    } else if (SkipName("is")) {
      MIRAGE_TRY_ASSIGN(expr, ParseTest(std::move(expr)));
    } else if (Current().IsOperator("(")) {
      MIRAGE_TRY_ASSIGN(expr, ParseCall(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> ExpressionParser::Constant(Value value, uint32_t line) {
  auto constant = std::make_unique<ConstantExpr>();
  constant->value = std::move(value);
  return Finish(std::move(constant), line, 0);
}

Result<ExprPtr> ExpressionParser::ParsePrimary(bool with_namespace) {
  const Token token = Current();
  switch (token.kind) {
    case TokenKind::kName:
      Take();
      return ParseName(token, with_namespace);
    case TokenKind::kString:
      return ParseStrings();
    case TokenKind::kInteger:
      Take();
      return ParseInteger(token);
    case TokenKind::kFloat: {
      Take();
      std::string digits(token.text);
      digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
      double value = 0;
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (parsed.ec != std::errc()) {
        return Bad(token.line, "the number " + digits + " is out of range");
      }
      return Constant(Value::Float(value), token.line);
    }
    case TokenKind::kOperator:
      if (token.text == "(") {
        Take();
        MIRAGE_TRY_ASSIGN(ExprPtr inner, ParseTuple({.parenthesized = true}));
        MIRAGE_TRY(ExpectOperator(")"));
        return inner;
      }
      if (token.text == "[") return ParseList();
      if (token.text == "{") return ParseDict();
      break;
    default:
      break;
  }
  return Bad(token.line, "unexpected " + Describe(token));
}

Result<ExprPtr> ExpressionParser::ParseName(const Token& token, bool with_namespace) {
  const std::string_view name = token.text;
  if (name == "true" || name == "True") return Constant(Value::Bool(true), token.line);
  if (name == "false" || name == "False") return Constant(Value::Bool(false), token.line);
  if (name == "none" || name == "None") return Constant(Value(), token.line);
  if (with_namespace && SkipOperator(".")) {
    MIRAGE_TRY_ASSIGN(const Token attribute, Expect(TokenKind::kName, "an attribute's name"));
    auto reference = std::make_unique<NamespaceRefExpr>();
    reference->name = Intern(name);
    reference->attribute = attribute.text;
    return Finish(std::move(reference), token.line, 0);
  }
  auto expr = std::make_unique<NameExpr>();
  expr->name = Intern(name);
  for (MacroCode* macro : macros_) {
    macro->uses_caller |= expr->name == ast_->caller;
    macro->uses_kwargs |= expr->name == ast_->kwargs;
    macro->uses_varargs |= expr->name == ast_->varargs;
  }
  return Finish(std::move(expr), token.line, 0);
}

Result<ExprPtr> ExpressionParser::ParseStrings() {
  const uint32_t line = Current().line;
  std::string value;
  while (Current().kind == TokenKind::kString) {
    MIRAGE_TRY_ASSIGN(const std::string part, DecodeString(Take()));
    value += part;
  }
  return Constant(Value::String(ConstantText(std::move(value))), line);
}

Result<ExprPtr> ExpressionParser::ParseInteger(const Token& token) {
  std::string digits(token.text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  const char marker = digits.size() > 2 ? static_cast<char>(digits[1] | 32) : '\0';
  const int base = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 10;
  const char* first = digits.data() + (base == 10 ? 0 : 2);
  int64_t value = 0;
  const auto parsed = std::from_chars(first, digits.data() + digits.size(), value, base);
  if (parsed.ec != std::errc()) {
    return Bad(token.line, "the integer " + digits.substr(0, 40) + " does not fit 64 bits");
  }
  return Constant(Value::Int(value), token.line);
}

Result<ExprPtr> ExpressionParser::ParseList() {
  const uint32_t line = Take().line;
  auto list = std::make_unique<ItemsExpr>(ExprKind::kList);
  uint32_t deepest = 0;
  while (!Current().IsOperator("]")) {
    if (!list->items.empty()) MIRAGE_TRY(ExpectOperator(","));
    if (Current().IsOperator("]")) break;
    MIRAGE_TRY_ASSIGN(ExprPtr item, ParseExpression());
    deepest = std::max(deepest, item->depth);
    list->items.push_back(std::move(item));
  }
  Take();
  return Finish(std::move(list), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseDict() {
  const uint32_t line = Take().line;
  auto dict = std::make_unique<ItemsExpr>(ExprKind::kDict);
  uint32_t deepest = 0;
  while (!Current().IsOperator("}")) {
    if (!dict->items.empty()) MIRAGE_TRY(ExpectOperator(","));
    if (Current().IsOperator("}")) break;
    MIRAGE_TRY_ASSIGN(ExprPtr key, ParseExpression());
    MIRAGE_TRY(ExpectOperator(":"));
    MIRAGE_TRY_ASSIGN(ExprPtr value, ParseExpression());
    deepest = std::max({deepest, key->depth, value->depth});
    dict->items.push_back(std::move(key));
    dict->items.push_back(std::move(value));
  }
  Take();
  return Finish(std::move(dict), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParsePostfix(ExprPtr expr) {
  while (true) {
    if (Current().IsOperator(".")) {
      MIRAGE_TRY_ASSIGN(expr, ParseAttribute(std::move(expr)));
    } else if (Current().IsOperator("[")) {
      MIRAGE_TRY_ASSIGN(expr, ParseSubscript(std::move(expr)));
    } else if (Current().IsOperator("(")) {
      MIRAGE_TRY_ASSIGN(expr, ParseCall(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> ExpressionParser::ParseAttribute(ExprPtr object) {
  const uint32_t line = Take().line;
  const Token name = Take();
  const uint32_t depth = object->depth;
  if (name.kind == TokenKind::kName) {
    auto attribute = std::make_unique<AttributeExpr>();
    attribute->object = std::move(object);
    attribute->attribute = Value::String(ConstantText(std::string(name.text)));
    return Finish(std::move(attribute), line, depth);
  }
  if (name.kind != TokenKind::kInteger) return Bad(name.line, "expected name or number");
  auto item = std::make_unique<ItemExpr>();
  item->object = std::move(object);
  MIRAGE_TRY_ASSIGN(item->key, ParseInteger(name));
  return Finish(std::move(item), line, depth);
}

Result<ExprPtr> ExpressionParser::ParseSubscript(ExprPtr object) {
  const uint32_t line = Take().line;
  const uint32_t object_depth = object->depth;
  ExprPtr key;
  if (!Current().IsOperator(":")) {
    MIRAGE_TRY_ASSIGN(key, ParseExpression());
  }
  if (Current().IsOperator(":")) return ParseSlice(std::move(object), std::move(key), line);
  if (Current().IsOperator(",")) {
    auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple);
    uint32_t deepest = key->depth;
    tuple->items.push_back(std::move(key));
    while (SkipOperator(",")) {
      MIRAGE_TRY_ASSIGN(ExprPtr item, ParseExpression());
      deepest = std::max(deepest, item->depth);
      tuple->items.push_back(std::move(item));
    }
    MIRAGE_TRY_ASSIGN(key, Finish(std::move(tuple), line, deepest));
  }
  MIRAGE_TRY(ExpectOperator("]"));
  auto item = std::make_unique<ItemExpr>();
  const uint32_t deepest = std::max(object_depth, key->depth);
  item->object = std::move(object);
  item->key = std::move(key);
  return Finish(std::move(item), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseSlice(ExprPtr object, ExprPtr start, uint32_t line) {
  auto slice = std::make_unique<SliceExpr>();
  slice->object = std::move(object);
  slice->start = std::move(start);
  const auto at_end = [&] { return Current().IsOperator("]") || Current().IsOperator(":"); };
  MIRAGE_TRY(ExpectOperator(":"));
  if (!at_end()) {
    MIRAGE_TRY_ASSIGN(slice->stop, ParseExpression());
  }
  if (SkipOperator(":") && !at_end()) {
    MIRAGE_TRY_ASSIGN(slice->step, ParseExpression());
  }
  MIRAGE_TRY(ExpectOperator("]"));
  const uint32_t deepest = std::max(
      {slice->object->depth, DepthOf(slice->start), DepthOf(slice->stop), DepthOf(slice->step)});
  return Finish(std::move(slice), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseCall(ExprPtr callee) {
  const uint32_t line = Current().line;
  auto call = std::make_unique<CallExpr>();
  call->callee = std::move(callee);
  MIRAGE_TRY(ParseArguments(&call->arguments));
  const uint32_t deepest = std::max(call->callee->depth, DepthOf(call->arguments));
  return Finish(std::move(call), line, deepest);
}

Status ExpressionParser::ParseArguments(Arguments* arguments) {
  const uint32_t line = Current().line;
  const auto bad = [&] { return Bad(line, "invalid syntax for function call expression"); };
  MIRAGE_TRY(ExpectOperator("("));
  bool first = true;
  while (!Current().IsOperator(")")) {
    if (!first) {
      MIRAGE_TRY(ExpectOperator(","));
      if (Current().IsOperator(")")) break;
    }
    first = false;
    if (SkipOperator("*")) {
      if (arguments->more_positional != nullptr || arguments->more_named != nullptr) return bad();
      MIRAGE_TRY_ASSIGN(arguments->more_positional, ParseExpression());
    } else if (SkipOperator("**")) {
      if (arguments->more_named != nullptr) return bad();
      MIRAGE_TRY_ASSIGN(arguments->more_named, ParseExpression());
    } else if (Current().kind == TokenKind::kName && Peek().IsOperator("=")) {
      if (arguments->more_named != nullptr) return bad();
      const Token name = Take();
      Take();
      const auto repeated = [&](const auto& named) { return named.first == name.text; };
      if (std::any_of(arguments->named.begin(), arguments->named.end(), repeated)) {
        return Bad(name.line, "keyword argument repeated: " + std::string(name.text));
      }
      MIRAGE_TRY_ASSIGN(ExprPtr value, ParseExpression());
      arguments->named.emplace_back(name.text, std::move(value));
    } else {
      if (arguments->more_positional != nullptr || arguments->more_named != nullptr ||
          !arguments->named.empty()) {
        return bad();
      }
      MIRAGE_TRY_ASSIGN(ExprPtr value, ParseExpression());
      arguments->positional.push_back(std::move(value));
    }
  }
  return ExpectOperator(")");
}

Result<std::string> ExpressionParser::ParseDottedName() {
  MIRAGE_TRY_ASSIGN(const Token first, Expect(TokenKind::kName, "a name"));
  std::string name(first.text);
  while (SkipOperator(".")) {
    MIRAGE_TRY_ASSIGN(const Token part, Expect(TokenKind::kName, "a name"));
    name += "." + std::string(part.text);
  }
  return name;
}

Result<ExprPtr> ExpressionParser::ParseFilter(ExprPtr subject) {
  const uint32_t line = Current().line;
  auto filter = std::make_unique<ApplyExpr>(ExprKind::kFilter);
  const uint32_t subject_depth = DepthOf(subject);
  filter->subject = std::move(subject);
  MIRAGE_TRY_ASSIGN(filter->name, ParseDottedName());
  if (const NativeFunction* native = FindFilter(filter->name)) {
    filter->native = native->call;
  } else {
    NoteUnknown(line, "filter", filter->name);
  }
  if (Current().IsOperator("(")) MIRAGE_TRY(ParseArguments(&filter->arguments));
  const uint32_t deepest = std::max(subject_depth, DepthOf(filter->arguments));
  return Finish(std::move(filter), line, deepest);
}

Result<ExprPtr> ExpressionParser::ParseTest(ExprPtr subject) {
  const uint32_t line = Current().line;
  const bool negated = SkipName("not");
  auto test = std::make_unique<ApplyExpr>(ExprKind::kTest);
  const uint32_t subject_depth = subject->depth;
  test->subject = std::move(subject);
  MIRAGE_TRY_ASSIGN(test->name, ParseDottedName());
  if (const NativeFunction* native = FindTest(test->name)) {
    test->native = native->call;
  } else {
    NoteUnknown(line, "test", test->name);
  }
  if (Current().IsOperator("(")) {
    MIRAGE_TRY(ParseArguments(&test->arguments));
  } else if (AtBareArgument()) {
    if (Current().IsName("is")) return Bad(line, "you cannot chain multiple tests with is");
    MIRAGE_TRY_ASSIGN(ExprPtr argument, ParsePrimary(false));
    MIRAGE_TRY_ASSIGN(argument, ParsePostfix(std::move(argument)));
    test->arguments.positional.push_back(std::move(argument));
  }
  const uint32_t deepest = std::max(subject_depth, DepthOf(test->arguments));
  MIRAGE_TRY_ASSIGN(ExprPtr expr, Finish(std::move(test), line, deepest));
  if (!negated) return expr;
  return FinishUnary(UnaryOp::kNot, line, std::move(expr));
}

bool ExpressionParser::AtBareArgument() const {
  const Token& token = Current();
  switch (token.kind) {
    case TokenKind::kString:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return true;
    case TokenKind::kName:
      return !IsOneOf(token.text, {"else", "or", "and"});
    case TokenKind::kOperator:
      return token.text == "[" || token.text == "{";
    default:
      return false;
  }
}

}  // namespace mirage::text::jinja
