// SPDX-License-Identifier: Apache-2.0
#pragma once

// The parser: tokens to Ast, by Jinja's grammar and its priorities.
//
// An unknown filter or test is an error here, unless it stands in an `if` or a conditional
// expression, where Jinja lets it be until it is reached. include, import, from, extends, block and
// autoescape are refused by name: one template is all there is.

#include <memory>
#include <string_view>

#include "base/result.h"
#include "text/jinja/ast.h"

namespace mirage::text::jinja {

Result<std::unique_ptr<const Ast>> ParseTemplate(std::string_view source);

}  // namespace mirage::text::jinja
