// SPDX-License-Identifier: Apache-2.0
#pragma once

// Limits: how much one template may use. A template is code from a model file and is not trusted.
//
// Errors name the limit by its field here. The compile-time ones below it bound recursion, so that
// the native stack is bounded too; the others are set per render.

#include <cstddef>
#include <cstdint>

namespace mirage::text::jinja {

struct Limits {
  uint64_t input_bytes = 64u << 20;   // the JSON text of a render's input
  uint64_t output_bytes = 64u << 20;  // the rendered text
  uint64_t string_bytes = 64u << 20;  // any one string
  uint64_t live_bytes = 512u << 20;   // all values of a render together
  uint64_t steps = 10'000'000;        // evaluated nodes, loop rounds, and bytes of text moved / 32
  uint64_t call_depth = 128;          // macros inside macros
  uint64_t range_items = 100'000;     // range(); Jinja's own sandbox has the same bound
};

inline constexpr size_t kMaxSourceBytes = 1u << 20;  // a template's text
inline constexpr size_t kMaxAstDepth = 256;          // nesting of statements, and of one expression
inline constexpr size_t kMaxValueDepth = 256;        // lists in lists, dicts in dicts
inline constexpr size_t kMaxEvalDepth = 512;  // expressions and bodies being evaluated at one time

}  // namespace mirage::text::jinja
