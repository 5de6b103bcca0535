#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Line coverage that a target's committed corpus gives a folder: coverage.sh TARGET FOLDER [LEAST_PERCENT]
#
#   coverage.sh gguf src/format 90
#
# Builds in build-coverage (or $MIRAGE_COVERAGE_BUILD) with clang and llvm-cov; fails below LEAST_PERCENT.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 2; }
target=$1 folder=$2 least=${3:-0}
cd "$(dirname "$0")/../.."
build=${MIRAGE_COVERAGE_BUILD:-build-coverage}

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_C_COMPILER="${CC:-clang-14}" -DCMAKE_CXX_COMPILER="${CXX:-clang++-14}" \
  -DCMAKE_CXX_FLAGS="-fprofile-instr-generate -fcoverage-mapping" > /dev/null
ninja -C "$build" "${target}_fuzz" > /dev/null

program=$build/tests/fuzz/${target}_fuzz
LLVM_PROFILE_FILE=$build/$target.profraw "$program" "tests/fuzz/corpus/$target"
llvm-profdata-14 merge -o "$build/$target.profdata" "$build/$target.profraw"
report=$(llvm-cov-14 report "$program" -instr-profile="$build/$target.profdata" \
  -ignore-filename-regex='^/usr/' | grep -E "^Filename|$folder/" || true)
echo "$report" | awk -v folder="$folder" -v least="$least" '
  NR == 1 { next }
  # columns: file, regions x3, functions x3, lines, missed lines, cover, branches x3
  { lines += $8; missed += $9; printf "%-40s %6d lines %8s\n", $1, $8, $10 }
  END {
    if (lines == 0) { print folder ": no lines seen"; exit 1 }
    percent = 100 * (lines - missed) / lines
    printf "%s: %d of %d lines, %.1f%%\n", folder, lines - missed, lines, percent
    exit percent < least
  }'
