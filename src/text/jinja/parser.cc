// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/parser.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "text/jinja/expression_parser.h"
#include "text/jinja/lexer.h"

namespace mirage::text::jinja {
namespace {

using EndTags = Names;

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Result<std::unique_ptr<const Ast>> Run() {
    ast_->loop = Intern("loop");
    ast_->caller = Intern("caller");
    ast_->kwargs = Intern("kwargs");
    ast_->varargs = Intern("varargs");
    MIRAGE_TRY(ParseBody({}, &ast_->body));
    std::move(pending_unknown_.begin(), pending_unknown_.end(), std::back_inserter(unknown_));
    if (!unknown_.empty()) return tl::unexpected<Error>(unknown_.front());
    return std::unique_ptr<const Ast>(std::move(ast_));
  }

 private:
  // --- Statements ---

  // Up to a block tag in `end_tags`, whose name becomes the current token; to the template's end if
  // there are none.
  Status ParseBody(EndTags end_tags, Body* body) {
    const Nested nested(&statement_depth_);
    MIRAGE_TRY(CheckNesting(statement_depth_));
    while (true) {
      const Token& token = Current();
      switch (token.kind) {
        case TokenKind::kEnd:
          if (end_tags.size() == 0) return {};
          return Bad(token.line, "unexpected end of template, expected '" +
                                     std::string(*(end_tags.end() - 1)) + "'");
        case TokenKind::kData: {
          auto data = std::make_unique<DataStmt>();
          data->line = token.line;
          data->text = ConstantText(std::string(token.text));
          body->push_back(std::move(data));
          Take();
          break;
        }
        case TokenKind::kVariableBegin: {
          auto output = std::make_unique<OutputStmt>();
          output->line = Take().line;
          MIRAGE_TRY_ASSIGN(output->expr, ParseTuple());
          MIRAGE_TRY(Expect(TokenKind::kVariableEnd, "end of print statement"));
          body->push_back(std::move(output));
          break;
        }
        case TokenKind::kBlockBegin:
          Take();
          if (Current().kind == TokenKind::kName && IsOneOf(Current().text, end_tags)) return {};
          MIRAGE_TRY(ParseStatement(body));
          MIRAGE_TRY(Expect(TokenKind::kBlockEnd, "end of statement block"));
          break;
        default:
          return Bad(token.line, "unexpected " + Describe(token));
      }
    }
  }

  // The rest of an opening tag, then the body.
  Status ParseTagBody(EndTags end_tags, Body* body) {
    SkipOperator(":");
    MIRAGE_TRY(Expect(TokenKind::kBlockEnd, "end of statement block"));
    return ParseBody(end_tags, body);
  }

  // The same, and past the only end tag there is.
  Status ParseWholeBody(std::string_view end_tag, Body* body) {
    MIRAGE_TRY(ParseTagBody({end_tag}, body));
    Take();
    return {};
  }

  Status ParseStatement(Body* body) {
    const Token tag = Current();
    if (tag.kind != TokenKind::kName) return Bad(tag.line, "tag name expected");
    if (IsOneOf(tag.text, {"include", "import", "from", "extends", "block", "autoescape"})) {
      return Fail(ErrorAt(tag.line, "the tag '" + std::string(tag.text) + "' is not supported",
                          Code::kUnsupported));
    }
    Take();
    Result<StmtPtr> statement = Dispatch(tag, body);
    if (!statement) return tl::unexpected<Error>(std::move(statement).error());
    if (*statement != nullptr) {
      (*statement)->line = tag.line;
      body->push_back(std::move(*statement));
    }
    return {};
  }

  Result<StmtPtr> Dispatch(const Token& tag, Body* body) {
    const std::string_view name = tag.text;
    if (name == "set") return ParseSet();
    if (name == "if") return ParseIf();
    if (name == "for") return ParseFor();
    if (name == "macro") return ParseMacro();
    if (name == "call") return ParseCallBlock();
    if (name == "filter") return ParseFilterBlock();
    if (name == "with") return ParseWith();
    if (name == "generation") return ParseGeneration();
    if (name == "print") return ParsePrint(body);
    if (name == "break" || name == "continue") {
      if (loop_depth_ == 0) return Bad(tag.line, "'" + std::string(name) + "' outside loop");
      return std::make_unique<Stmt>(name == "break" ? StmtKind::kBreak : StmtKind::kContinue);
    }
    return Bad(tag.line, "encountered unknown tag '" + std::string(name) + "'");
  }

