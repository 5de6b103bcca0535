#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The samples answer, and fail cleanly without a model: samples_test.sh HELLO CHAT MODEL_WRITER
set -euo pipefail
hello=$1 chat=$2 writer=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
"$writer" "$work/tiny.gguf"

# The samples draw with random seeds, and the tiny model's random answer may be empty now and then, or fill the context:
# not ten times.
within_ten_tries() {
  local tries=0
  until "$@"; do tries=$((tries + 1)); [ $tries -lt 10 ] || fail "$*"; done
}
hello_answers() { [ -n "$("$hello" "$work/tiny.gguf" Hello | tr -d '\0')" ]; }
chat_asks_again() {
  printf 'Hello\nAgain\n' | "$chat" "$work/tiny.gguf" > "$work/chat" && [ "$(grep -ac '^> ' "$work/chat")" -ge 1 ]
}
within_ten_tries hello_answers
within_ten_tries chat_asks_again
for sample in "$hello" "$chat"; do
  if [ "$sample" = "$hello" ]; then set -- "$work/none.gguf" Hello; else set -- "$work/none.gguf"; fi
  if "$sample" "$@" < /dev/null > /dev/null 2> "$work/complaint"; then fail "$sample accepts a missing model"; fi
  grep -q 'NOT_FOUND.*none.gguf' "$work/complaint" || fail "$sample does not name the missing file"
done
