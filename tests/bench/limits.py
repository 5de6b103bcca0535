#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decode under a hard memory limit, beside llama.cpp: each in a control group of its own, taking turns.

    limits.py --mirage build/release/tools/mirage --llama LLAMA/build/bin -m model.gguf [--pack model.mirage]
              [--shares 1.2,1.1,1.0,0.95,0.8,0.6,0.4] [--runs 5] [--tokens 32] [--svg out.svg] [--several 8]

Needs root and a memory controller (version 1 or 2) in which a group can be made. The model is copied, so that no other
process has its pages. Beside each rate stands the bound that the disk sets: bytes of weights that a token reads and the
limit cannot hold beside all else, at the best rate of direct reads of this file found in a sweep of block sizes and
depths beside. Prints a Markdown table, what else is held by mirage's plan for the least limit, and with --several a
table of what a pass over the weights gives when it is shared: by so many sequences, and by so many tokens guessed in a
text that repeats itself. --svg draws the first.
"""
import argparse
import concurrent.futures
import json
import math
import mmap
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
PACK, GGUF, LLAMA = "Mirage, pack", "Mirage, GGUF", "llama.cpp"
# What goes on as it began, so that guesses come true.
REFRAIN = 4 * "north, south, east, west, up, down, left, right, near, far, early, late, high, low, hot, cold, dry.\n"


def forget(*paths):
    """Takes the files out of the page cache, whose pages would count for whoever read them first."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


class Group:
    """A memory control group with a limit."""

    def __init__(self):
        entries = [line.strip().split(":", 2) for line in open("/proc/self/cgroup")]
        v1 = [path for _, controllers, path in entries if controllers == "memory"]
        root = pathlib.Path("/sys/fs/cgroup/memory" if v1 else "/sys/fs/cgroup")
        own = (v1 or [path for _, controllers, path in entries if controllers == ""])[0]
        self.folder = root / own.lstrip("/") / f"limits-{os.getpid()}"
        self.limit_file = self.folder / ("memory.limit_in_bytes" if v1 else "memory.max")
        self.folder.mkdir()

    def run(self, command, limit, model):
        """Standard output of a command held to `limit` bytes; None when it did not survive."""
        forget(model)
        self.limit_file.write_text(str(limit))
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              preexec_fn=lambda: (self.folder / "cgroup.procs").write_text(str(os.getpid())))
        if done.returncode != 0:
            print(f"{command[0]} at {limit // MIB} MiB: exit {done.returncode}: {done.stderr.strip()[-200:]}",
                  file=sys.stderr)
            return None
        return done.stdout

    def remove(self):
        for _ in range(50):
            try:
                return self.folder.rmdir()
            except OSError:
                time.sleep(0.1)


