#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mirage beside llama.cpp, and ik_llama.cpp where it is at hand, on the same files, taking turns in one run.

    compare.py -m a.gguf [-m b.gguf] [--generated Q4_0,Q8_0 --folder DIR] [--ik IK/build/bin] [--roofline out.svg]

llama.cpp is fetched from the Python index, by checksum, and built for this machine, unless --llama names the folder of its
programs; ik_llama.cpp has to be built by hand. --generated adds a random model 2048 wide (make_model.py), quantised to each
type by llama-quantize. --isa avx2 holds Mirage and the llama.cpp built here to that instruction set.

Prints Markdown: the machine; the types of tensors in each file; medians, least and most, and ratios of tokens per second
(of all sequences together, page cache warm), seconds from a process's start to the first token of an 8-token prompt, and the
most memory held then; last, what bounds prefill and decode: the part of the multiply-add peak and of the read bandwidth,
measured in the same run, that they reach. --roofline measures every kernel by itself (roofline.py).
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import peers
import roofline

# What a GGUF calls them: these types compute with floats, these with signed integers, the others with unsigned ones.
FLOATS = ("F32", "F16", "BF16")
SIGNED = ("Q8_0", "IQ4_NL", "IQ4_XS")


def inspect(mirage, model):
    return json.loads(peers.run([mirage, "inspect", model, "-c", "512", "--json"])[0])


def types_in(report):
    """The types of a file by their share of its bytes, and of the multiply-adds that a token costs."""
    by_type = collections.Counter()
    macs = collections.Counter()
    used = report["metadata"].get("qwen3moe.expert_used_count", 0)
    for tensor in report["tensors"]:
        by_type[tensor["type"]] += tensor["bytes"]
        if len(tensor["shape"]) == 2 and not tensor["name"].startswith(("token_embd", "output.")):
            macs[tensor["type"]] += tensor["shape"][0] * tensor["shape"][1]
        if len(tensor["shape"]) == 3:  # one matrix for each expert
            macs[tensor["type"]] += tensor["shape"][0] * tensor["shape"][1] * used
    total = sum(by_type.values())
    text = ", ".join(f"{name} {count / total:.0%}" for name, count in by_type.most_common() if count / total >= 0.005)
    return text, macs


def part_of_peak(tokens_s, macs, peaks):
    """Of the time that a token's multiply-adds would take at the peaks, attention left out; None: no peak is known."""
    if not all(peaks[name] for name in roofline.PEAKS):
        return None
    at_peak = sum(count / peaks["float" if name in FLOATS else "signed" if name in SIGNED else "unsigned"]
                  for name, count in macs.items())
    return tokens_s * at_peak


