#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What gives way when sessions want more memory than there is: the policies beside each other, taking turns.

  tests/bench/pressure.py --bench build/bench/tests/bench/sessions_bench -m model.gguf --memory 150M [--sessions 16]

Each session asks again as soon as it has its answer: random prompts of 256 tokens, answers of 64. Memory is planned for
one session beside the weights; the others share what the limit leaves. Prints a Markdown table of medians.
"""
import argparse
import json
import statistics
import subprocess

POLICIES = ("recompute", "remap", "hybrid")


def percentile(values, share):
    values = sorted(values)
    return values[round(share * (len(values) - 1))]


def bytes_of(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def measure(args, policy):
    out = subprocess.run([args.bench, args.model, str(args.sessions), str(args.requests), str(args.prompt),
                          str(args.answer), str(args.threads), str(bytes_of(args.memory)), policy],
                         check=True, capture_output=True, text=True).stdout
    report = json.loads(out)
    first, gaps = report["first_token_s"], report["between_tokens_s"]
    tokens = len(first) + len(gaps)
    prompts = args.sessions * args.requests * args.prompt
    return {"tokens/s": tokens / report["seconds"], "first p50, s": percentile(first, 0.5),
            "first p99, s": percentile(first, 0.99), "between p50, ms": 1e3 * percentile(gaps, 0.5),
            "between p99, ms": 1e3 * percentile(gaps, 0.99),
            "computed again": report["prompt_tokens"] / prompts - 1, "lent, MiB": report["weight_bytes_lent"] / 2**20}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--memory", required=True)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2, help="of each session")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--answer", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    runs = {policy: [] for policy in POLICIES}
    for _ in range(args.runs):
        for policy in POLICIES:
            runs[policy].append(measure(args, policy))
    names = list(runs[POLICIES[0]][0])
    print(f"{args.sessions} sessions, limit {args.memory}, medians of {args.runs} alternated runs\n")
    print("| policy | " + " | ".join(names) + " |")
    print("|--" * (1 + len(names)) + "|")
    for policy, samples in runs.items():
        print(f"| {policy} | " + " | ".join(f"{statistics.median(s[name] for s in samples):.3g}" for name in names) + " |")


if __name__ == "__main__":
    main()
