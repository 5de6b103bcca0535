// SPDX-License-Identifier: Apache-2.0
#pragma once

// The filters' tables, one per file of them.

#include <span>

#include "text/jinja/value.h"

namespace mirage::text::jinja {

std::span<const NativeFunction> TextFilters();      // filters_text.cc
std::span<const NativeFunction> SequenceFilters();  // filters_sequence.cc
std::span<const NativeFunction> ValueFilters();     // filters_value.cc

}  // namespace mirage::text::jinja
