// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <map>

#include "text/jinja/errors.h"
#include "text/jinja/lexer.h"
#include "text/jinja/natives.h"

namespace mirage::text::jinja {
namespace {

using EndTags = std::initializer_list<std::string_view>;

bool IsOneOf(std::string_view name, EndTags names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

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
  // --- Tokens ---

  const Token& Current() const { return tokens_[at_]; }
  const Token& Peek() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take() {
    const Token token = Current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool SkipName(std::string_view name) {
    if (!Current().IsName(name)) return false;
    Take();
    return true;
  }
  bool SkipOperator(std::string_view op) {
    if (!Current().IsOperator(op)) return false;
    Take();
    return true;
  }

  Error ErrorAt(uint32_t line, std::string message, Code code = Code::kInvalidArgument) const {
    return Error{code, "template line " + std::to_string(line) + ": " + std::move(message), 0, 0};
  }
  tl::unexpected<Error> Bad(uint32_t line, std::string message) const {
    return Fail(ErrorAt(line, std::move(message)));
  }

  static std::string Describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::kData:
        return "template data";
      case TokenKind::kEnd:
        return "end of template";
      default:
        return "'" + std::string(token.text.substr(0, 40)) + "'";
    }
  }

  Result<Token> Expect(TokenKind kind, std::string_view what) {
    if (Current().kind != kind) {
      return Bad(Current().line, "expected " + std::string(what) + ", got " + Describe(Current()));
    }
    return Take();
  }
  Status ExpectOperator(std::string_view op) {
    if (SkipOperator(op)) return {};
    return Bad(Current().line, "expected '" + std::string(op) + "', got " + Describe(Current()));
  }
  Status ExpectName(std::string_view name) {
    if (SkipName(name)) return {};
    return Bad(Current().line, "expected '" + std::string(name) + "', got " + Describe(Current()));
  }

  NameId Intern(std::string_view name) {
    const auto [at, added] =
        ids_.emplace(std::string(name), static_cast<NameId>(ast_->names.size()));
    if (added) ast_->names.emplace_back(name);
    return at->second;
  }

  // --- Depth: of the parser's own recursion, and of the trees it makes ---

  class Nested {
   public:
    explicit Nested(size_t* depth) : depth_(depth) { ++*depth_; }
    ~Nested() { --*depth_; }

   private:
    size_t* depth_;
  };

  Status CheckNesting(size_t nesting) const {
    if (nesting <= kMaxAstDepth) return {};
    return Fail(
        ErrorAt(Current().line, "nesting exceeds AST depth = " + std::to_string(kMaxAstDepth)));
  }

  static uint32_t DepthOf(const ExprPtr& expr) { return expr == nullptr ? 0 : expr->depth; }

  static uint32_t DepthOf(const Arguments& arguments) {
    uint32_t depth = std::max(DepthOf(arguments.more_positional), DepthOf(arguments.more_named));
    for (const ExprPtr& argument : arguments.positional) depth = std::max(depth, argument->depth);
    for (const auto& [name, argument] : arguments.named) depth = std::max(depth, argument->depth);
    return depth;
  }

  // Gives a new node its line and its depth, which grows by one over its deepest child.
  template <typename Node>
  Result<ExprPtr> Finish(std::unique_ptr<Node> node, uint32_t line, uint32_t deepest_child) {
    if (deepest_child >= kMaxAstDepth) {
      return Bad(line, "an expression exceeds AST depth = " + std::to_string(kMaxAstDepth));
    }
    node->line = line;
    node->depth = deepest_child + 1;
    return ExprPtr(std::move(node));
  }

  // --- Unknown filters and tests ---

  // Runs `parse`; the unknown names it meets are then errors for sure (`hard`), or errors only once
  // reached.
  template <typename Parse>
  auto Scoped(bool hard, Parse parse) {
    const size_t mark = pending_unknown_.size();
    auto result = parse();
    const auto begin = pending_unknown_.begin() + static_cast<ptrdiff_t>(mark);
    if (hard) unknown_.insert(unknown_.end(), begin, pending_unknown_.end());
    pending_unknown_.resize(mark);
    return result;
  }

  void NoteUnknown(uint32_t line, std::string_view type, const std::string& name) {
    if (type == "filter" && IsUnsupportedFilter(name)) {
      pending_unknown_.push_back(
          ErrorAt(line, "the filter '" + name + "' is not supported", Code::kUnsupported));
    } else {
      pending_unknown_.push_back(
          ErrorAt(line, "no " + std::string(type) + " named '" + name + "'"));
    }
  }

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

  // --- Expressions, from the loosest to the tightest binding ---

  struct TupleRules {
    bool conditional = true;         // whether items may be `a if b else c`
    bool targets = false;            // items are names and literals only
    bool namespaces = false;         // ns.attr is an item too
    bool parenthesized = false;      // an empty tuple is allowed
    std::string_view end_name = {};  // a name that ends the tuple
  };

  bool AtTupleEnd(const TupleRules& rules) const {
    const Token& token = Current();
    return token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd ||
           token.IsOperator(")") || (!rules.end_name.empty() && token.IsName(rules.end_name));
  }

