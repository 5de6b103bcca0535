#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many sessions at once, beside llama.cpp's server on the same model and machine, taking turns.

  tests/bench/sessions.py --bench build/bench/tests/bench/sessions_bench --llama LLAMA/build/bin -m model.gguf

Each of N sessions asks again as soon as it has its answer: random prompts of 256 tokens, answers of 64. Both have room
for N such contexts. Mirage is called in its process, the server over HTTP from this script, which is part of how each is
used; the script's own share of the processor is printed. Times are of tokens as they reach the asker.
"""
import argparse
import http.client
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time


def percentile(values, share):
    values = sorted(values)
    return values[round(share * (len(values) - 1))]


def mirage(args, sessions, requests):
    out = subprocess.run([args.bench, args.model, str(sessions), str(requests), str(args.prompt), str(args.answer),
                          str(args.threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, tokens, answer_tokens):
    body = json.dumps({"prompt": tokens, "n_predict": answer_tokens, "ignore_eos": True, "temperature": 0,
                       "stream": True, "cache_prompt": False})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    last, first, gaps = time.monotonic(), None, []
    connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"the server answers {response.status}: {response.read()[:500]}")
    for line in response:
        if not line.startswith(b"data: ") or b'"stop":true' in line:
            continue
        now = time.monotonic()
        if first is None:
            first = now - last
        else:
            gaps.append(now - last)
        last = now
    connection.close()
    if len(gaps) < answer_tokens // 2:
        sys.exit(f"the server sent {len(gaps) + 1} pieces of {answer_tokens} tokens")
    return first, gaps


def server(args, sessions, requests):
    port = free_port()
    context = sessions * (args.prompt + args.answer + 16)
    log = tempfile.TemporaryFile()
    process = subprocess.Popen([f"{args.llama}/llama-server", "-m", args.model, "-c", str(context), "-np", str(sessions),
                                "-t", str(args.threads), "-tb", str(args.threads), "--host", "127.0.0.1", "--port",
                                str(port), "--no-webui"], stdout=log, stderr=log)
    try:
        for _ in range(600):
            time.sleep(0.1)
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                if process.poll() is not None:
                    sys.exit("llama-server ended")
        first, between, lock = [], [], threading.Lock()

        def loop(seed):
            draws = random.Random(seed)
            for _ in range(requests):
                tokens = [draws.randrange(1000, 21000) for _ in range(args.prompt)]
                one, gaps = ask(port, tokens, args.answer)
                with lock:
                    first.append(one)
                    between.extend(gaps)

        begin, used = time.monotonic(), os.times()
        askers = [threading.Thread(target=loop, args=(seed,)) for seed in range(sessions)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        seconds, now = time.monotonic() - begin, os.times()
        own = (now.user + now.system - used.user - used.system) / seconds
        return {"seconds": seconds, "first_token_s": first, "between_tokens_s": between, "client_share": own}
    finally:
        process.terminate()
        process.wait()


def summary(args, sessions, requests, report):
    return {"tok/s": sessions * requests * args.answer / report["seconds"],
            "first p50": percentile(report["first_token_s"], 0.5), "first p99": percentile(report["first_token_s"], 0.99),
            "between p50": percentile(report["between_tokens_s"], 0.5),
            "between p99": percentile(report["between_tokens_s"], 0.99)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--llama", required=True)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--sessions", default="1,4,16,64")
    parser.add_argument("--requests", type=int, default=64, help="in a round, of all sessions together, at least 2 each")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--answer", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, prompts of {args.prompt} tokens, answers "
          f"of {args.answer}, medians of {args.runs} alternated rounds\n")
    print("| sessions | who | tokens/s | first token p50, s | p99 | between tokens p50, ms | p99 |")
    print("|--|--|--|--|--|--|--|")
    for sessions in map(int, args.sessions.split(",")):
        requests = max(2, args.requests // sessions)
        rounds = {"Mirage": [], "llama.cpp server": []}
        shares, idle = [], None
        for _ in range(args.runs):
            report = mirage(args, sessions, requests)
            idle = report
            rounds["Mirage"].append(summary(args, sessions, requests, report))
            report = server(args, sessions, requests)
            shares.append(report["client_share"])
            rounds["llama.cpp server"].append(summary(args, sessions, requests, report))
        for who, runs in rounds.items():
            mid = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(f"| {sessions} | {who} | {mid['tok/s']:.0f} | {mid['first p50']:.3f} | {mid['first p99']:.3f} | "
                  f"{mid['between p50'] * 1e3:.1f} | {mid['between p99'] * 1e3:.1f} |", flush=True)
        print(f"| | | ratio {statistics.median(m['tok/s'] / s['tok/s'] for m, s in zip(*rounds.values())):.2f} | "
              f"client's share of a core {statistics.median(shares):.2f} | | "
              f"an idle session holds {idle['idle_session_bytes'] / 1024:.0f} KiB of text and tokens, "
              f"{idle['idle_kv_bytes'] / 1024:.0f} KiB of keys and values | |", flush=True)


if __name__ == "__main__":
    main()
