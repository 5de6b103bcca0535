#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library against the committed baselines: abi_check.sh LIBRARY CHECK
#
#   CHECK  symbols  exactly abi/symbols.txt is exported, all of it mirage_*
#          types    abidiff finds no change against abi/mirage-<architecture>.abi
#          canary   abidiff does find a planted change: the check above can fail
#
# A wanted change: tools/update_abi_baseline.sh and a line in CHANGELOG.md.
set -euo pipefail
library=$(realpath "$1") check=$2
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

baseline() {
  local architecture
  architecture=$(readelf -h "$library" | sed -n 's/.*Machine:.*X86-64.*/x86_64/p; s/.*Machine:.*AArch64.*/aarch64/p')
  echo "abi/mirage-$architecture.abi"
}

# abidiff says "no change" for a library without debug information, whatever it holds.
require_debug_info() {
  readelf -S "$library" | grep -q '\.debug_info' || fail "$library has no debug information: build with -g"
}

diff_against() {
  abidiff --drop-private-types --hd1 include --hd2 include "$1" "$library"
}

# abidiff 2.2 aborts on some files its own abidw wrote (an assertion in its reader): then nothing was compared, and the
# test is skipped rather than passed.
require_readable_baseline() {
  local status=0
  diff_against "$(baseline)" > /dev/null 2>&1 || status=$?
  if [ $status -ge 128 ]; then
    echo "skipped: abidiff cannot read $(baseline) (it ended with signal $((status - 128)))"
    exit 77
  fi
}

case $check in
  symbols)
    tests/abi_check/exported_symbols.sh "$library" > "$work/symbols"
    grep -v '^mirage_' "$work/symbols" && fail "the library exports more than mirage_*"
    diff -u abi/symbols.txt "$work/symbols" || fail "exports differ from abi/symbols.txt"
    ;;
  types)
    require_debug_info
    require_readable_baseline
    diff_against "$(baseline)" || fail "the ABI differs from $(baseline) (abidiff status $?)"
    ;;
  canary)
    require_debug_info
    require_readable_baseline
    # The baseline with one member of mirage_error at another offset.
    sed "0,/layout-offset-in-bits='64'/s//layout-offset-in-bits='72'/" "$(baseline)" > "$work/moved.abi"
    cmp -s "$(baseline)" "$work/moved.abi" && fail "nothing was planted"
    diff_against "$work/moved.abi" > /dev/null && fail "abidiff accepts a moved member"
    # And with one function fewer in the library than in the baseline.
    sed "s/mirage_version_string/mirage_version_text/g" "$(baseline)" > "$work/removed.abi"
    diff_against "$work/removed.abi" > /dev/null && fail "abidiff accepts a removed function"
    true
    ;;
  *) fail "unknown check $check" ;;
esac
