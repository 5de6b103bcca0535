// SPDX-License-Identifier: Apache-2.0
#pragma once

// The parsed template. Immutable after the parser; any number of renders may read it at one time.
//
// Names are numbers into Ast::names, so that a scope's variables are found without comparing
// strings. Depth is bounded by kMaxAstDepth when a node is made, so everything that walks the tree
// may recurse.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja/value.h"

namespace mirage::text::jinja {

using NameId = uint32_t;

enum class ExprKind : uint8_t {
  kConstant,
  kName,
  kTuple,
  kList,
  kDict,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kUnary,
  kBinary,
  kConcat,
  kCompare,
  kAnd,
  kOr,
  kConditional,
  kNamespaceRef,  // ns.attr as a target of set
};

struct Expr {
  explicit Expr(ExprKind k) : kind(k) {}
  virtual ~Expr() = default;

  ExprKind kind;
  uint32_t line = 0;
  uint32_t depth = 1;
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstantExpr final : Expr {
  ConstantExpr() : Expr(ExprKind::kConstant) {}
  Value value;
};

struct NameExpr final : Expr {
  NameExpr() : Expr(ExprKind::kName) {}
  NameId name = 0;
};

// A tuple, list, or `~` of items; for a dict, keys and values by turns.
struct ItemsExpr final : Expr {
  explicit ItemsExpr(ExprKind k) : Expr(k) {}
  std::vector<ExprPtr> items;
};

struct AttributeExpr final : Expr {
  AttributeExpr() : Expr(ExprKind::kAttribute) {}
  ExprPtr object;
  Value attribute;  // a string
};

struct ItemExpr final : Expr {
  ItemExpr() : Expr(ExprKind::kItem) {}
  ExprPtr object;
  ExprPtr key;
};

struct SliceExpr final : Expr {
  SliceExpr() : Expr(ExprKind::kSlice) {}
  ExprPtr object;
  ExprPtr start, stop, step;  // each may be absent
};

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional;  // *args
  ExprPtr more_named;       // **kwargs
};

struct CallExpr final : Expr {
  CallExpr() : Expr(ExprKind::kCall) {}
  ExprPtr callee;
  Arguments arguments;
};

// A filter or a test applied to `subject`; a null subject is the block that the filter belongs to.
struct ApplyExpr final : Expr {
  explicit ApplyExpr(ExprKind k) : Expr(k) {}
  ExprPtr subject;
  std::string name;
  NativeCall native = nullptr;  // null: no such filter or test, an error once it is reached
  Arguments arguments;
};

enum class UnaryOp : uint8_t { kNot, kNegate, kPlus };

struct UnaryExpr final : Expr {
  UnaryExpr() : Expr(ExprKind::kUnary) {}
  UnaryOp op = UnaryOp::kNot;
  ExprPtr operand;
};

enum class BinaryOp : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower
};

// Also `and` and `or`, which have no op.
struct BinaryExpr final : Expr {
  explicit BinaryExpr(ExprKind k) : Expr(k) {}
  BinaryOp op = BinaryOp::kAdd;
  ExprPtr left, right;
};

enum class CompareOp : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

// a < b <= c: each pair compared until one is false.
struct CompareExpr final : Expr {
  CompareExpr() : Expr(ExprKind::kCompare) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct ConditionalExpr final : Expr {
  ConditionalExpr() : Expr(ExprKind::kConditional) {}
  ExprPtr test, if_true, if_false;  // if_false may be absent
};

struct NamespaceRefExpr final : Expr {
  NamespaceRefExpr() : Expr(ExprKind::kNamespaceRef) {}
  NameId name = 0;
  std::string attribute;
};

enum class StmtKind : uint8_t {
  kData,
  kOutput,
  kSet,
  kSetBlock,
  kIf,
  kFor,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kGeneration,
  kBreak,
  kContinue,
};

struct Stmt {
  explicit Stmt(StmtKind k) : kind(k) {}
  virtual ~Stmt() = default;

  StmtKind kind;
  uint32_t line = 0;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct DataStmt final : Stmt {
  DataStmt() : Stmt(StmtKind::kData) {}
  TextPtr text;
};

struct OutputStmt final : Stmt {
  OutputStmt() : Stmt(StmtKind::kOutput) {}
  ExprPtr expr;
};

struct SetStmt final : Stmt {
  SetStmt() : Stmt(StmtKind::kSet) {}
  ExprPtr target;
  ExprPtr value;
};

struct SetBlockStmt final : Stmt {
  SetBlockStmt() : Stmt(StmtKind::kSetBlock) {}
  ExprPtr target;
  ExprPtr filter;  // a chain of ApplyExpr whose innermost subject is the block; may be absent
  Body body;
};

struct IfStmt final : Stmt {
  IfStmt() : Stmt(StmtKind::kIf) {}
  struct Branch {
    ExprPtr test;  // absent in the else branch
    Body body;
  };
  std::vector<Branch> branches;
};

struct ForStmt final : Stmt {
  ForStmt() : Stmt(StmtKind::kFor) {}
  ExprPtr target;
  ExprPtr iterable;
  ExprPtr test;  // may be absent
  bool recursive = false;
  Body body;
  Body otherwise;
};

struct WithStmt final : Stmt {
  WithStmt() : Stmt(StmtKind::kWith) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> assignments;
  Body body;
};

// What a macro and the body of a call block have in common.
struct MacroCode {
  std::string name;  // empty: a caller
  struct Parameter {
    NameId id = 0;
    std::string name;
    ExprPtr fallback;  // may be absent
  };
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false;
  bool uses_kwargs = false;
  bool uses_varargs = false;
};

struct MacroStmt final : Stmt {
  MacroStmt() : Stmt(StmtKind::kMacro) {}
  NameId id = 0;
  MacroCode code;
};

struct CallBlockStmt final : Stmt {
  CallBlockStmt() : Stmt(StmtKind::kCallBlock) {}
  std::unique_ptr<CallExpr> call;
  MacroCode caller;
};

struct FilterBlockStmt final : Stmt {
  FilterBlockStmt() : Stmt(StmtKind::kFilterBlock) {}
  ExprPtr filter;
  Body body;
};

struct GenerationStmt final : Stmt {
  GenerationStmt() : Stmt(StmtKind::kGeneration) {}
  Body body;
};

struct Ast {
  std::vector<std::string> names;  // by NameId
  Body body;

  // Names that the interpreter itself looks up or sets.
  NameId loop = 0, caller = 0, kwargs = 0, varargs = 0;
};

}  // namespace mirage::text::jinja
