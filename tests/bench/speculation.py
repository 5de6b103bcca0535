#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What guessing ahead gains: the same answers with and without, taking turns.

  tests/bench/speculation.py --mirage build/release/tools/mirage -m target.gguf [--draft-model small.gguf] [--runs 5]

Without a draft model guesses come from what was said before. Fails when an answer differs.
"""
import argparse
import json
import statistics
import subprocess
import sys

CHAT = "Write a Python function that parses a CSV file and returns a list of dictionaries."
EDIT = '''Here is a Python class:

class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        if not self.items:
            raise IndexError("pop from empty stack")
        return self.items.pop()

    def peek(self):
        if not self.items:
            raise IndexError("peek from empty stack")
        return self.items[-1]

Repeat the class exactly, with a method size added.'''


def answer(args, prompt, temperature, extra):
    command = [args.mirage, "run", "-m", args.model, "-p", prompt, "--max-tokens", "200", "--seed", "3", "--temperature",
               temperature, "--threads", str(args.threads), "--json", *extra]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirage", required=True)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--draft-model")
    parser.add_argument("--draft-tokens", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    guessing = ["--draft-tokens", str(args.draft_tokens)]
    if args.draft_model:
        guessing += ["--draft-model", args.draft_model]

    print("| text | temperature | plain, tokens/s | guessing, tokens/s | ratio | guessed | came true | of |")
    print("|--|--|--|--|--|--|--|--|")
    for name, prompt in (("chat", CHAT), ("code edited", EDIT)):
        for temperature in ("0", "0.8"):
            pairs = []
            for _ in range(args.runs):
                plain = answer(args, prompt, temperature, [])
                guessed = answer(args, prompt, temperature, guessing)
                if plain["tokens"] != guessed["tokens"]:
                    sys.exit(f"{name}, temperature {temperature}: guessing changed the answer")
                pairs.append((plain["timings"], guessed["timings"]))
            speeds = [(p["decode_tok_s"], g["decode_tok_s"]) for p, g in pairs]
            last = pairs[-1][1]
            print(f"| {name} | {temperature} | {statistics.median(p for p, _ in speeds):.0f} | "
                  f"{statistics.median(g for _, g in speeds):.0f} | "
                  f"{statistics.median(g / p for p, g in speeds):.2f} | {last.get('drafted_tokens', 0)} | "
                  f"{last.get('accepted_tokens', 0)} | {len(plain['tokens'])} |", flush=True)


if __name__ == "__main__":
    main()