  // {% print a, b %}: one output each, straight into the body.
  Result<StmtPtr> ParsePrint(Body* body) {
    bool first = true;
    while (Current().kind != TokenKind::kBlockEnd) {
      if (!first) MIRAGE_TRY(ExpectOperator(","));
      first = false;
      auto output = std::make_unique<OutputStmt>();
      output->line = Current().line;
      MIRAGE_TRY_ASSIGN(output->expr, ParseExpression());
      body->push_back(std::move(output));
    }
    return StmtPtr();
  }

  Result<StmtPtr> ParseSet() {
    MIRAGE_TRY_ASSIGN(ExprPtr target, ParseTarget("", true));
    if (SkipOperator("=")) {
      auto set = std::make_unique<SetStmt>();
      set->target = std::move(target);
      MIRAGE_TRY_ASSIGN(set->value, ParseTuple());
      return set;
    }
    auto set = std::make_unique<SetBlockStmt>();
    set->target = std::move(target);
    // The filter belongs to the block's frame, so a name unknown there is an error even inside an
    // `if`.
    const Status parsed = Scoped(true, [&]() -> Status {
      while (Current().IsOperator("|")) {
        Take();
        MIRAGE_TRY_ASSIGN(set->filter, ParseFilter(std::move(set->filter)));
      }
      return ParseWholeBody("endset", &set->body);
    });
    MIRAGE_TRY(parsed);
    return set;
  }

  Result<StmtPtr> ParseIf() {
    auto statement = std::make_unique<IfStmt>();
    const Status parsed = Scoped(false, [&]() -> Status {
      while (true) {
        auto& branch = statement->branches.emplace_back();
        MIRAGE_TRY_ASSIGN(branch.test, ParseTuple({.conditional = false}));
        MIRAGE_TRY(ParseTagBody({"elif", "else", "endif"}, &branch.body));
        const Token tag = Take();
        if (tag.text == "elif") continue;
        if (tag.text == "else") {
          return ParseWholeBody("endif", &statement->branches.emplace_back().body);
        }
        return {};
      }
    });
    MIRAGE_TRY(parsed);
    return statement;
  }

  Result<StmtPtr> ParseFor() {
    auto loop = std::make_unique<ForStmt>();
    const uint32_t line = Current().line;
    MIRAGE_TRY_ASSIGN(loop->target, ParseTarget("in", false));
    if (TargetNames(*loop->target, ast_->loop)) {
      return Bad(line, "can't assign to special loop variable in for-loop target");
    }
    MIRAGE_TRY(ExpectName("in"));
    MIRAGE_TRY_ASSIGN(loop->iterable, ParseTuple({.conditional = false, .end_name = "recursive"}));
    const Status parsed = Scoped(true, [&]() -> Status {
      if (SkipName("if")) {
        MIRAGE_TRY_ASSIGN(loop->test, ParseExpression());
      }
      loop->recursive = SkipName("recursive");
      {
        const Nested in_loop(&loop_depth_);
        MIRAGE_TRY(ParseTagBody({"else", "endfor"}, &loop->body));
      }
      if (Take().text == "else") return ParseWholeBody("endfor", &loop->otherwise);
      return {};
    });
    MIRAGE_TRY(parsed);
    return loop;
  }

  Result<StmtPtr> ParseWith() {
    auto with = std::make_unique<WithStmt>();
    while (Current().kind != TokenKind::kBlockEnd) {
      if (!with->assignments.empty()) MIRAGE_TRY(ExpectOperator(","));
      MIRAGE_TRY_ASSIGN(ExprPtr target, ParseTarget("", false));
      MIRAGE_TRY(ExpectOperator("="));
      MIRAGE_TRY_ASSIGN(ExprPtr value, ParseExpression());
      with->assignments.emplace_back(std::move(target), std::move(value));
    }
    const Status parsed = Scoped(true, [&] { return ParseWholeBody("endwith", &with->body); });
    MIRAGE_TRY(parsed);
    return with;
  }

  Result<StmtPtr> ParseMacro() {
    auto macro = std::make_unique<MacroStmt>();
    MIRAGE_TRY_ASSIGN(const Token name, Expect(TokenKind::kName, "a macro's name"));
    macro->id = Intern(name.text);
    macro->code.name = name.text;
    const Status parsed = Scoped(true, [&]() -> Status {
      MIRAGE_TRY(ParseSignature(&macro->code));
      return ParseMacroBody("endmacro", &macro->code);
    });
    MIRAGE_TRY(parsed);
    return macro;
  }

