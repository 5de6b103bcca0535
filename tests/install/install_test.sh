#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the build, moves the tree, and builds a consumer against it: install_test.sh BUILD_DIR WAY
#
#   WAY  files       what is installed, and that it can be moved
#        pkg-config  consumer through the pkg-config file
#        cmake       consumer through the CMake package, and the versions it must refuse
set -euo pipefail
build=$1 way=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$work/first" > /dev/null
mv "$work/first" "$work/moved"
prefix=$work/moved
library=$(find "$prefix" -name 'libmirage.so.0')
[ -n "$library" ] || fail "no libmirage.so.0 is installed"
libdir=$(dirname "$library")
version=$(sed -n 's/^Version: //p' "$libdir/pkgconfig/mirage.pc")

check_files() {
  local file
  for file in include/mirage/mirage.h bin/mirage share/doc/mirage/LICENSE share/doc/mirage/NOTICE \
    share/doc/mirage/THIRD_PARTY_NOTICES.md; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
  done
  [ "$(readlink "$libdir/libmirage.so")" = libmirage.so.0 ] || fail "libmirage.so is not a link to libmirage.so.0"
  [ "$(readlink "$libdir/libmirage.so.0")" = "libmirage.so.$version" ] || fail "libmirage.so.0 is not libmirage.so.$version"
  readelf -d "$library" | grep -q 'SONAME.*\[libmirage.so.0\]' || fail "the SONAME is not libmirage.so.0"
  readelf -d "$library" | grep -qE 'RPATH|RUNPATH' && fail "the library has a search path"
  readelf -d "$library" | grep -q 'NODELETE' || fail "the library may be unloaded"
  # What a C program has anyway, and nothing else.
  local needed
  needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|libpthread|libdl|ld-linux.*)\.so' || true)
  [ -z "$needed" ] || fail "the library needs $needed"
  # A moved tree works: the command finds its library, the texts name no folder of the build.
  "$prefix/bin/mirage" --version | grep -qF "$version" || fail "the moved command does not say its version"
  grep -rIlF -e "$work/first" -e "$build" "$prefix" && fail "installed texts name the build's folders"
  return 0
}

run_consumer() {
  LD_LIBRARY_PATH=$libdir "$1" | grep -qF "mirage $version" || fail "the consumer did not run"
}

case $way in
  files) check_files ;;
  pkg-config)
    export PKG_CONFIG_PATH=$libdir/pkgconfig
    pkg-config --exact-version="$version" mirage || fail "pkg-config has another version"
    # shellcheck disable=SC2046  # flags are words
    cc -std=c99 -pedantic -Wall -Werror -D_POSIX_C_SOURCE=200809L "$here/consumer/consumer.c" -o "$work/consumer" \
      $(pkg-config --cflags --libs mirage)
    run_consumer "$work/consumer"
    ;;
  cmake)
    configure() {
      cmake -S "$here/consumer" -B "$work/build" -G Ninja --fresh -DCMAKE_PREFIX_PATH="$prefix" \
        -DWANTED_VERSION="$1" > "$work/log" 2>&1
    }
    configure "${version%.*}" || fail "find_package(mirage ${version%.*}): $(cat "$work/log")"
    ninja -C "$work/build" > "$work/log" 2>&1 || fail "$(cat "$work/log")"
    run_consumer "$work/build/consumer"
    configure 0.0 && fail "find_package(mirage 0.0) accepted $version"
    configure 0.99 && fail "find_package(mirage 0.99) accepted $version"
    configure 1.0 && fail "find_package(mirage 1.0) accepted $version"
    true
    ;;
  *) fail "unknown way $way" ;;
esac
