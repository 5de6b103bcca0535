// SPDX-License-Identifier: Apache-2.0
#pragma once

// ParserBase: what the parser of statements and that of expressions share: the tokens, names by
// number, errors with their line, the depth of the trees that are made, and filters and tests that
// do not exist.

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/errors.h"
#include "text/jinja/lexer.h"
#include "text/jinja/limits.h"
#include "text/jinja/natives.h"

namespace mirage::text::jinja {

using Names = std::initializer_list<std::string_view>;

[[nodiscard]] inline bool IsOneOf(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class ParserBase {
 protected:
  explicit ParserBase(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

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

  std::unique_ptr<Ast> ast_ = std::make_unique<Ast>();
  std::vector<MacroCode*> macros_;      // around the current place
  std::vector<Error> pending_unknown_;  // errors if what they stand in is reached for sure
  std::vector<Error> unknown_;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::map<std::string, NameId, std::less<>> ids_;
};

}  // namespace mirage::text::jinja
