#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the published tokenizers make of the texts of tokenizer_texts.py, as checksums.

    tokenizer_make_goldens.py DIR OUT

OUT/texts.bin holds the texts, each as u32 bytes and the bytes. OUT/NAME.ids, for every vocabulary DIR/NAME.gguf, and
OUT/FAMILY.pieces, for every pre-tokenizer family, hold two u32 for each text: how many ids or pieces, and the CRC-32 of
them as u32. A count of 4294967295 says that the reference is not to be followed (EXPECTED of tokenizer_reference.py).
tools/fetch_test_data.sh runs this, with the packages of requirements.txt.
"""
import array
import multiprocessing
import pathlib
import struct
import sys
import zlib

import tokenizer_reference
import tokenizer_texts
import vocab_file

NOT_FOLLOWED = struct.pack("<II", 0xFFFFFFFF, 0)


def checksum(numbers):
    return struct.pack("<II", len(numbers), zlib.crc32(array.array("I", numbers).tobytes()))


def make(job):
    path, out = job
    texts = list(tokenizer_texts.texts(False))
    if path.suffix == ".gguf":
        reference, target = tokenizer_reference.ids_of(vocab_file.from_gguf(path)), out / (path.stem + ".ids")
    else:
        reference, target = tokenizer_reference.pieces_of(path.name), out / (path.name + ".pieces")
    if reference is None:
        return f"{path.name}: no published pipeline for its pre-tokenizer"
    results = reference(texts)
    with open(target, "wb") as file:
        for text, numbers in zip(texts, results):
            file.write(checksum(numbers) if tokenizer_reference.followed(path.name, text) else NOT_FOLLOWED)
    return None


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True)
    with open(out / "texts.bin", "wb") as file:
        for text in tokenizer_texts.texts(False):
            file.write(struct.pack("<I", len(text.encode())) + text.encode())
    paths = sorted(folder.glob("*.gguf")) + [pathlib.Path(family) for family in tokenizer_reference.FAMILIES]
    with multiprocessing.Pool() as pool:
        for why_not in pool.imap_unordered(make, [(path, out) for path in paths]):
            if why_not:
                print(why_not, file=sys.stderr)


if __name__ == "__main__":
    main()
