// SPDX-License-Identifier: Apache-2.0
#pragma once

// The methods' tables, one per type.

#include <span>

#include "text/jinja/value.h"

namespace mirage::text::jinja {

std::span<const NativeFunction> StringMethods();  // methods_string.cc
std::span<const NativeFunction> DictMethods();    // methods_container.cc
std::span<const NativeFunction> SequenceMethods();
std::span<const NativeFunction> LoopMethods();
std::span<const NativeFunction> CyclerMethods();  // globals.cc

}  // namespace mirage::text::jinja
