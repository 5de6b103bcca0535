#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_tables.inc from the Unicode Character Database.

    pip install unicodedata2==16.0.0
    tools/make_unicode_table.py > src/text/unicode_tables.inc

Unicode 16.0 is the version of Oniguruma 6.9.10, the engine under the `tokenizers` library's regexes, so it is
the one that makes every code point split as in the published tokenizers (tests/text/differential.py proves it).
What unicodedata does not hold is listed here: White_Space, Script=Han, word characters that are neither letters,
marks, digits nor connectors, and the lower cases that came after Python's own table.
"""

import sys

import unicodedata2 as ucd

VERSION = "16.0.0"
CODE_POINTS = 0x110000
BLOCK = 128

# The order is that of mirage::text::Category in unicode.h.
CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So "
              "Zs Zl Zp Cc Cf Cs Co").split()

WHITE_SPACE = [(0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
               (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]
HAN = [(0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007),
       (0x3021, 0x3029), (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D),
       (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3), (0x16FF0, 0x16FF1), (0x20000, 0x2A6DF), (0x2A700, 0x2B739),
       (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x2F800, 0x2FA1D),
       (0x30000, 0x3134A), (0x31350, 0x323AF)]
# Alphabetic symbols; superscripts and fractions of Latin-1, which Oniguruma also takes for word characters.
OTHER_WORD = [(0xB2, 0xB3), (0xB9, 0xB9), (0xBC, 0xBE), (0x24B6, 0x24E9), (0x1F130, 0x1F149),
              (0x1F150, 0x1F169), (0x1F170, 0x1F189)]
# UnicodeData.txt, simple lowercase mappings added in versions 15.0 to 17.0; lower case is Rust's, which is ahead.
NEW_LOWER = {0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5,
             0xA7DA: 0xA7DB, 0xA7DC: 0x19B, **{cp: cp + 0x20 for cp in range(0x10D50, 0x10D66)},
             **{cp: cp + 0x1B for cp in range(0x16EA0, 0x16EB9)}}
# BertNormalizer and BertPreTokenizer stand on Unicode 8.0: where its category differs and they can tell (Cn unless
# another follows the colon).
BERT_CATEGORIES = """
61D 7FD 890-891 897-89F 8CA-8E2 9FD-9FE A76 AFA-AFF B55 C04 C3C C77 C84 D00 D3B-D3C D81 EBA ECE 166D:Po
1734:Mn 180F 1885-1886:Lo 1ABF-1ACE 1B4E-1B4F 1B7D-1B7F 1DF6-1DFB 2E43-2E4F 2E52-2E5D A82C A8C5 A8FF A9BD:Mc
105C9 105E4 10D24-10D27 10D69-10D6E 10EAB-10EAD 10EFC-10EFF 10F46-10F50 10F55-10F59 10F82-10F89 11070
11073-11074 110C2 110CD 111C9:Po 111CF 1123E 11241 1133B 11383 11385 1138E 11391 113BB-113C0 113C5 113C7-113C8
113CE 113D0 113D2 113D4-113D5 113D7-113D8 113E1-113E2 11438-1143F 11442-11444 11446 1144B-1144F 1145A-1145B
1145D-1145E 11660-1166C 116B9 1171E:Mn 1182F-11837 11839-1183B 11938 1193B-1193C 1193E 11943-11946 119D4-119D7
119DA-119DB 119E0 119E2 11A01-11A0A 11A33-11A38 11A3B-11A47 11A51-11A56 11A59-11A5B 11A8A-11A96 11A98-11A9C
11A9E-11AA2 11B00-11B09 11BE1 11C30-11C36 11C38-11C3D 11C3F 11C41-11C45 11C70-11C71 11C92-11CA7 11CAA-11CB0
11CB2-11CB3 11CB5-11CB6 11D31-11D36 11D3A 11D3C-11D3D 11D3F-11D45 11D47 11D90-11D91 11D95 11D97 11EF3-11EF4
11EF7-11EF8 11F00-11F01 11F36-11F3A 11F40 11F42-11F4F 11F5A 11FFF 12FF1-12FF2 13430-13440 13447-13455
1611E-16129 1612D-1612F 16D68-16D6A 16D6D-16D6F 16E97-16E9A 16F4F 16FE2 16FE4 1CF00-1CF2D 1CF30-1CF46
1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF
1E5EE-1E5EF 1E5FF 1E944-1E94A 1E95E-1E95F
"""
# The `tokenizers` library composes and decomposes by Unicode 9.0: later marks and composed characters are nothing to it.
NOT_NORMALIZED = """
7FD 897-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1ACE 1DF6-1DFA A82C 105C9 105E4 10D24-10D27 10D69-10D6D
10EAB-10EAC 10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B 11383 11385 1138E 11391 113C5 113C7-113C8 113CE-113D0
1145E 11839-1183A 11938 1193D-1193E 11943 119E0 11A34 11A47 11A99 11D42 11D44-11D45 11D97 11F41-11F42 16121-16128
1612F 16D68-16D6A 16FF0-16FF1 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF
"""


def parse_ranges(text):
    """(first, last) of "61D 890-891"."""
    spans = (item.partition("-") for item in text.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in spans]


def mark(ranges):
    return {cp for first, last in ranges for cp in range(first, last + 1)}


def emit(ctype, name, values, width=100):
    print(f"constexpr {ctype} {name}[{len(values)}] = {{")
    line = "   "
    for value in values:
        text = f" {value},"
        if len(line) + len(text) > width:
            print(line)
            line = "   "
        line += text
    print(line + "\n};\n")


def properties():
    white_space, han, word = mark(WHITE_SPACE), mark(HAN), mark(OTHER_WORD)
    number = {name: i for i, name in enumerate(CATEGORIES)}
    return [number[ucd.category(chr(cp))] | (cp in white_space) << 5 | (cp in han) << 6 |
            (cp in word) << 7 for cp in range(CODE_POINTS)]


def two_stage(values):
    """Cuts the values into blocks and keeps one of each kind."""
    blocks, index = {}, []
    for first in range(0, CODE_POINTS, BLOCK):
        index.append(blocks.setdefault(tuple(values[first:first + BLOCK]), len(blocks)))
    return index, [value for block in blocks for value in block]


def simple_ranges(mapping):
    """(first, last, delta, stride) runs of a one-to-one mapping; stride 2 covers alternating-case blocks."""
    runs = []
    for cp in sorted(mapping):
        delta = mapping[cp] - cp
        if runs:
            first, last, run_delta, stride = runs[-1]
            gap = cp - last
            if run_delta == delta and gap <= 2 and (stride == gap or first == last):
                runs[-1] = (first, cp, delta, gap)
                continue
        runs.append((cp, cp, delta, 1))
    return runs


def main():
    if ucd.unidata_version != VERSION:
        sys.exit(f"unicodedata2 holds Unicode {ucd.unidata_version}, this table is of {VERSION}")
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Unicode {VERSION}, written by tools/make_unicode_table.py: do not edit. Fields: see unicode.cc.\n")

    index, blocks = two_stage(properties())
    print(f"constexpr int kBlockShift = {BLOCK.bit_length() - 1};\n")
    emit("uint8_t" if max(index) < 256 else "uint16_t", "kPropertyBlock", index)
    emit("uint8_t", "kProperties", blocks)

    # Every code point but U+0130 lowers to one code point (SpecialCasing.txt); unicode.cc knows that one.
    lower = {cp: ord(chr(cp).lower()) for cp in range(CODE_POINTS)
             if ucd.category(chr(cp)) != "Cn" and len(chr(cp).lower()) == 1 and chr(cp).lower() != chr(cp)}
    runs = simple_ranges({**lower, **NEW_LOWER})
    emit("LowerRun", "kLowerRuns", ["{0x%X, 0x%X, %d, %d}" % run for run in runs])

    bert = []
    for item in BERT_CATEGORIES.split():
        span, _, category = item.partition(":")
        first, _, last = span.partition("-")
        bert.append("{0x%s, 0x%s, Category::k%s}" % (first, last or first, category or "Cn"))
    emit("BertRun", "kBertRuns", bert)

    # Full canonical decompositions, Hangul syllables left to arithmetic, and the pairs that compose.
    unknown = mark(parse_ranges(NOT_NORMALIZED))
    offsets, text, pairs = [], [], []
    for cp in range(CODE_POINTS):
        if 0xAC00 <= cp <= 0xD7A3 or 0xD800 <= cp <= 0xDFFF or cp in unknown:
            continue
        nfd = ucd.normalize("NFD", chr(cp))
        if nfd == chr(cp):
            continue
        offsets.append((cp, len(text), len(nfd)))
        text.extend(ord(c) for c in nfd)
        if ucd.normalize("NFC", chr(cp)) == chr(cp):
            pairs.append((*(int(part, 16) for part in ucd.decomposition(chr(cp)).split()), cp))
    emit("Decomposition", "kDecompositions", ["{0x%X, %d, %d}" % o for o in offsets])
    emit("char32_t", "kDecomposed", ["0x%X" % cp for cp in text])
    emit("Composition", "kCompositions", ["{0x%X, 0x%X, 0x%X}" % pair for pair in sorted(pairs)])

    ccc = []
    for cp in range(CODE_POINTS):
        value = ucd.combining(chr(cp))
        if not value or cp in unknown:
            continue
        if ccc and ccc[-1][1] == cp - 1 and ccc[-1][2] == value:
            ccc[-1][1] = cp
        else:
            ccc.append([cp, cp, value])
    emit("CombiningRun", "kCombiningRuns", ["{0x%X, 0x%X, %d}" % tuple(r) for r in ccc])


if __name__ == "__main__":
    main()