  Result<StmtPtr> ParseCallBlock() {
    auto block = std::make_unique<CallBlockStmt>();
    const uint32_t line = Current().line;
    if (Current().IsOperator("(")) {
      const Status parsed = Scoped(true, [&] { return ParseSignature(&block->caller); });
      MIRAGE_TRY(parsed);
    }
    MIRAGE_TRY_ASSIGN(ExprPtr call, ParseExpression());
    if (call->kind != ExprKind::kCall) return Bad(line, "expected call");
    block->call.reset(static_cast<CallExpr*>(call.release()));
    const Status parsed = Scoped(true, [&] { return ParseMacroBody("endcall", &block->caller); });
    MIRAGE_TRY(parsed);
    return block;
  }

  Result<StmtPtr> ParseFilterBlock() {
    auto block = std::make_unique<FilterBlockStmt>();
    const Status parsed = Scoped(true, [&]() -> Status {
      do {
        MIRAGE_TRY_ASSIGN(block->filter, ParseFilter(std::move(block->filter)));
      } while (SkipOperator("|"));
      return ParseWholeBody("endfilter", &block->body);
    });
    MIRAGE_TRY(parsed);
    return block;
  }

  Result<StmtPtr> ParseGeneration() {
    auto block = std::make_unique<GenerationStmt>();
    // Jinja compiles the block as a function of its own, which a loop's break cannot leave.
    const size_t loops = std::exchange(loop_depth_, 0);
    const Status parsed =
        Scoped(true, [&] { return ParseWholeBody("endgeneration", &block->body); });
    MIRAGE_TRY(parsed);
    loop_depth_ = loops;
    return block;
  }

  Status ParseSignature(MacroCode* code) {
    MIRAGE_TRY(ExpectOperator("("));
    while (!Current().IsOperator(")")) {
      if (!code->parameters.empty()) MIRAGE_TRY(ExpectOperator(","));
      MIRAGE_TRY_ASSIGN(const Token name, Expect(TokenKind::kName, "a parameter's name"));
      auto& parameter = code->parameters.emplace_back();
      parameter.id = Intern(name.text);
      parameter.name = name.text;
      if (SkipOperator("=")) {
        MIRAGE_TRY_ASSIGN(parameter.fallback, ParseExpression());
      } else if (code->parameters.size() > 1 && (code->parameters.end() - 2)->fallback != nullptr) {
        return Bad(name.line, "non-default argument follows default argument");
      }
    }
    return ExpectOperator(")");
  }

  Status ParseMacroBody(std::string_view end_tag, MacroCode* code) {
    macros_.push_back(code);
    const size_t loops = std::exchange(loop_depth_, 0);
    MIRAGE_TRY(ParseWholeBody(end_tag, &code->body));
    loop_depth_ = loops;
    macros_.pop_back();
    // A parameter of that name is an ordinary parameter.
    for (const auto& parameter : code->parameters) {
      if (parameter.id == ast_->caller) {
        if (code->uses_caller && parameter.fallback == nullptr) {
          return Bad(Current().line,
                     "the special \"caller\" argument must be omitted or be given a default");
        }
        code->uses_caller = false;
      }
      if (parameter.id == ast_->kwargs) code->uses_kwargs = false;
      if (parameter.id == ast_->varargs) code->uses_varargs = false;
    }
    return {};
  }

  // --- Targets of set, for and with ---

  Result<ExprPtr> ParseTarget(std::string_view end_name, bool with_namespace) {
    const uint32_t line = Current().line;
    MIRAGE_TRY_ASSIGN(
        ExprPtr target,
        ParseTuple({.targets = true, .namespaces = with_namespace, .end_name = end_name}));
    MIRAGE_TRY(CheckTarget(*target, line));
    return target;
  }

  Status CheckTarget(const Expr& target, uint32_t line) const {
    switch (target.kind) {
      case ExprKind::kName:
      case ExprKind::kNamespaceRef:
        return {};
      case ExprKind::kTuple:
        for (const ExprPtr& item : static_cast<const ItemsExpr&>(target).items) {
          MIRAGE_TRY(CheckTarget(*item, line));
        }
        return {};
      default:
        return Bad(line, "can't assign to this expression");
    }
  }

  static bool TargetNames(const Expr& target, NameId name) {
    if (target.kind == ExprKind::kName) return static_cast<const NameExpr&>(target).name == name;
    if (target.kind != ExprKind::kTuple) return false;
    const auto& items = static_cast<const ItemsExpr&>(target).items;
    return std::any_of(items.begin(), items.end(),
                       [&](const ExprPtr& item) { return TargetNames(*item, name); });
  }

  size_t statement_depth_ = 0;
  size_t loop_depth_ = 0;  // loops around the current place, within its macro
};

}  // namespace

Result<std::unique_ptr<const Ast>> ParseTemplate(std::string_view source) {
  MIRAGE_TRY_ASSIGN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace mirage::text::jinja