  Result<ExprPtr> ParseTuple() { return ParseTuple(TupleRules{}); }

  // One expression, or a tuple if a comma follows it.
  Result<ExprPtr> ParseTuple(TupleRules rules) {
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

  // a if b else c
  Result<ExprPtr> ParseExpression() {
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

  // The operator at the current token, or nullptr.
  const InfixOperator* FindInfix() const {
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

  void TakeInfix(const InfixOperator& infix) {
    Take();
    if (infix.compare == CompareOp::kNotIn) Take();
  }

  Result<ExprPtr> ParseOr() { return ParseInfix(kOrLevel); }

  // An operand and the operators behind it that bind at least as tightly as `least`, grouped to the
  // left: even `**`, unlike Python's. One function for all levels keeps the parser's own recursion
  // shallow.
  Result<ExprPtr> ParseInfix(Level least) {
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

  Result<ExprPtr> FinishUnary(UnaryOp op, uint32_t line, ExprPtr operand) {
    auto unary = std::make_unique<UnaryExpr>();
    unary->op = op;
    unary->operand = std::move(operand);
    const uint32_t deepest = unary->operand->depth;
    return Finish(std::move(unary), line, deepest);
  }

  Result<ExprPtr> ParseNot() {
    const Nested nested(&expression_depth_);
    MIRAGE_TRY(CheckNesting(expression_depth_));
    const uint32_t line = Take().line;
    MIRAGE_TRY_ASSIGN(ExprPtr operand, ParseInfix(kNotLevel));
    return FinishUnary(UnaryOp::kNot, line, std::move(operand));
  }

  // a < b <= c is one node.
  Result<ExprPtr> ParseCompare(uint32_t line, ExprPtr first) {
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

  // a ~ b ~ c is one node. It binds tighter than `+`.
  Result<ExprPtr> ParseConcat(uint32_t line, ExprPtr first) {
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

  Result<ExprPtr> ParseUnary(bool with_filters) {
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

  Result<ExprPtr> Constant(Value value, uint32_t line) {
    auto constant = std::make_unique<ConstantExpr>();
    constant->value = std::move(value);
    return Finish(std::move(constant), line, 0);
  }

  Result<ExprPtr> ParsePrimary(bool with_namespace) {
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

  Result<ExprPtr> ParseName(const Token& token, bool with_namespace) {
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

  // Neighbouring literals are one string.
  Result<ExprPtr> ParseStrings() {
    const uint32_t line = Current().line;
    std::string value;
    while (Current().kind == TokenKind::kString) {
      MIRAGE_TRY_ASSIGN(const std::string part, DecodeString(Take()));
      value += part;
    }
    return Constant(Value::String(ConstantText(std::move(value))), line);
  }

  Result<ExprPtr> ParseInteger(const Token& token) {
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

  Result<ExprPtr> ParseList() {
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

  Result<ExprPtr> ParseDict() {
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

  // .name, .0, [key], [a:b] and (arguments), any number of them.
  Result<ExprPtr> ParsePostfix(ExprPtr expr) {
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

  Result<ExprPtr> ParseAttribute(ExprPtr object) {
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

  Result<ExprPtr> ParseSubscript(ExprPtr object) {
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

  Result<ExprPtr> ParseSlice(ExprPtr object, ExprPtr start, uint32_t line) {
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

  Result<ExprPtr> ParseCall(ExprPtr callee) {
    const uint32_t line = Current().line;
    auto call = std::make_unique<CallExpr>();
    call->callee = std::move(callee);
    MIRAGE_TRY(ParseArguments(&call->arguments));
    const uint32_t deepest = std::max(call->callee->depth, DepthOf(call->arguments));
    return Finish(std::move(call), line, deepest);
  }

  Status ParseArguments(Arguments* arguments) {
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

  Result<std::string> ParseDottedName() {
    MIRAGE_TRY_ASSIGN(const Token first, Expect(TokenKind::kName, "a name"));
    std::string name(first.text);
    while (SkipOperator(".")) {
      MIRAGE_TRY_ASSIGN(const Token part, Expect(TokenKind::kName, "a name"));
      name += "." + std::string(part.text);
    }
    return name;
  }

  // The part behind the bar.
  Result<ExprPtr> ParseFilter(ExprPtr subject) {
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

  // The part behind `is`.
  Result<ExprPtr> ParseTest(ExprPtr subject) {
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

  // Whether a test's argument follows without parentheses: `x is divisibleby 3`.
  bool AtBareArgument() const {
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

  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::unique_ptr<Ast> ast_ = std::make_unique<Ast>();
  std::map<std::string, NameId, std::less<>> ids_;

  size_t statement_depth_ = 0;
  size_t expression_depth_ = 0;
  size_t loop_depth_ = 0;           // loops around the current place, within its macro
  std::vector<MacroCode*> macros_;  // macros around it
  std::vector<Error> pending_unknown_;
  std::vector<Error> unknown_;
};

}  // namespace

Result<std::unique_ptr<const Ast>> ParseTemplate(std::string_view source) {
  MIRAGE_TRY_ASSIGN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace mirage::text::jinja
