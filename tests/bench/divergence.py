#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What quantised weights cost in quality: Mirage and llama.cpp on the same file, beside the same weights in float32.

    divergence.py -m a.gguf [-m b.gguf] [--text FILE]

For each file, llama-quantize widens its weights to F32 and llama-perplexity computes with them, keys and values in F32 as
well: the reference. Then llama.cpp and Mirage (divergence_bench) compute the same positions with the file as it is. Prints
the mean Kullback-Leibler divergence from the reference, how often the likeliest token is the same, and the perplexity.

The text, unless given, is llama.cpp's own documentation, from the sources that tools/fetch_test_data.sh pins by checksum.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import peers


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        sys.exit(f"no {pattern} in\n{text[-3000:]}")
    return float(found.group(1))


def measure(options, llama, model, text, folder):
    wide = folder / "f32.gguf"
    base = folder / "reference"
    run([llama / "llama-quantize", "--allow-requantize", model, wide, "F32"])
    common = ["-t", options.threads, "-c", options.context, "--chunks", options.chunks]
    run([llama / "llama-perplexity", "-m", wide, "-f", text, "-ctk", "f32", "-ctv", "f32", *common,
         "--kl-divergence-base", base])
    wide.unlink()
    theirs = run([llama / "llama-perplexity", "-m", model, *common, "--kl-divergence-base", base, "--kl-divergence"])
    ours = run([options.divergence, model, base])
    base.unlink()
    yield ("llama.cpp", number(r"Mean\s+KLD:\s+([-\d.]+)", theirs), number(r"Same top p:\s+([\d.]+)", theirs),
           number(r"Mean PPL\(Q\)\s*:\s+([\d.]+)", theirs))
    yield ("Mirage", number(r"KL divergence ([-\d.]+)", ours), number(r"same top token ([\d.]+)", ours),
           number(r"perplexity ([\d.]+)", ours))
    yield ("F32", 0.0, 100.0, number(r"reference ([\d.]+)", ours))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--llama", help="folder of llama.cpp's programs; fetched and built when not given")
    parser.add_argument("--divergence", default=peers.REPOSITORY / "build/bench/tests/bench/divergence_bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=8, help="windows of the text; its half counts")
    options = parser.parse_args()
    llama = pathlib.Path(options.llama) if options.llama else peers.build_llama()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        text = options.text
        if text is None:
            text = folder / "text"
            pages = sorted(peers.llama_sources().glob("docs/*.md"))
            text.write_text("\n".join(page.read_text(encoding="utf-8") for page in pages), encoding="utf-8")
        print("| model | who | KL divergence | same top token | perplexity |\n|--|--|--|--|--|")
        for model in options.model:
            for who, divergence, same, perplexity in measure(options, llama, model, text, folder):
                print(f"| {os.path.basename(model)} | {who} | {divergence:.5f} | {same:.2f}% | {perplexity:.4f} |",
                      flush=True)


if __name__ == "__main__":
    main()
