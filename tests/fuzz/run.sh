#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes one target: run.sh SECONDS TARGET [merge]
#
#   run.sh 1800 gguf         half an hour from tests/fuzz/corpus/gguf; finds are kept in build-fuzz
#   run.sh 60 gguf merge     then adds to the corpus what covers something new
#
# Builds in build-fuzz (or $MIRAGE_FUZZ_BUILD) with clang. A failing input is left beside the finds; replay it by
# giving it to the program as its only argument.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2; }
seconds=$1 target=$2 mode=${3:-}
cd "$(dirname "$0")/../.."
build=${MIRAGE_FUZZ_BUILD:-build-fuzz}

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMIRAGE_FUZZ=ON \
  -DCMAKE_C_COMPILER="${CC:-clang-14}" -DCMAKE_CXX_COMPILER="${CXX:-clang++-14}" \
  -DMIRAGE_SANITIZE=fuzzer-no-link,address,undefined > /dev/null
ninja -C "$build" "${target}_fuzz"

program=$build/tests/fuzz/${target}_fuzz
corpus=tests/fuzz/corpus/$target
found=$build/tests/fuzz/found/$target
mkdir -p "$found" "$corpus"
"$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
  -artifact_prefix="$found/" "$found" "$corpus"
if [ "$mode" = merge ]; then
  "$program" -merge=1 -use_counters=0 -max_len=4096 "$corpus" "$found"
fi
