#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Renews what the ABI tests compare with: update_abi_baseline.sh LIBRARY
#
# Writes abi/symbols.txt (what the library exports, with version nodes) and abi/mirage-<architecture>.abi (types and
# functions of the public headers). Run it on purpose, with the change log's line about the ABI in the same commit.
# LIBRARY is a build of this tree with full debug information (-g), e.g. build/release/abi/libmirage.so.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 2; }
cd "$(dirname "$0")/.."
readelf -S "$1" | grep -q '\.debug_info' || { echo "$1 has no debug information" >&2; exit 1; }
tests/abi_check/exported_symbols.sh "$1" > abi/symbols.txt
architecture=$(readelf -h "$1" | sed -n 's/.*Machine:.*X86-64.*/x86_64/p; s/.*Machine:.*AArch64.*/aarch64/p')
abidw --exported-interfaces-only --headers-dir include --drop-private-types --no-corpus-path --no-comp-dir-path \
  --out-file "abi/mirage-$architecture.abi" "$1"
echo "abi/symbols.txt: $(wc -l < abi/symbols.txt) symbols; abi/mirage-$architecture.abi"
