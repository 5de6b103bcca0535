#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the tokenizers of src/text with the published ones, by hand and showing what differs.

    differential.py TEXT_ENCODE [--vocabs DIR] [--full] [--only NAME]

Pieces: for every pre-tokenizer family the published pre_tokenizer and ours must cut every text at the same places.
Ids: for every vocabulary of DIR (GGUF files) the published pipeline over the same tokens and merges must give the same
ids. --full takes every code point, which takes minutes; the test tokenizer_golden does the rest from goldens.
Exits 1 when anything differs that EXPECTED of tokenizer_reference.py does not explain.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile

import tokenizer_reference
import tokenizer_texts
import vocab_file


class Ours:
    """One run of text_encode over many texts."""

    def __init__(self, program):
        self.program = program

    def run(self, args, batch):
        data = b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in batch))
        done = subprocess.run([self.program, *args], input=data, capture_output=True, check=False)
        if done.returncode:
            sys.exit(f"{args}: {done.stderr.decode()}")
        lines = done.stdout.decode().split("\n")[:-1]
        assert len(lines) == len(batch), (len(lines), len(batch))
        return [[int(x) for x in line.split()] for line in lines]


def batches(items, count=20000):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


class Tally:
    def __init__(self):
        self.failed = False

    def report(self, what, total, differing):
        rules = [(accepts, why) for name, accepts, why in tokenizer_reference.EXPECTED if name in what]
        unexplained = [d for d in differing if not any(accepts(d[0]) for accepts, _ in rules)]
        verdict = "DIFFERS" if unexplained else "explained" if differing else "ok"
        print(f"{what:38} {total:9} texts {len(differing):7} differ  {verdict}", flush=True)
        if differing and not unexplained:
            print("   " + "; ".join(why for _, why in rules), flush=True)
        for text, want, got in unexplained[:3]:
            print(f"   {text[:40]!r}: want {str(want)[:90]} got {str(got)[:90]}", flush=True)
        self.failed |= bool(unexplained)


def compare(ours, args, reference, full, tally, what):
    total, differing = 0, []
    for batch in batches(tokenizer_texts.texts(full)):
        for text, want, got in zip(batch, reference(batch), ours.run(args, batch)):
            total += 1
            if want != got:
                differing.append((text, want, got))
    tally.report(what, total, differing)


def compare_pieces(ours, full, only, tally):
    for name in tokenizer_reference.FAMILIES:
        if not only or name == only:
            compare(ours, ["pieces", name], tokenizer_reference.pieces_of(name), full, tally, "pieces " + name)


def compare_ids(ours, folder, full, only, tally):
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".gguf") or (only and only not in name):
            continue
        vocab = vocab_file.from_gguf(os.path.join(folder, name))
        reference = tokenizer_reference.ids_of(vocab)
        if reference is None:
            print(f"ids {name:30} skipped: pre-tokenizer {vocab.get('pre')!r} has no published family here")
            continue
        with tempfile.NamedTemporaryFile() as flat:
            vocab_file.write(flat.name, **vocab)
            compare(ours, ["ids", flat.name, "--bare", "--plain"], reference, full, tally, "ids " + name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text_encode")
    parser.add_argument("--vocabs")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    ours, tally = Ours(options.text_encode), Tally()
    if options.vocabs:
        compare_ids(ours, options.vocabs, options.full, options.only, tally)
    else:
        compare_pieces(ours, options.full, options.only, tally)
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
