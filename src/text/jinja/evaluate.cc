// SPDX-License-Identifier: Apache-2.0
// The interpreter's expressions and calls.
#include <algorithm>
#include <utility>

#include "text/jinja/attributes.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/natives.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {
namespace {

Result<bool> Compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEqual:
      return Equal(runtime, left, right);
    case CompareOp::kNotEqual: {
      MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, left, right));
      return !equal;
    }
    case CompareOp::kLess:
      return Less(runtime, left, right, "<");
    case CompareOp::kGreater:
      return Less(runtime, right, left, ">");
    case CompareOp::kLessEqual:
    case CompareOp::kGreaterEqual: {
      const bool swap = op == CompareOp::kGreaterEqual;
      MIRAGE_TRY_ASSIGN(const bool less,
                        swap ? Less(runtime, right, left, ">=") : Less(runtime, left, right, "<="));
      if (less) return true;
      return Equal(runtime, left, right);
    }
    case CompareOp::kIn:
      return Contains(runtime, right, left);
    case CompareOp::kNotIn: {
      MIRAGE_TRY_ASSIGN(const bool contains, Contains(runtime, right, left));
      return !contains;
    }
  }
  return false;
}

}  // namespace

Result<Value> Interpreter::Eval(const Expr& expr, const ScopePtr& scope) {
  MIRAGE_TRY(runtime_.Step());
  const Level level(&eval_depth_);
  if (eval_depth_ > kMaxEvalDepth) return LimitReached("evaluation depth", kMaxEvalDepth);
  return EvalKind(expr, scope);
}

Result<Value> Interpreter::EvalKind(const Expr& expr, const ScopePtr& scope) {
  switch (expr.kind) {
    case ExprKind::kConstant:
      return static_cast<const ConstantExpr&>(expr).value;
    case ExprKind::kName:
      return EvalName(static_cast<const NameExpr&>(expr).name, scope);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return EvalItems(static_cast<const ItemsExpr&>(expr), scope);
    case ExprKind::kDict:
      return EvalDict(static_cast<const ItemsExpr&>(expr), scope);
    case ExprKind::kConcat:
      return EvalConcat(static_cast<const ItemsExpr&>(expr), scope);
    case ExprKind::kAttribute: {
      const auto& attribute = static_cast<const AttributeExpr&>(expr);
      MIRAGE_TRY_ASSIGN(const Value object, Eval(*attribute.object, scope));
      return GetAttribute(runtime_, object, attribute.attribute);
    }
    case ExprKind::kItem: {
      const auto& item = static_cast<const ItemExpr&>(expr);
      MIRAGE_TRY_ASSIGN(const Value object, Eval(*item.object, scope));
      MIRAGE_TRY_ASSIGN(const Value key, Eval(*item.key, scope));
      return GetItem(runtime_, object, key);
    }
    case ExprKind::kSlice:
      return EvalSlice(static_cast<const SliceExpr&>(expr), scope);
    case ExprKind::kCall:
      return EvalCall(static_cast<const CallExpr&>(expr), scope, nullptr);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return EvalApply(static_cast<const ApplyExpr&>(expr), scope);
    case ExprKind::kUnary: {
      const auto& unary = static_cast<const UnaryExpr&>(expr);
      MIRAGE_TRY_ASSIGN(const Value operand, Eval(*unary.operand, scope));
      if (unary.op == UnaryOp::kNot) return Value::Bool(!Truthy(operand));
      return Unary(runtime_, unary.op, operand);
    }
    case ExprKind::kBinary: {
      const auto& binary = static_cast<const BinaryExpr&>(expr);
      MIRAGE_TRY_ASSIGN(const Value left, Eval(*binary.left, scope));
      MIRAGE_TRY_ASSIGN(const Value right, Eval(*binary.right, scope));
      return Binary(runtime_, binary.op, left, right);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      const auto& logic = static_cast<const BinaryExpr&>(expr);
      MIRAGE_TRY_ASSIGN(Value left, Eval(*logic.left, scope));
      if (Truthy(left) == (expr.kind == ExprKind::kOr)) return left;
      return Eval(*logic.right, scope);
    }
    case ExprKind::kCompare:
      return EvalCompare(static_cast<const CompareExpr&>(expr), scope);
    case ExprKind::kConditional:
      return EvalConditional(static_cast<const ConditionalExpr&>(expr), scope);
    case ExprKind::kNamespaceRef:
      break;  // a target, never a value
  }
  return Fail(Code::kInternal, "an expression of unknown kind");
}

