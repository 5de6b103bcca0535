#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mirage beside llama.cpp on the same files, alternated in one run: medians, spread and their ratio.

    compare.py --mirage build/release/tools/mirage --llama LLAMA/build/bin -m a.gguf -m b.gguf [--runs 5] [--threads 2]

Measures prefill of 512 tokens, decode of 128 at batch 1, decode at batch 8 and 16 (total tokens per second), the time to
load and answer an 8-token prompt with one token, and the peak resident memory of that. Whole processes, page cache warm.
Prints a Markdown table and, with --json, the raw samples.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

PREFILL, DECODE, BATCHES = 512, 128, (8, 16)


def run(command):
    """stdout, stderr, seconds, peak resident bytes of one process."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate()
    seconds = time.monotonic() - begin
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexit {process.returncode}\n{err[-2000:]}")
    return out, err, seconds


def peak_bytes(command):
    """The child's own ru_maxrss, by waiting for it alone."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}\nstatus {status}")
    return usage.ru_maxrss * 1024


def mirage(options, model):
    out, _, _ = run([options.mirage, "bench", "-m", model, "-t", str(options.threads), "--pp", str(PREFILL), "--tg",
                     str(DECODE), "--batch", ",".join(map(str, (1,) + BATCHES)), "--json"])
    report = json.loads(out)
    decode = {entry["batch"]: entry["tok_s"] for entry in report["tg"]}
    first = [options.mirage, "run", "-m", model, "-t", str(options.threads), "-c", "512", "--raw", "-p",
             "The capital of France is the city", "-n", "1", "--temp", "0"]
    return {"prefill": report["pp"]["tok_s"], "decode": decode[1],
            **{f"batch {n}": decode[n] for n in BATCHES},
            "first token, s": run(first)[2], "peak MiB": peak_bytes(first) / 2**20}


def llama(options, model):
    binaries = options.llama
    out, _, _ = run([f"{binaries}/llama-bench", "-m", model, "-t", str(options.threads), "-p", str(PREFILL), "-n",
                     str(DECODE), "-r", "1", "-o", "json"])
    result = {}
    for entry in json.loads(out):
        result["prefill" if entry["n_prompt"] else "decode"] = entry["avg_ts"]
    out, err, _ = run([f"{binaries}/llama-batched-bench", "-m", model, "-t", str(options.threads), "-c", "4096", "-npp",
                       "16", "-ntg", str(DECODE), "-npl", ",".join(map(str, BATCHES))])
    for line in (out + err).splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 8 and cells[1].isdigit() and int(cells[3]) in BATCHES:
            result[f"batch {cells[3]}"] = float(cells[8])
    first = [f"{binaries}/llama-completion", "-m", model, "-t", str(options.threads), "-c", "512", "-no-cnv", "-p",
             "The capital of France is the city", "-n", "1", "--temp", "0", "--no-warmup"]
    result["first token, s"] = run(first)[2]
    result["peak MiB"] = peak_bytes(first) / 2**20
    return result


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            match = re.match(r"model name\s*: (.*)", line)
            if match:
                return match.group(1)
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirage", required=True, help="the mirage command")
    parser.add_argument("--llama", required=True, help="the folder of llama.cpp's tools")
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="a file for the raw samples")
    options = parser.parse_args()

    samples = {}
    for model in options.model:
        ours, theirs = [], []
        for _ in range(options.runs):
            ours.append(mirage(options, model))
            theirs.append(llama(options, model))
        samples[os.path.basename(model)] = {"mirage": ours, "llama.cpp": theirs}

    print(f"{cpu_name()}, {options.threads} threads, medians of {options.runs} alternated runs (least..most)\n")
    print("| model | what | Mirage | llama.cpp | ratio |\n|--|--|--|--|--|")
    for name, peers in samples.items():
        for what in peers["mirage"][0]:
            def cell(runs):
                values = sorted(run[what] for run in runs)
                return statistics.median(values), f"{statistics.median(values):.4g} ({values[0]:.4g}..{values[-1]:.4g})"
            ours, our_text = cell(peers["mirage"])
            theirs, their_text = cell(peers["llama.cpp"])
            print(f"| {name} | {what} | {our_text} | {their_text} | {ours / theirs:.2f} |")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"cpu": cpu_name(), "samples": samples}, out, indent=1)


if __name__ == "__main__":
    main()
