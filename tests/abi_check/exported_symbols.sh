#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The symbols a library defines for others, one `name version-node` a line, sorted: exported_symbols.sh LIBRARY
set -euo pipefail
# Type A is the version nodes themselves.
nm -D --defined-only --with-symbol-versions "$1" | awk '$2 != "A" { sub("@@?", " ", $3); print $3 }' | LC_ALL=C sort