Result<Value> Interpreter::EvalName(NameId name, const ScopePtr& scope) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
    if (const Value* value = at->Find(name)) return *value;
  }
  if (globals_[name]) return *globals_[name];
  return runtime_.MakeUndefined("'" + ast_.names[name] + "' is undefined");
}

Result<Value> Interpreter::EvalItems(const ItemsExpr& expr, const ScopePtr& scope) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    MIRAGE_TRY_ASSIGN(Value value, Eval(*item, scope));
    items.push_back(std::move(value));
  }
  return expr.kind == ExprKind::kTuple ? runtime_.Tuple(std::move(items))
                                       : runtime_.List(std::move(items));
}

Result<Value> Interpreter::EvalDict(const ItemsExpr& expr, const ScopePtr& scope) {
  DictBuilder builder;
  builder.Reserve(expr.items.size() / 2);
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    MIRAGE_TRY_ASSIGN(Value key, Eval(*expr.items[i], scope));
    MIRAGE_TRY_ASSIGN(Value value, Eval(*expr.items[i + 1], scope));
    builder.Add(std::move(key), std::move(value));
  }
  return runtime_.MakeDict(std::move(builder));
}

Result<Value> Interpreter::EvalConcat(const ItemsExpr& expr, const ScopePtr& scope) {
  TextBuilder builder(runtime_.budget());
  for (const ExprPtr& item : expr.items) {
    MIRAGE_TRY_ASSIGN(const Value value, Eval(*item, scope));
    MIRAGE_TRY(AppendStr(runtime_, value, &builder));
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, builder.Finish());
  return Value::String(std::move(text));
}

Result<Value> Interpreter::EvalSlice(const SliceExpr& expr, const ScopePtr& scope) {
  MIRAGE_TRY_ASSIGN(const Value object, Eval(*expr.object, scope));
  Value parts[3];
  const ExprPtr* exprs[3] = {&expr.start, &expr.stop, &expr.step};
  for (size_t i = 0; i < 3; ++i) {
    if (*exprs[i] == nullptr) continue;
    MIRAGE_TRY_ASSIGN(parts[i], Eval(**exprs[i], scope));
  }
  return TakeSlice(runtime_, object, &parts[0], &parts[1], &parts[2]);
}