def generate(options, quantize, folder):
    """The random model in each of the types asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "generated-F16.gguf"
    part = folder / "part.gguf"
    if not source.exists():
        subprocess.run([peers.python_with_gguf(), peers.REPOSITORY / "tests/bench/make_model.py", part], check=True)
        part.rename(source)
    for name in options.generated.split(","):
        out = folder.resolve() / f"generated-{name}.gguf"
        if not out.exists():
            # llama-quantize has MXFP4 for experts alone, unless told so tensor by tensor.
            kind = ["--tensor-type", "blk.*=mxfp4", source, part, "Q8_0"] if name == "MXFP4" else [source, part, name]
            done = subprocess.run([quantize, *kind], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"llama-quantize to {name}: {done.stderr[-1000:]}")
            part.rename(out)
        yield str(out)


def cell(samples):
    values = sorted(samples)
    return f"{statistics.median(values):.4g} ({values[0]:.4g}..{values[-1]:.4g})"


def rows(name, samples):
    """One line of the table for each thing measured."""
    ours = samples["Mirage"]
    for what in ours[0]:
        line = [name, what, cell([run[what] for run in ours])]
        for peer, runs in samples.items():
            if peer != "Mirage":
                ratio = statistics.median(run[what] for run in ours) / statistics.median(run[what] for run in runs)
                line += [cell([run[what] for run in runs]), f"{ratio:.2f}"]
        yield line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirage", default=str(peers.REPOSITORY / "build/release/tools/mirage"))
    parser.add_argument("--kernels", default=str(peers.REPOSITORY / "build/bench/tests/bench/kernels_bench"),
                        help="the program kernels_bench, which knows the machine's peaks")
    parser.add_argument("--llama", help="folder of llama.cpp's programs; fetched and built when not given")
    parser.add_argument("--ik", help="folder of ik_llama.cpp's programs")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--generated", default="", help="types of the random model, such as Q4_0,Q4_K_M,MXFP4,BF16")
    parser.add_argument("--folder", type=pathlib.Path, help="where generated models are kept")
    parser.add_argument("--isa", choices=["avx2"], help="avx2: that and nothing newer, for Mirage and llama.cpp")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--batches", type=lambda text: tuple(map(int, text.split(","))), default=(8, 16))
    parser.add_argument("--depth", type=int, default=4096, help="tokens of the long context; 0: not measured")
    parser.add_argument("--roofline", help="measure every kernel, and draw them into this SVG")
    parser.add_argument("--json", help="a file for the raw samples")
    options = parser.parse_args()
    if options.depth == options.prefill:
        parser.error("--depth and --prefill are the same")

    work = peers.Work(options.threads, options.prefill, options.decode, options.batches, options.depth)
    llama = pathlib.Path(options.llama) if options.llama else peers.build_llama(options.isa)
    programs = [peers.Mirage(options.mirage, options.isa), peers.Llama(llama)]
    if options.ik:
        programs.append(peers.IkLlama(options.ik))

    with tempfile.TemporaryDirectory() as scratch:
        models = [os.path.abspath(model) for model in options.model] + (list(generate(options, llama / "llama-quantize", options.folder or
                                                pathlib.Path(scratch))) if options.generated else [])
        if not models:
            parser.error("a model is needed: -m or --generated")
        reports = {model: inspect(options.mirage, model) for model in models}
        machine = roofline.machine_peaks(options.kernels, options.threads, options.isa)
        samples = {}
        for model in models:
            runs = samples[os.path.basename(model)] = collections.defaultdict(list)
            for turn in range(options.runs):
                for program in programs:
                    runs[program.name].append(program.measure(model, work))
                print(f"{model}: {turn + 1} of {options.runs}", file=sys.stderr)
                if options.json:  # after each turn, so that what is cut short is not lost
                    with open(options.json + ".part", "w", encoding="utf-8") as out:
                        json.dump({"machine": programs[0].machine, "peaks": machine, "samples": samples,
                                   "bandwidth_gb_s": programs[0].bandwidth_gb_s}, out, indent=1)
                    os.replace(options.json + ".part", options.json)
    bandwidth = statistics.median(rate for rate in programs[0].bandwidth_gb_s if rate is not None)

    print(f"{programs[0].machine['cpu']} ({', '.join(programs[0].machine['isa'])}), kernels {machine['table']}, "
          f"{options.threads} threads, medians of {options.runs} alternated runs (least..most). Peaks: "
          f"{machine['unsigned'] / 1e9:.0f} GMAC/s of int8 ({machine['signed'] / 1e9:.0f} where weights have a sign), "
          f"{machine['float'] / 1e9:.0f} of float32; reads "
          f"{bandwidth:.1f} GB/s.\n")
    for model in models:
        print(f"- {os.path.basename(model)}: {types_in(reports[model])[0]}")
    head = ["model", "what", "Mirage"] + [cell for peer in programs[1:] for cell in (peer.name, "ratio")]
    print("\n| " + " | ".join(head) + " |\n|" + "--|" * len(head))
    for model in models:
        for line in rows(os.path.basename(model), samples[os.path.basename(model)]):
            print("| " + " | ".join(line) + " |")

    print("\n| model | MiB read per token | decode, of the bandwidth | M multiply-adds per token | prefill, of the peak |"
          "\n|--|--|--|--|--|")
    for model in models:
        ours = samples[os.path.basename(model)]["Mirage"]
        read = reports[model]["plan"]["active"]
        macs = types_in(reports[model])[1]
        decode = statistics.median(run["decode"] for run in ours)
        part = part_of_peak(statistics.median(run[f"prefill {options.prefill}"] for run in ours), macs, machine)
        print(f"| {os.path.basename(model)} | {read / 2**20:.0f} | {decode * read / bandwidth / 1e9:.0%} | "
              f"{sum(macs.values()) / 1e6:.0f} | {'-' if part is None else f'{part:.0%}'} |")
    if options.roofline:
        print()
        roofline.measure(options.kernels, options.threads, machine["table"], options.roofline)


if __name__ == "__main__":
    main()