def read_directly(path, block, depth, bytes_wanted):
    """Bytes per second of direct reads, `depth` at a time."""
    size = os.path.getsize(path) // block * block
    offsets = [i * block % size for i in range(max(depth, bytes_wanted // block))]

    def reader(mine):
        buffer = mmap.mmap(-1, block)  # page-aligned
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            return sum(os.preadv(descriptor, [buffer], offset) for offset in mine)
        finally:
            os.close(descriptor)

    with concurrent.futures.ThreadPoolExecutor(depth) as pool:
        begin = time.monotonic()
        total = sum(pool.map(reader, [offsets[i::depth] for i in range(depth)]))
        return total / (time.monotonic() - begin)


def best_direct_rate(path):
    return max(read_directly(path, block << 10, depth, 384 * MIB)
               for block in (128, 512, 2048) for depth in (1, 2, 4, 8, 16))


def mirage_rate(group, options, model, limit, batch=1, context=512):
    out = group.run([options.mirage, "bench", "-m", model, "-t", str(options.threads), "-c", str(context), "--pp", "0",
                     "--tg", str(options.tokens), "--batch", str(batch), "--json"], limit, model)
    return json.loads(out)["tg"][0]["tok_s"] if out else 0.0


def answer_rate(group, options, model, limit, guesses):
    out = group.run([options.mirage, "run", "-m", model, "-t", str(options.threads), "-c", "512", "--raw", "-p",
                     REFRAIN, "--max-tokens", str(options.tokens), "--temperature", "0", "--draft-tokens", str(guesses),
                     "--json"], limit, model)
    return json.loads(out)["timings"]["decode_tok_s"] if out else 0.0


def llama_rate(group, options, limit):
    out = group.run([f"{options.llama}/llama-bench", "-m", options.copy, "-t", str(options.threads), "-p", "0", "-n",
                     str(options.llama_tokens), "-r", "1", "-o", "json"], limit, options.copy)
    return json.loads(out)[0]["avg_ts"] if out else 0.0


def plan_of(options, model, limit):
    """What mirage would hold under a limit, by its own plan, in bytes."""
    command = [options.mirage, "inspect", model, "-c", "512", "--memory", str(limit), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["plan"]


def draw(path, rows, names):
    """Tokens per second over the limit, logarithmic, as SVG."""
    width, height, margin = 640, 400, 50
    limits = [row["limit"] for row in rows]
    rates = [row[name] for row in rows for name in names if row[name] > 0]
    low, high = math.log10(min(rates)), math.log10(max(rates))

    def place(limit, rate):
        x = margin + (limit - min(limits)) / (max(limits) - min(limits)) * (width - 2 * margin)
        y = height - margin - (math.log10(rate) - low) / (high - low) * (height - 2 * margin)
        return f"{x:.1f},{y:.1f}"

    colours = ("#0b6", "#08c", "#c40", "#888")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>']
    for name, colour in zip(names, colours):
        points = [place(row["limit"], row[name]) for row in rows if row[name] > 0]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="{colour}"/>' for p in points]
        parts.append(f'<text x="{margin + 8}" y="{margin + 16 * names.index(name)}" fill="{colour}">{name}</text>')
    for limit in limits:
        x, _ = place(limit, 10 ** low).split(",")
        parts.append(f'<text x="{x}" y="{height - margin + 18}" text-anchor="middle">{limit // MIB}</text>')
    for rate in sorted({10 ** round(low), 10 ** round((low + high) / 2), 10 ** round(high)}):
        _, y = place(limits[0], rate).split(",")
        parts.append(f'<text x="{margin - 6}" y="{y}" text-anchor="end">{rate:g}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">limit, MiB; tokens per second, '
                 'logarithmic</text></svg>')
    pathlib.Path(path).write_text("\n".join(parts) + "\n")


def names_of(options):
    return [PACK, GGUF] + ([LLAMA] if options.llama else [])


def measure(group, options, pack, limit):
    """Medians and spreads of all programs under one limit, and the bound by what was measured beside them."""
    measured = {PACK: lambda: mirage_rate(group, options, pack, limit),
                GGUF: lambda: mirage_rate(group, options, options.copy, limit)}
    if options.llama:
        measured[LLAMA] = lambda: llama_rate(group, options, limit)
    measured["ample"] = lambda: mirage_rate(group, options, pack, 4 * os.path.getsize(pack))
    if options.several:
        measured["batch"] = lambda: mirage_rate(group, options, pack, limit, options.several, context=64)
        measured["plain"] = lambda: answer_rate(group, options, pack, limit, 0)
        measured["guessing"] = lambda: answer_rate(group, options, pack, limit, options.several)
    measured["disk"] = lambda: best_direct_rate(pack)
    samples = {name: [] for name in measured}
    for _ in range(options.runs):
        # In an order of its own each time: a virtual disk gives more after a rest.
        for name in random.sample(list(measured), len(measured)):
            samples[name].append(measured[name]())
    row = {"limit": limit}
    for name, rates in samples.items():
        row[name] = statistics.median(rates)
        row[name + " spread"] = max(rates) - min(rates)
    if row["ample"] == 0:
        sys.exit("no rate with ample memory")
    plan = plan_of(options, pack, limit)
    weights = plan_of(options, pack, 4 * os.path.getsize(pack))["weights"]
    missing = max(0, weights + plan["total"] - plan["weights"] - limit)
    row["bound"] = 1 / max(1 / row["ample"], missing / row["disk"])
    print(json.dumps(row), file=sys.stderr)
    return row


def print_table(head, lines):
    for cells in (head, ["---"] * len(head), *lines):
        print("| " + " | ".join(cells) + " |")


def print_rates(rows, size, options):
    names = names_of(options)
    lines = []
    for row in rows:
        cells = [f"{row['limit'] / size:.2f}x", f"{row['limit'] / MIB:.0f}", f"{row['disk'] / 1e9:.2f}",
                 f"{row['bound']:.1f}"]
        cells += [f"{row[name]:.1f} ({row[name + ' spread']:.1f})" for name in names]
        cells += [f"{row[PACK] / row['bound']:.0%}", f"{row[GGUF] / row['bound']:.0%}"]
        if options.llama:
            cells.append(f"{row[PACK] / row[LLAMA]:.1f}" if row[LLAMA] else "-")
        lines.append(cells)
    print_table(["limit", "MiB", "disk, GB/s", "bound"] + names + ["of the bound, pack", "GGUF"] +
                (["to llama.cpp"] if options.llama else []), lines)


def print_several(rows, size, options):
    print(f"\nA pass shared by {options.several} sequences, and by up to {options.several} tokens guessed; pack\n")
    lines = [[f"{row['limit'] / size:.2f}x", f"{row[PACK]:.1f}", f"{row['batch']:.1f}", f"{row['plain']:.1f}",
              f"{row['guessing']:.1f}"] for row in rows]
    print_table(["limit", "one sequence", f"batch {options.several}", "an answer", "guessing"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirage", required=True)
    parser.add_argument("--llama", help="folder of llama.cpp's programs")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--pack", help="the same model packed; made here where it is not given")
    parser.add_argument("--shares", default="1.2,1.1,1.0,0.95,0.8,0.6,0.4", help="limits over the size of the model")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--several", type=int, help="sequences, and tokens guessed, that share a pass")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--llama-tokens", type=int, default=16)
    parser.add_argument("--folder", help="for the copies, on the disk to measure")
    parser.add_argument("--svg")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.copy = f"{folder}/model.gguf"
        pack = f"{folder}/model.mirage"
        shutil.copyfile(options.model, options.copy)
        if options.pack:
            shutil.copyfile(options.pack, pack)
        else:
            subprocess.run([options.mirage, "pack", options.copy, pack], check=True, capture_output=True)
        size = os.path.getsize(options.copy)
        group = Group()
        try:
            rows = [measure(group, options, pack, int(float(share) * size)) for share in options.shares.split(",")]
        finally:
            group.remove()
        least = plan_of(options, pack, rows[-1]["limit"])
    print(f"{os.path.basename(options.model)}, {size / MIB:.0f} MiB; medians of {options.runs} alternated runs and "
          "their spread, tokens/s\n")
    print_rates(rows, size, options)
    parts = ", ".join(f"{part} {least[part] / MIB:.1f}" for part in ("kv", "slots", "tables", "workspace", "sessions"))
    others = (least["total"] - least["weights"]) / MIB
    print(f"\nBeside weights at {rows[-1]['limit'] / MIB:.0f} MiB: {others:.1f} MiB: "
          f"{parts}")
    if options.several:
        print_several(rows, size, options)
    if options.svg:
        draw(options.svg, rows, names_of(options))


if __name__ == "__main__":
    main()