Result<Value> Interpreter::EvalCompare(const CompareExpr& expr, const ScopePtr& scope) {
  MIRAGE_TRY_ASSIGN(Value left, Eval(*expr.first, scope));
  for (const auto& [op, operand] : expr.rest) {
    MIRAGE_TRY_ASSIGN(Value right, Eval(*operand, scope));
    MIRAGE_TRY_ASSIGN(const bool holds, Compare(runtime_, op, left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Interpreter::EvalConditional(const ConditionalExpr& expr, const ScopePtr& scope) {
  MIRAGE_TRY_ASSIGN(const Value test, Eval(*expr.test, scope));
  if (Truthy(test)) return Eval(*expr.if_true, scope);
  if (expr.if_false != nullptr) return Eval(*expr.if_false, scope);
  return runtime_.MakeUndefined("the inline if-expression on line " + std::to_string(expr.line) +
                                " evaluated to false and no else section was defined");
}

Result<Value> Interpreter::EvalApply(const ApplyExpr& expr, const ScopePtr& scope) {
  Value subject = block_;
  if (expr.subject != nullptr) {
    MIRAGE_TRY_ASSIGN(subject, Eval(*expr.subject, scope));
  }
  if (expr.native == nullptr) {
    const bool is_filter = expr.kind == ExprKind::kFilter;
    if (is_filter && IsUnsupportedFilter(expr.name)) {
      return Unsupported("the filter '" + expr.name + "' is not supported");
    }
    return Wrong(std::string("no ") + (is_filter ? "filter" : "test") + " named '" + expr.name +
                 "'");
  }
  MIRAGE_TRY_ASSIGN(const CallArguments arguments, EvalArguments(expr.arguments, scope));
  return expr.native(runtime_, subject, arguments);
}

Result<Value> Interpreter::EvalCall(const CallExpr& expr, const ScopePtr& scope,
                                    const Value* caller) {
  MIRAGE_TRY_ASSIGN(const Value callee, Eval(*expr.callee, scope));
  MIRAGE_TRY_ASSIGN(CallArguments arguments, EvalArguments(expr.arguments, scope));
  if (caller != nullptr) {
    if (arguments.FindNamed("caller") != nullptr) {
      return Wrong("got multiple values for keyword argument 'caller'");
    }
    arguments.named.push_back({"caller", *caller});
  }
  return Call(callee, std::move(arguments));
}

Result<CallArguments> Interpreter::EvalArguments(const Arguments& arguments,
                                                 const ScopePtr& scope) {
  CallArguments values;
  values.positional.reserve(arguments.positional.size());
  for (const ExprPtr& argument : arguments.positional) {
    MIRAGE_TRY_ASSIGN(Value value, Eval(*argument, scope));
    values.positional.push_back(std::move(value));
  }
  if (arguments.more_positional != nullptr) {
    MIRAGE_TRY_ASSIGN(const Value more, Eval(*arguments.more_positional, scope));
    MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime_, more));
    std::move(items.begin(), items.end(), std::back_inserter(values.positional));
  }
  for (const auto& [name, argument] : arguments.named) {
    MIRAGE_TRY_ASSIGN(Value value, Eval(*argument, scope));
    values.named.push_back({name, std::move(value)});
  }
  if (arguments.more_named == nullptr) return values;
  MIRAGE_TRY_ASSIGN(const Value more, Eval(*arguments.more_named, scope));
  if (!more.is(Kind::kDict)) {
    return Wrong("argument after ** must be a mapping, not " + std::string(TypeName(more)));
  }
  const size_t spelled = values.named.size();
  for (const auto& [key, value] : more.dict().entries) {
    if (!key.is_string()) return Wrong("keywords must be strings");
    const std::string_view name = key.bytes();
    const auto repeated = [name](const auto& named) { return named.name == name; };
    const auto end = values.named.begin() + static_cast<ptrdiff_t>(spelled);
    if (std::any_of(values.named.begin(), end, repeated)) {
      return Wrong("got multiple values for keyword argument '" + std::string(name) + "'");
    }
    values.named.push_back({std::string(name), value, key.text().StrictestOrigin()});
  }
  return values;
}

Result<Value> Interpreter::Call(const Value& callee, CallArguments arguments) {
  switch (callee.kind()) {
    case Kind::kFunction:
      return callee.function().native.call(runtime_, callee.function().receiver, arguments);
    case Kind::kMacro:
      return CallMacro(callee.as<const Macro>(), std::move(arguments));
    case Kind::kLoop:
      return CallLoop(callee.as<const Loop>(), arguments);
    case Kind::kJoiner:
      return CallJoiner(runtime_, callee);
    case Kind::kUndefined:
      return Wrong(callee.undefined().message);
    default:
      return Wrong("'" + std::string(TypeName(callee)) + "' object is not callable");
  }
}

Result<Value> Interpreter::CallMacro(const Macro& macro, CallArguments arguments) {
  const MacroCode& code = *macro.code;
  const Level level(&call_depth_);
  if (call_depth_ > runtime_.limits().call_depth) {
    return LimitReached("call_depth", runtime_.limits().call_depth);
  }
  const std::string described =
      code.name.empty() ? std::string("the caller") : "macro '" + code.name + "'";
  const auto take_named = [&](std::string_view name) -> std::optional<Value> {
    const auto at = std::find_if(arguments.named.begin(), arguments.named.end(),
                                 [&](const auto& named) { return named.name == name; });
    if (at == arguments.named.end()) return std::nullopt;
    Value value = std::move(at->value);
    arguments.named.erase(at);
    return value;
  };

  MIRAGE_TRY_ASSIGN(const ScopePtr scope, MakeScope(macro.scope));
  std::vector<const MacroCode::Parameter*> missing;
  for (size_t i = 0; i < code.parameters.size(); ++i) {
    const auto& parameter = code.parameters[i];
    if (i < arguments.positional.size()) {
      scope->Set(parameter.id, arguments.positional[i]);
    } else if (std::optional<Value> value = take_named(parameter.name)) {
      scope->Set(parameter.id, std::move(*value));
    } else {
      missing.push_back(&parameter);
    }
  }
  if (code.uses_caller) {
    std::optional<Value> caller = take_named("caller");
    if (!caller || caller->is_none()) {
      MIRAGE_TRY_ASSIGN(caller, runtime_.MakeUndefined("No caller defined"));
    }
    scope->Set(ast_.caller, std::move(*caller));
  }
  if (code.uses_kwargs) {
    DictBuilder builder;
    for (NamedArgument& argument : arguments.named) {
      MIRAGE_TRY_ASSIGN(Value key, runtime_.String(argument.name, argument.origin));
      builder.Add(std::move(key), std::move(argument.value));
    }
    MIRAGE_TRY_ASSIGN(Value kwargs, runtime_.MakeDict(std::move(builder)));
    scope->Set(ast_.kwargs, std::move(kwargs));
  } else if (!arguments.named.empty()) {
    return Wrong(described + " takes no keyword argument '" + arguments.named.front().name + "'");
  }
  const size_t taken = std::min(arguments.positional.size(), code.parameters.size());
  if (code.uses_varargs) {
    MIRAGE_TRY_ASSIGN(Value varargs,
                      runtime_.Tuple({arguments.positional.begin() + static_cast<ptrdiff_t>(taken),
                                      arguments.positional.end()}));
    scope->Set(ast_.varargs, std::move(varargs));
  } else if (arguments.positional.size() > taken) {
    return Wrong(described + " takes not more than " + std::to_string(code.parameters.size()) +
                 " argument(s)");
  }
  for (const auto* parameter : missing) {
    Result<Value> value =
        parameter->fallback != nullptr
            ? Eval(*parameter->fallback, scope)
            : runtime_.MakeUndefined("parameter '" + parameter->name + "' was not provided");
    MIRAGE_TRY_ASSIGN(Value fallback, std::move(value));
    scope->Set(parameter->id, std::move(fallback));
  }

  TextBuilder out(runtime_.budget());
  MIRAGE_TRY(ExecBody(code.body, scope, &out));
  MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
  return Value::String(std::move(text));
}

Result<Value> Interpreter::CallLoop(const Loop& loop, const CallArguments& arguments) {
  if (loop.recursive_statement == nullptr) {
    return Wrong("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return Wrong("loop() takes one argument");
  }
  const Level level(&call_depth_);
  if (call_depth_ > runtime_.limits().call_depth) {
    return LimitReached("call_depth", runtime_.limits().call_depth);
  }
  TextBuilder out(runtime_.budget());
  MIRAGE_TRY(ExecFor(*loop.recursive_statement, arguments.positional[0], loop.depth0() + 1,
                     *loop.recursive_scope, &out));
  MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
  return Value::String(std::move(text));
}

}  // namespace mirage::text::jinja
