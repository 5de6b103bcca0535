#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every matmul and attention by itself, beside what the machine can do: a table, and a picture of rooflines.

    roofline.py --kernels build/bench/tests/bench/kernels_bench [--threads 2] [--isa avx2] [--svg out.svg]

The best of --repetitions counts, since other users of a machine only ever make a kernel slower.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "build/bench/tests/bench/kernels_bench"
COLOURS = ("#0b6", "#08c", "#c40", "#93c", "#a80", "#088", "#c06", "#555", "#36f", "#690", "#f60", "#066", "#906", "#999")
# Multiply-adds of bytes with unsigned weights, with signed ones, and of float32.
PEAKS = ("unsigned", "signed", "float")


def run_kernels(program, threads, *options):
    """The report of kernels_bench, as Google Benchmark writes it."""
    done = subprocess.run([program, "--benchmark_format=json", *options], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "MIRAGE_BENCH_THREADS": str(threads)})
    return json.loads(done.stdout)


def peaks_of(context, isa=None):
    """Of the named table of kernels, else the fastest: multiply-adds per second, and bytes read."""
    table = isa or context["fastest"]
    return {"table": table, "read": float(context["read"]),
            **{name: float(context[f"{table}/{name}"]) for name in PEAKS}}


def machine_peaks(program, threads, isa=None):
    # The context is printed beside results only: the shortest of them.
    report = run_kernels(program, threads, "--benchmark_filter=generic/Q4_1/smollm2-135m/attn_q/M1(/.*)?$",
                         "--benchmark_min_time=0.001")
    return peaks_of(report["context"], isa)


def best_of(report):
    """The fastest repetition of each benchmark, by its name."""
    best = {}
    for entry in report["benchmarks"]:
        name = entry["run_name"].removesuffix("/real_time")
        if entry.get("run_type") == "iteration" and entry["GMAC/s"] > best.get(name, {"GMAC/s": 0})["GMAC/s"]:
            best[name] = entry
    return best


def table(best):
    """Lines of a Markdown table: a row for each weight, a column for each number of tokens."""
    kernels = {}
    for name, entry in best.items():
        _, kind, model, what, tokens = name.split("/")
        kernels.setdefault((kind, f"{model} {what}"), {})[int(tokens.removeprefix("M"))] = entry
    counts = sorted({tokens for row in kernels.values() for tokens in row})
    yield "| type | weight | " + " | ".join(f"{n} token{'s' * (n > 1)}" for n in counts) + " |"
    yield "|--|--|" + "--|" * len(counts)
    for (kind, weight), row in kernels.items():
        cells = []
        for tokens in counts:
            entry = row.get(tokens)
            if entry is None:
                cells.append("")
            elif tokens == 1:
                cells.append(f"{entry['GB/s']:.1f} GB/s, {entry['%read']:.0f}%")
            else:
                part = f", {entry['%peak']:.0f}%" if "%peak" in entry else ""
                cells.append(f"{entry['GMAC/s']:.0f} GMAC/s{part}")
        yield f"| {kind} | {weight} | " + " | ".join(cells) + " |"


def draw(path, best, peaks):
    """GMAC/s over multiply-adds per byte of weights, both logarithmic, under the roofs of the machine."""
    points = {}
    for name, entry in best.items():
        kind = name.split("/")[1]
        if kind != "attention":
            points.setdefault(kind, []).append((entry["GMAC/s"] / entry["GB/s"], entry["GMAC/s"]))
    every = [point for kind in points.values() for point in kind]
    if not every:
        sys.exit("only matmuls are drawn")
    width, height, margin = 760, 480, 60
    left, right = min(x for x, _ in every) / 1.5, max(x for x, _ in every) * 1.5
    low = min(y for _, y in every) / 2
    high = max(*(y for _, y in every), *(peaks[name] / 1e9 for name in PEAKS)) * 1.5

    def place(x, y):
        return (margin + math.log(x / left) / math.log(right / left) * (width - 3 * margin),
                height - margin - math.log(y / low) / math.log(high / low) * (height - 2 * margin))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             f'font-size="11"><rect width="{width}" height="{height}" fill="white"/>']
    same = peaks["signed"] > 0.97 * peaks["unsigned"]  # one roof for both
    for name in (name for name in PEAKS if peaks[name] and not (same and name == "signed")):
        peak, read = peaks[name] / 1e9, peaks["read"] / 1e9
        bend = min(max(peak / read, left), right)
        line = " ".join("{:.1f},{:.1f}".format(*place(x, min(peak, x * read))) for x in (left, bend, right))
        parts.append(f'<polyline points="{line}" fill="none" stroke="#333" stroke-dasharray="4 3"/>')
        x, y = place(right, peak)
        parts.append(f'<text x="{x - 4:.1f}" y="{y - 5:.1f}" text-anchor="end">{name} peak {peak:.0f}</text>')
    for i, (kind, found) in enumerate(points.items()):
        colour = COLOURS[i % len(COLOURS)]
        for point in found:
            x, y = place(*point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.7"/>')
        parts.append(f'<text x="{width - 2 * margin + 12}" y="{margin + 15 * i}" fill="{colour}">{kind}</text>')
    for decade in range(math.ceil(math.log10(left)), math.floor(math.log10(right)) + 1):
        x, _ = place(10.0**decade, low)
        parts.append(f'<text x="{x:.1f}" y="{height - margin + 16}" text-anchor="middle">{10.0**decade:g}</text>')
    for decade in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        _, y = place(left, 10.0**decade)
        parts.append(f'<text x="{margin - 6}" y="{y:.1f}" text-anchor="end">{10.0**decade:g}</text>')
    parts.append(f'<text x="{width / 2 - margin}" y="{height - 14}" text-anchor="middle">multiply-adds per byte of '
                 f'weights; {peaks["table"]}, GMAC/s; the slope is {peaks["read"] / 1e9:.1f} GB/s</text></svg>')
    pathlib.Path(path).write_text("\n".join(parts) + "\n", encoding="utf-8")


def measure(program, threads, isa, svg, kernels=".*", repetitions=3):
    """Prints the table of one instruction set, and draws it."""
    report = run_kernels(program, threads, f"--benchmark_filter=^{isa}/{kernels}", "--benchmark_min_time=0.05",
                         f"--benchmark_repetitions={repetitions}")
    best = best_of(report)
    if not best:
        sys.exit(f"no kernel is called {isa}/{kernels}")
    peaks = peaks_of(report["context"], isa)
    print(f"Kernels {isa}, {threads} threads, the best of {repetitions}; peaks {peaks['unsigned'] / 1e9:.0f} (int8; "
          f"weights with a sign: {peaks['signed'] / 1e9:.0f}) and {peaks['float'] / 1e9:.0f} GMAC/s (float32), reads "
          f"{peaks['read'] / 1e9:.1f} GB/s. For one token: of the bandwidth; for more: of the peak.\n")
    print("\n".join(table(best)))
    if svg:
        draw(svg, best, peaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", default=str(KERNELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", help="a table of kernels, such as avx2; the fastest when not given")
    parser.add_argument("--filter", default=".*", help="a regular expression after the table's name, such as Q4_K/.*")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--svg")
    options = parser.parse_args()
    isa = options.isa or machine_peaks(options.kernels, options.threads)["table"]
    measure(options.kernels, options.threads, isa, options.svg, options.filter, options.repetitions)


if __name__ == "__main__":
    main()
