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

# Prints what changed from the baseline given; true when nothing did.
#
# exported-interfaces-only: else it reads every type of the C++ inside, for minutes. The headers decide what is private
# in the library alone: on a baseline, which holds nothing private, abidiff 2.2 trips over its own assertion.
same_as() {
  local status=0
  abidiff --exported-interfaces-only --drop-private-types --hd2 include "$1" "$library" || status=$?
  # 4 and 8 are bits for "changed" and "incompatible"; anything else compared nothing.
  case $status in
    0) return 0 ;;
    4 | 8 | 12) return 1 ;;
    *) fail "abidiff ended with status $status" ;;
  esac
}

case $check in
  symbols)
    tests/abi_check/exported_symbols.sh "$library" > "$work/symbols"
    grep -v '^mirage_' "$work/symbols" && fail "the library exports more than mirage_*"
    diff -u abi/symbols.txt "$work/symbols" || fail "exports differ from abi/symbols.txt"
    ;;
  types)
    require_debug_info
    same_as "$(baseline)" || fail "the ABI differs from $(baseline)"
    ;;
  canary)
    require_debug_info
    # The baseline with a member of a struct at another offset.
    sed "0,/layout-offset-in-bits='64'/s//layout-offset-in-bits='72'/" "$(baseline)" > "$work/moved.abi"
    cmp -s "$(baseline)" "$work/moved.abi" && fail "nothing was planted"
    same_as "$work/moved.abi" > /dev/null && fail "abidiff accepts a moved member"
    # And with one function that the library does not have.
    sed "s/mirage_version_string/mirage_version_text/g" "$(baseline)" > "$work/removed.abi"
    same_as "$work/removed.abi" > /dev/null && fail "abidiff accepts a removed function"
    true
    ;;
  *) fail "unknown check $check" ;;
esac
