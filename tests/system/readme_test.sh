#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's C example compiles without a warning and answers: readme_test.sh BUILD_LIBRARY MODEL_WRITER COMPILER
set -euo pipefail
library=$(realpath "$1") writer=$(realpath "$2") compiler=$3
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' "$root/README.md" > "$work/example.c"
[ -s "$work/example.c" ] || { echo "FAILED: README.md has no C example" >&2; exit 1; }
"$compiler" -std=c99 -pedantic -Wall -Wextra -Werror -I"$root/include" "$work/example.c" "$library" \
  -Wl,-rpath,"$(dirname "$library")" -o "$work/example"
"$writer" "$work/tiny.gguf"

"$work/example" "$work/tiny.gguf" "Hello" > "$work/answer"
[ -s "$work/answer" ] || { echo "FAILED: the example printed nothing" >&2; exit 1; }
if "$work/example" "$work/none.gguf" "Hello" 2> "$work/complaint"; then
  echo "FAILED: the example does not fail without a model" >&2
  exit 1
fi
grep -q "none.gguf" "$work/complaint" || { echo "FAILED: the complaint does not name the file" >&2; exit 1; }
