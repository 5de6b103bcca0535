#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts mimalloc's sources at third_party/mimalloc/source, from the Debian source package and by its checksum.
#
# apt downloads it with lists of its own in a temporary folder, so the machine's package lists stay as they are.
# The archive is kept in ${XDG_CACHE_HOME:-~/.cache}/mirage.
set -euo pipefail

archive=mimalloc_2.0.9+ds.orig.tar.xz
sha256=cbc9d207ff105ad1f0cb739c378076143a6452b8d0624309cea0abfb040e972b
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mirage

is_pinned() { echo "$sha256  $1" | sha256sum --check --status 2> /dev/null; }

# apt with a private copy of this machine's sources, asked for source packages.
apt_source() {
  apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
    -o Dir::State::Lists="$work/lists" -o APT::Sandbox::User="$(id -un)" "$@"
}

download() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/sources" "$work/lists/partial" "$work/download"
  # Debian's own archive alone: other repositories of the machine are not asked.
  local list
  for list in /etc/apt/sources.list.d/*.sources; do
    if grep -qs 'debian-archive-keyring\|Suites:.*bookworm' "$list"; then
      sed 's/^Types:.*/Types: deb-src/' "$list" > "$work/sources/$(basename "$list")"
    fi
  done
  if [ -s /etc/apt/sources.list ]; then
    sed -n 's/^deb\(-src\)\? /deb-src /p' /etc/apt/sources.list | sort -u > "$work/sources/main.list"
  fi
  apt_source update
  (cd "$work/download" && apt_source source --download-only mimalloc=2.0.9+ds-2)
  is_pinned "$work/download/$archive" || {
    echo "fetch.sh: $archive is not the pinned file ($sha256)" >&2
    exit 1
  }
  mkdir -p "$cache"
  mv "$work/download/$archive" "$cache/$archive"
}

if [ -e "$here/source/.sha256" ] && [ "$(cat "$here/source/.sha256")" = "$sha256" ]; then exit 0; fi
is_pinned "$cache/$archive" || download
rm -rf "$here/source.part" "$here/source"
mkdir "$here/source.part"
tar -xJf "$cache/$archive" -C "$here/source.part" --strip-components=1
echo "$sha256" > "$here/source.part/.sha256"
mv "$here/source.part" "$here/source"
