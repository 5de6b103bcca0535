// SPDX-License-Identifier: Apache-2.0
#pragma once

// The interpreter: runs an Ast against the variables of one render and writes the text.
//
// Scopes are Jinja's: a for, a macro, with, call, filter and set block have their own, an `if` has
// not; what a loop's round sets is gone in the next. A macro sees the scope it was defined in.
//
// One thread at a time, as its Runtime; the Ast may be shared.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/loop.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

struct Scope final : Object {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> variables;
  bool captured = false;  // a macro refers to it

  const Value* Find(NameId name) const;
  void Set(NameId name, Value value);
};
using ScopePtr = std::shared_ptr<Scope>;

struct Macro final : Object {
  const MacroCode* code = nullptr;
  ScopePtr scope;
};

class Interpreter {
 public:
  // `variables` are the render's, by name.
  Interpreter(const Ast& ast, Runtime& runtime,
              std::vector<std::pair<std::string, Value>> variables);

  Result<TextPtr> Run();

 private:
  // Counts one level of recursion while it lives.
  class Level {
   public:
    explicit Level(size_t* depth) : depth_(depth) { ++*depth_; }
    ~Level() { --*depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    size_t* depth_;
  };

  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  // --- Statements (interpreter.cc) ---
  Result<Flow> ExecBody(const Body& body, const ScopePtr& scope, TextBuilder* out);
  Result<Flow> Exec(const Stmt& statement, const ScopePtr& scope, TextBuilder* out);
  Result<Flow> ExecIf(const IfStmt& statement, const ScopePtr& scope, TextBuilder* out);
  Result<Flow> ExecFor(const ForStmt& statement, const Value& iterable, int64_t depth0,
                       const ScopePtr& scope, TextBuilder* out);
  Result<Flow> ExecWith(const WithStmt& statement, const ScopePtr& scope, TextBuilder* out);
  Result<Flow> ExecSetBlock(const SetBlockStmt& statement, const ScopePtr& scope);
  Result<Flow> ExecFilterBlock(const FilterBlockStmt& statement, const ScopePtr& scope,
                               TextBuilder* out);
  Status ExecCallBlock(const CallBlockStmt& statement, const ScopePtr& scope, TextBuilder* out);
  Status Assign(const Expr& target, const Value& value, const ScopePtr& scope);
  Status AssignTuple(const ItemsExpr& targets, const Value& value, const ScopePtr& scope);
  Status AssignNamespace(const NamespaceRefExpr& target, const Value& value, const ScopePtr& scope);
  Result<ScopePtr> MakeScope(ScopePtr parent);
  Result<Value> MakeMacro(const MacroCode& code, const ScopePtr& scope);

  // --- Expressions (evaluate.cc) ---
  Result<Value> Eval(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvalKind(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvalName(NameId name, const ScopePtr& scope);
  Result<Value> EvalItems(const ItemsExpr& expr, const ScopePtr& scope);
  Result<Value> EvalDict(const ItemsExpr& expr, const ScopePtr& scope);
  Result<Value> EvalConcat(const ItemsExpr& expr, const ScopePtr& scope);
  Result<Value> EvalSlice(const SliceExpr& expr, const ScopePtr& scope);
  Result<Value> EvalCompare(const CompareExpr& expr, const ScopePtr& scope);
  Result<Value> EvalConditional(const ConditionalExpr& expr, const ScopePtr& scope);
  Result<Value> EvalApply(const ApplyExpr& expr, const ScopePtr& scope);
  Result<Value> EvalCall(const CallExpr& expr, const ScopePtr& scope, const Value* caller);
  Result<CallArguments> EvalArguments(const Arguments& arguments, const ScopePtr& scope);

  // --- Calls (evaluate.cc) ---
  Result<Value> Call(const Value& callee, CallArguments arguments);
  Result<Value> CallMacro(const Macro& macro, CallArguments arguments);
  Result<Value> CallLoop(const Loop& loop, const CallArguments& arguments);

  const Ast& ast_;
  Runtime& runtime_;
  std::vector<std::optional<Value>> globals_;  // by NameId
  Value block_;                                // what a filter without a subject applies to
  size_t eval_depth_ = 0;                      // expressions and bodies that are being evaluated
  size_t call_depth_ = 0;
  uint32_t error_line_ = 0;  // of the innermost statement that failed
};

}  // namespace mirage::text::jinja
