# SPDX-License-Identifier: Apache-2.0
"""Writes vocabularies for the test program encode_main: the flat file that tests/text/vocab_file.h reads.

    vocab_file.py VOCAB.gguf OUT
"""

import struct
import sys


def write(path, **fields):
    """Fields are named like the keys below tokenizer.ggml.; a dot is written as two underscores."""
    with open(path, "wb") as out:
        for key, value in fields.items():
            key = key.replace("__", ".").encode()
            if isinstance(value, bool):
                value = b"1" if value else b"0"
            elif isinstance(value, int):
                value = str(value).encode()
            elif isinstance(value, str):
                value = value.encode()
            elif isinstance(value, (list, tuple)):
                value = b"".join(struct.pack("<I", len(s)) + s for s in (t.encode() for t in value))
            out.write(struct.pack("<I", len(key)) + key + struct.pack("<Q", len(value)) + value)


NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # by GGUF type
STRING, ARRAY = 8, 9


def read_value(file, kind):
    if kind == STRING:
        return file.read(struct.unpack("<Q", file.read(8))[0]).decode()
    if kind != ARRAY:
        return read_numbers(file, kind, 1)[0]
    kind, count = struct.unpack("<IQ", file.read(12))
    return read_numbers(file, kind, count) if kind in NUMBERS else [read_value(file, kind) for _ in range(count)]


def read_numbers(file, kind, count):
    layout = f"<{count}{NUMBERS[kind]}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def from_gguf(path):
    with open(path, "rb") as file:
        magic, _, _, count = struct.unpack("<4sIQQ", file.read(24))
        assert magic == b"GGUF", path
        fields = {}
        for _ in range(count):
            key = read_value(file, STRING)
            fields[key] = read_value(file, *struct.unpack("<I", file.read(4)))
    out = {}
    keep = ("model pre tokens merges bos_token_id eos_token_id unknown_token_id seperator_token_id padding_token_id "
            "cls_token_id mask_token_id add_bos_token add_eos_token add_sep_token add_space_prefix "
            "remove_extra_whitespaces").split()
    for key in keep:
        if "tokenizer.ggml." + key in fields:
            out[key] = fields["tokenizer.ggml." + key]
    if "general.name" in fields:
        out["name"] = fields["general.name"]
    for key, code in (("scores", "f"), ("token_type", "B"), ("precompiled_charsmap", "B")):
        if "tokenizer.ggml." + key in fields:
            values = fields["tokenizer.ggml." + key]
            out[key] = struct.pack(f"<{len(values)}{code}", *values)
    return out


if __name__ == "__main__":
    write(sys.argv[2], **from_gguf(sys.argv[1]))
