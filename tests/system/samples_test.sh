#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The samples answer, and fail cleanly without a model: samples_test.sh HELLO CHAT MODEL_WRITER
set -euo pipefail
hello=$1 chat=$2 writer=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
"$writer" "$work/tiny.gguf"

# The sample draws with a random seed, and the tiny model's random answer may be empty now and then: not ten times.
answers() { [ -n "$("$hello" "$work/tiny.gguf" Hello | tr -d '\0')" ]; }
tries=0
until answers; do tries=$((tries + 1)); [ $tries -lt 10 ] || fail "hello printed nothing"; done
printf 'Hello\nAgain\n' | "$chat" "$work/tiny.gguf" > "$work/chat"
[ "$(grep -ac '^> ' "$work/chat")" -ge 1 ] || fail "chat did not ask"
for sample in "$hello" "$chat"; do
  if [ "$sample" = "$hello" ]; then set -- "$work/none.gguf" Hello; else set -- "$work/none.gguf"; fi
  if "$sample" "$@" < /dev/null > /dev/null 2> "$work/complaint"; then fail "$sample accepts a missing model"; fi
  grep -q 'NOT_FOUND.*none.gguf' "$work/complaint" || fail "$sample does not name the missing file"
done
