#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/jinja/character_tables.inc from Python's own str methods.

Templates are defined by what Python's str does, so the tables are asked of Python itself and not of a
Unicode data file. The version they answer for is printed into the head of the table.

    python3 tests/text/jinja_make_characters.py > src/text/jinja/character_tables.inc
"""
import sys
import unicodedata

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def strided(points):
    """Packs increasing numbers into (first, last, stride) runs; stride is 1 or 2."""
    runs, i = [], 0
    while i < len(points):
        stride = 1
        if i + 1 < len(points) and points[i + 1] - points[i] == 2:
            stride = 2
        j = i
        while j + 1 < len(points) and points[j + 1] - points[j] == stride:
            j += 1
        if j == i:
            stride = 1
        runs.append((points[i], points[j], stride))
        i = j + 1
    return runs


def property_table(name, has):
    print(f"constexpr Run {name}[] = {{")
    row(f"{{{a:#x}, {b:#x}, {s}}}" for a, b, s in strided([c for c in POINTS if has(chr(c))]))


def mapping_table(name, convert):
    """Single code point mappings, as runs that share one distance. None means no entry."""
    by_delta = {}
    for c in POINTS:
        to = convert(chr(c))
        if to is not None and len(to) == 1:
            by_delta.setdefault(ord(to) - c, []).append(c)
    runs = sorted((*run, delta) for delta, points in by_delta.items() for run in strided(points))
    # Runs of stride 2 may interleave; the search needs disjoint ones.
    split = []
    for i, (a, b, s, d) in enumerate(runs):
        nearest = runs[i + 1][0] if i + 1 < len(runs) else 0x110000
        overlaps = b >= nearest or (split and split[-1][1] >= a)
        split += [(c, c, 1, d) for c in range(a, b + 1, s)] if overlaps and s == 2 else [(a, b, s, d)]
    split.sort()
    assert all(x[1] < y[0] for x, y in zip(split, split[1:])), name
    print(f"constexpr Shift {name}[] = {{")
    row(f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in split)


def expansion_table(name, convert):
    print(f"constexpr Expansion {name}[] = {{")
    cells = []
    for c in POINTS:
        to = convert(chr(c))
        if len(to) > 1:
            to += "\0" * (3 - len(to))
            cells.append("{%#x, {%s}}" % (c, ", ".join(f"{ord(x):#x}" for x in to)))
    row(cells)


def row(cells):
    line = "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 100:
            print(line)
            line = "   "
        line += f" {cell},"
    print(line)
    print("};")


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Made by tests/text/jinja_make_characters.py; Unicode", unicodedata.unidata_version + ".")
    print("// clang-format off")
    property_table("kUnprintable", lambda s: not s.isprintable())
    property_table("kAlpha", str.isalpha)
    property_table("kNumeric", str.isnumeric)
    property_table("kDigit", str.isdigit)
    property_table("kDecimal", str.isdecimal)
    property_table("kLower", str.islower)
    property_table("kUpper", str.isupper)
    property_table("kTitle", lambda s: s.istitle() and not s.isupper())
    mapping_table("kToLower", lambda s: s.lower() if s.lower() != s else None)
    mapping_table("kToUpper", lambda s: s.upper() if s.upper() != s else None)
    # Only where title case differs from upper case; some of these map to themselves.
    mapping_table("kToTitle", lambda s: s.title() if s.title() != s.upper() else None)
    expansion_table("kExpandLower", str.lower)
    expansion_table("kExpandUpper", str.upper)
    expansion_table("kExpandTitle", str.title)
    print("// clang-format on")


if __name__ == "__main__":
    sys.exit(main())
