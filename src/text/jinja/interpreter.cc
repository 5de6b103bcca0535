// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/interpreter.h"

#include <utility>

#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/natives.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {

const Value* Scope::Find(NameId name) const {
  for (const auto& [id, value] : variables) {
    if (id == name) return &value;
  }
  return nullptr;
}

void Scope::Set(NameId name, Value value) {
  for (auto& [id, existing] : variables) {
    if (id == name) {
      existing = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Interpreter::Interpreter(const Ast& ast, Runtime& runtime,
                         std::vector<std::pair<std::string, Value>> variables)
    : ast_(ast), runtime_(runtime), globals_(ast.names.size()) {
  for (NameId id = 0; id < ast.names.size(); ++id) {
    for (auto& [name, value] : variables) {
      if (name == ast.names[id]) globals_[id] = value;
    }
  }
}

Result<TextPtr> Interpreter::Run() {
  const auto run = [&]() -> Result<TextPtr> {
    for (NameId id = 0; id < ast_.names.size(); ++id) {
      const NativeFunction* native = FindGlobal(ast_.names[id]);
      if (native == nullptr || globals_[id]) continue;
      MIRAGE_TRY_ASSIGN(globals_[id], runtime_.MakeFunction(*native, Value()));
    }
    MIRAGE_TRY_ASSIGN(const ScopePtr scope, MakeScope(nullptr));
    TextBuilder out(runtime_.budget(), runtime_.limits().output_bytes, "output_bytes");
    MIRAGE_TRY(ExecBody(ast_.body, scope, &out));
    return out.Finish();
  };
  Result<TextPtr> text = run();
  if (text || text.error().code == Code::kRefused || error_line_ == 0) return text;
  return Fail(std::move(text).error().Within("template line " + std::to_string(error_line_)));
}

Result<ScopePtr> Interpreter::MakeScope(ScopePtr parent) {
  auto scope = std::make_shared<Scope>();
  MIRAGE_TRY(runtime_.Adopt(scope.get(), 0, 0));
  scope->parent = std::move(parent);
  return scope;
}

Result<Value> Interpreter::MakeMacro(const MacroCode& code, const ScopePtr& scope) {
  auto macro = std::make_shared<Macro>();
  MIRAGE_TRY(runtime_.Adopt(macro.get(), 0, 0));
  macro->code = &code;
  macro->scope = scope;
  if (!scope->captured) {
    scope->captured = true;
    runtime_.AtEnd([scope] { scope->variables.clear(); });
  }
  return Value::OfObject(Kind::kMacro, std::move(macro));
}

Result<Interpreter::Flow> Interpreter::ExecBody(const Body& body, const ScopePtr& scope,
                                                TextBuilder* out) {
  const Level level(&eval_depth_);
  if (eval_depth_ > kMaxEvalDepth) return LimitReached("evaluation depth", kMaxEvalDepth);
  for (const StmtPtr& statement : body) {
    Result<Flow> flow = Exec(*statement, scope, out);
    if (!flow) {
      if (error_line_ == 0) error_line_ = statement->line;
      return flow;
    }
    if (*flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::Exec(const Stmt& statement, const ScopePtr& scope,
                                            TextBuilder* out) {
  MIRAGE_TRY(runtime_.Step());
  switch (statement.kind) {
    case StmtKind::kData:
      out->Append(*static_cast<const DataStmt&>(statement).text);
      return Flow::kNormal;
    case StmtKind::kOutput: {
      MIRAGE_TRY_ASSIGN(const Value value,
                        Eval(*static_cast<const OutputStmt&>(statement).expr, scope));
      MIRAGE_TRY(AppendStr(runtime_, value, out));
      return Flow::kNormal;
    }
    case StmtKind::kSet: {
      const auto& set = static_cast<const SetStmt&>(statement);
      MIRAGE_TRY_ASSIGN(const Value value, Eval(*set.value, scope));
      MIRAGE_TRY(Assign(*set.target, value, scope));
      return Flow::kNormal;
    }
    case StmtKind::kSetBlock:
      return ExecSetBlock(static_cast<const SetBlockStmt&>(statement), scope);
    case StmtKind::kIf:
      return ExecIf(static_cast<const IfStmt&>(statement), scope, out);
    case StmtKind::kFor: {
      const auto& loop = static_cast<const ForStmt&>(statement);
      MIRAGE_TRY_ASSIGN(const Value iterable, Eval(*loop.iterable, scope));
      return ExecFor(loop, iterable, 0, scope, out);
    }
    case StmtKind::kWith:
      return ExecWith(static_cast<const WithStmt&>(statement), scope, out);
    case StmtKind::kMacro: {
      const auto& macro = static_cast<const MacroStmt&>(statement);
      MIRAGE_TRY_ASSIGN(Value value, MakeMacro(macro.code, scope));
      scope->Set(macro.id, std::move(value));
      return Flow::kNormal;
    }
    case StmtKind::kCallBlock:
      MIRAGE_TRY(ExecCallBlock(static_cast<const CallBlockStmt&>(statement), scope, out));
      return Flow::kNormal;
    case StmtKind::kFilterBlock:
      return ExecFilterBlock(static_cast<const FilterBlockStmt&>(statement), scope, out);
    case StmtKind::kGeneration: {
      MIRAGE_TRY_ASSIGN(const ScopePtr inner, MakeScope(scope));
      return ExecBody(static_cast<const GenerationStmt&>(statement).body, inner, out);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::ExecIf(const IfStmt& statement, const ScopePtr& scope,
                                              TextBuilder* out) {
  for (const auto& branch : statement.branches) {
    if (branch.test != nullptr) {
      MIRAGE_TRY_ASSIGN(const Value test, Eval(*branch.test, scope));
      if (!Truthy(test)) continue;
    }
    return ExecBody(branch.body, scope, out);
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::ExecFor(const ForStmt& statement, const Value& iterable,
                                               int64_t depth0, const ScopePtr& scope,
                                               TextBuilder* out) {
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime_, iterable));
  const auto pull = [&](Value* item) -> Result<bool> {
    while (true) {
      MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(item));
      if (!more || statement.test == nullptr) return more;
      MIRAGE_TRY_ASSIGN(const ScopePtr test_scope, MakeScope(scope));
      MIRAGE_TRY(Assign(*statement.target, *item, test_scope));
      MIRAGE_TRY_ASSIGN(const Value test, Eval(*statement.test, test_scope));
      if (Truthy(test)) return true;
    }
  };
  const auto loop = std::make_shared<Loop>(
      pull, statement.test == nullptr ? LengthOf(iterable) : std::nullopt, depth0);
  MIRAGE_TRY(runtime_.Adopt(loop.get(), sizeof(Loop), iterable.depth()));
  if (statement.recursive) {
    loop->recursive_statement = &statement;
    loop->recursive_scope = &scope;
  }
  // The loop object may outlive this function, in a namespace; what it refers to does not.
  struct Closer {
    Loop& loop;
    ~Closer() { loop.Close(); }
  } const closer{*loop};

  bool finished_a_round = false;
  ScopePtr round;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, loop->Advance());
    if (!more) break;
    if (round == nullptr || round->captured) {
      MIRAGE_TRY_ASSIGN(round, MakeScope(scope));
    } else {
      round->variables.clear();
    }
    round->Set(ast_.loop, Value::OfObject(Kind::kLoop, loop));
    MIRAGE_TRY(Assign(*statement.target, loop->current(), round));
    MIRAGE_TRY_ASSIGN(const Flow flow, ExecBody(statement.body, round, out));
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) finished_a_round = true;
  }
  // As Jinja compiles it, a round that was left by break or continue does not count.
  if (finished_a_round || statement.otherwise.empty()) return Flow::kNormal;
  MIRAGE_TRY_ASSIGN(const ScopePtr inner, MakeScope(scope));
  return ExecBody(statement.otherwise, inner, out);
}

Result<Interpreter::Flow> Interpreter::ExecWith(const WithStmt& statement, const ScopePtr& scope,
                                                TextBuilder* out) {
  MIRAGE_TRY_ASSIGN(const ScopePtr inner, MakeScope(scope));
  for (const auto& [target, expr] : statement.assignments) {
    MIRAGE_TRY_ASSIGN(const Value value, Eval(*expr, scope));
    MIRAGE_TRY(Assign(*target, value, inner));
  }
  return ExecBody(statement.body, inner, out);
}

Result<Interpreter::Flow> Interpreter::ExecSetBlock(const SetBlockStmt& statement,
                                                    const ScopePtr& scope) {
  MIRAGE_TRY_ASSIGN(const ScopePtr inner, MakeScope(scope));
  TextBuilder captured(runtime_.budget());
  MIRAGE_TRY_ASSIGN(const Flow flow, ExecBody(statement.body, inner, &captured));
  if (flow != Flow::kNormal) return flow;
  MIRAGE_TRY_ASSIGN(TextPtr text, captured.Finish());
  Value value = Value::String(std::move(text));
  if (statement.filter != nullptr) {
    std::swap(block_, value);
    Result<Value> filtered = Eval(*statement.filter, inner);
    std::swap(block_, value);
    MIRAGE_TRY_ASSIGN(value, std::move(filtered));
  }
  MIRAGE_TRY(Assign(*statement.target, value, scope));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::ExecFilterBlock(const FilterBlockStmt& statement,
                                                       const ScopePtr& scope, TextBuilder* out) {
  MIRAGE_TRY_ASSIGN(const ScopePtr inner, MakeScope(scope));
  TextBuilder captured(runtime_.budget());
  MIRAGE_TRY_ASSIGN(const Flow flow, ExecBody(statement.body, inner, &captured));
  if (flow != Flow::kNormal) return flow;
  MIRAGE_TRY_ASSIGN(TextPtr text, captured.Finish());
  Value outer = std::exchange(block_, Value::String(std::move(text)));
  Result<Value> filtered = Eval(*statement.filter, inner);
  block_ = std::move(outer);
  if (!filtered) return Fail(std::move(filtered).error());
  MIRAGE_TRY(AppendStr(runtime_, *filtered, out));
  return Flow::kNormal;
}

Status Interpreter::ExecCallBlock(const CallBlockStmt& statement, const ScopePtr& scope,
                                  TextBuilder* out) {
  MIRAGE_TRY_ASSIGN(const Value caller, MakeMacro(statement.caller, scope));
  MIRAGE_TRY_ASSIGN(const Value value, EvalCall(*statement.call, scope, &caller));
  return AppendStr(runtime_, value, out);
}

Status Interpreter::Assign(const Expr& target, const Value& value, const ScopePtr& scope) {
  switch (target.kind) {
    case ExprKind::kName:
      scope->Set(static_cast<const NameExpr&>(target).name, value);
      return {};
    case ExprKind::kTuple:
      return AssignTuple(static_cast<const ItemsExpr&>(target), value, scope);
    default:  // the parser lets nothing else be a target
      return AssignNamespace(static_cast<const NamespaceRefExpr&>(target), value, scope);
  }
}

Status Interpreter::AssignTuple(const ItemsExpr& targets, const Value& value,
                                const ScopePtr& scope) {
  const size_t expected = targets.items.size();
  if (!Cursor::IsIterable(value)) {
    return Wrong("cannot unpack non-iterable " + std::string(TypeName(value)) + " object");
  }
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime_, value));
  std::vector<Value> items;
  Value item;
  while (items.size() <= expected) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) break;
    items.push_back(item);
  }
  if (items.size() > expected) {
    return Wrong("too many values to unpack (expected " + std::to_string(expected) + ")");
  }
  if (items.size() < expected) {
    return Wrong("not enough values to unpack (expected " + std::to_string(expected) + ", got " +
                 std::to_string(items.size()) + ")");
  }
  for (size_t i = 0; i < expected; ++i) MIRAGE_TRY(Assign(*targets.items[i], items[i], scope));
  return {};
}

Status Interpreter::AssignNamespace(const NamespaceRefExpr& target, const Value& value,
                                    const ScopePtr& scope) {
  MIRAGE_TRY_ASSIGN(const Value owner, EvalName(target.name, scope));
  if (!owner.is(Kind::kNamespace)) {
    return Wrong("cannot assign attribute on non-namespace object");
  }
  if (target.attribute.front() == '_') {
    return Wrong("a namespace cannot store the underscore-prefixed attribute '" + target.attribute +
                 "'");
  }
  Namespace& name_space = owner.name_space();
  if (Value* member = name_space.Find(target.attribute)) {
    *member = value;
  } else {
    name_space.members.emplace_back(target.attribute, value);
  }
  return {};
}

}  // namespace mirage::text::jinja
