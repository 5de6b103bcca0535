# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # the variables are for whoever sources this
# What ./get-started and ./check share; sourced, not run. The caller has set -euo pipefail and is in the repository.

MIRAGE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/mirage
mkdir -p "$MIRAGE_CACHE"

# What building, testing and fetching need; the groups of ./check add theirs.
CORE_PACKAGES="g++ cmake ninja-build pkg-config libexpected-dev libfmt-dev nlohmann-json3-dev libcli11-dev libgtest-dev
  libflatbuffers-dev flatbuffers-compiler libxxhash-dev
  libcmocka-dev libsimde-dev abigail-tools ca-certificates xz-utils python3 python3-venv"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# need_packages PACKAGE...: installs those that are missing, with apt, as root or through sudo.
need_packages() {
  local missing=() package sudo=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get > /dev/null || die "this script installs with apt; docs/HACKING.md lists what to install by hand"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || die "not root and no sudo; please install: ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing ${missing[*]}"
  # A repository of the machine that cannot be reached is apt's to report; what is needed comes from Debian.
  "${sudo[@]}" apt-get -qq update || true
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" \
    > "$MIRAGE_CACHE/apt.log" 2>&1 || { tail -20 "$MIRAGE_CACHE/apt.log" >&2; die "apt could not install ${missing[*]}"; }
}

# ccache makes a second clone quick, where there is one.
use_ccache() {
  if command -v ccache > /dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  fi
}

# configure PRESET: once; the build tool configures again by itself when a list changes.
configure() {
  if [ ! -e "build/$1/build.ninja" ]; then
    cmake --preset "$1" > "$MIRAGE_CACHE/configure-$1.log" 2>&1 ||
      { cat "$MIRAGE_CACHE/configure-$1.log" >&2; die "configuring $1 failed"; }
  fi
}
