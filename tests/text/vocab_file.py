# SPDX-License-Identifier: Apache-2.0
"""Writes vocabularies for the test program encode_main: the flat file that tests/text/vocab_file.h reads.

    vocab_file.py VOCAB.gguf OUT      (needs the gguf package)
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


def from_gguf(path):
    import gguf
    import numpy as np
    fields = gguf.GGUFReader(path).fields
    out = {}
    keep = ("model pre tokens merges bos_token_id eos_token_id unknown_token_id seperator_token_id padding_token_id "
            "cls_token_id mask_token_id add_bos_token add_eos_token add_sep_token add_space_prefix "
            "remove_extra_whitespaces").split()
    for key in keep:
        field = fields.get("tokenizer.ggml." + key)
        if field is not None:
            out[key] = field.contents()
    if "general.name" in fields:
        out["name"] = fields["general.name"].contents()
    for key, dtype in (("scores", "<f4"), ("token_type", "u1"), ("precompiled_charsmap", "u1")):
        field = fields.get("tokenizer.ggml." + key)
        if field is not None:
            out[key] = np.array(field.contents()).astype(dtype).tobytes()
    return out


if __name__ == "__main__":
    write(sys.argv[2], **from_gguf(sys.argv[1]))
