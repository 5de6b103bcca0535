#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The public headers compile without a warning in every language they promise: header_test.sh INCLUDE_DIR
set -euo pipefail
include=$1
found=0

compile() {  # COMPILER LANGUAGE STANDARD SOURCE
  "$1" -x "$2" -std="$3" -pedantic -Wall -Wextra -Werror -I"$include" -fsyntax-only - <<< "$4" ||
    { echo "FAILED: $1 -std=$3" >&2; exit 1; }
}

both='#define MIRAGE_TOOLS_UNSTABLE
#include <mirage/tools.h>
mirage_error error = MIRAGE_ERROR_INIT;
int main(void) { return (int)mirage_abi_version(); }'

for compiler in gcc clang clang-14; do
  command -v "$compiler" > /dev/null || continue
  found=$((found + 1))
  for standard in c99 c11 c17; do compile "$compiler" c "$standard" "$both"; done
  for standard in c++11 c++20; do compile "$compiler" c++ "$standard" "$both"; done
done
[ "$found" -gt 0 ] || { echo "FAILED: no compiler was found" >&2; exit 1; }

# Without the macro tools.h must not compile: the reason is printed.
if gcc -x c -I"$include" -fsyntax-only - <<< '#include <mirage/tools.h>' 2> /dev/null; then
  echo "FAILED: tools.h compiles without MIRAGE_TOOLS_UNSTABLE" >&2
  exit 1
fi
