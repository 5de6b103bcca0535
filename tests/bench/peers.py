# SPDX-License-Identifier: Apache-2.0
"""The programs that compare.py lets take turns: how each is had, called, and its answer read.

Each measures one model once: tokens per second of a prompt, of decoding, of batches (all sequences together) and at a depth
of context; seconds from a process's start to its first token; the most memory that it held then, in MiB.
"""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
GGUF_PACKAGES = ("gguf==0.17.1", "numpy==1.26.4")
FIRST_PROMPT = "The capital of France is the city"  # 8 tokens with most vocabularies


@dataclasses.dataclass
class Work:
    """What is measured, in tokens."""

    threads: int = 2
    prefill: int = 512
    decode: int = 128
    batches: tuple = (8, 16)
    depth: int = 4096  # of the long context: its prefill, and decoding after it; 0: not measured
    depth_decode: int = 32


def run(command):
    """Standard output and error of a process, and its seconds. It runs in a folder of its own: some leave logs."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout, done.stderr, seconds


def peak_mib(command):
    """The child's own ru_maxrss, by waiting for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}\nstatus {status}")
    return usage.ru_maxrss / 1024


def first_token(command):
    return {"first token, s": run(command)[2], "peak MiB": peak_mib(command)}


class Mirage:
    name = "Mirage"

    def __init__(self, program, isa=None):
        self.program = os.path.abspath(program)
        self.device = ("--device", f"cpu:{isa}") if isa else ()
        self.machine = {}
        self.bandwidth_gb_s = []

    def bench(self, model, work, *options):
        out, _, _ = run([self.program, "bench", "-m", model, "-t", str(work.threads), *self.device,
                         *map(str, options), "--json"])
        report = json.loads(out)
        self.machine = report["machine"]
        self.bandwidth_gb_s.append(report["bandwidth_gb_s"])
        return report

    def measure(self, model, work):
        batches = (1, *work.batches)
        report = self.bench(model, work, "--pp", work.prefill, "--tg", work.decode, "--batch",
                            ",".join(map(str, batches)))
        rate = {entry["batch"]: entry["tok_s"] for entry in report["tg"]}
        result = {f"prefill {work.prefill}": report["pp"]["tok_s"], "decode": rate[1],
                  **{f"batch {n}": rate[n] for n in work.batches}}
        if work.depth:
            report = self.bench(model, work, "--pp", work.depth, "--repeats", 1, "--tg", work.depth_decode, "--batch",
                                1, "--depth", work.depth)
            result[f"prefill {work.depth}"] = report["pp"]["tok_s"]
            result[f"decode at {work.depth}"] = report["tg"][0]["tok_s"]
        return result | first_token([self.program, "run", "-m", model, "-t", str(work.threads), "-c", "512",
                                     *self.device, "--raw", "-p", FIRST_PROMPT, "-n", "1", "--temp", "0"])


class Llama:
    """llama.cpp, and what descends from it."""

    name = "llama.cpp"
    completion = "llama-completion"
    completion_options = ("-no-cnv", "--no-warmup")

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()

    def bench(self, model, work, *options):
        out, _, _ = run([self.folder / "llama-bench", "-m", model, "-t", str(work.threads), "-r", "1", "-o", "json",
                         *map(str, options)])
        return json.loads(out)

    def bench_at_depth(self, model, work):
        """Of the long prompt, and of decoding after it."""
        prompt = self.bench(model, work, "-p", work.depth, "-n", 0)
        decode = self.bench(model, work, "-p", 0, "-n", work.depth_decode, "-d", work.depth)
        return prompt[0]["avg_ts"], decode[0]["avg_ts"]

    def batches(self, model, work, *options):
        context = max(work.batches) * (16 + work.decode)
        out, err, _ = run([self.folder / "llama-batched-bench", "-m", model, "-t", str(work.threads), "-c",
                           str(context), "-npp", "16", "-ntg", str(work.decode), "-npl",
                           ",".join(map(str, work.batches)), *options])
        rates = {}
        for line in (out + err).splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) > 8 and cells[1].isdigit():
                rates[f"batch {cells[3]}"] = float(cells[8])
        return {f"batch {n}": rates[f"batch {n}"] for n in work.batches}

    def measure(self, model, work):
        result = {}
        for entry in self.bench(model, work, "-p", work.prefill, "-n", work.decode):
            result[f"prefill {work.prefill}" if entry["n_prompt"] else "decode"] = entry["avg_ts"]
        result |= self.batches(model, work)
        if work.depth:
            prompt, decode = self.bench_at_depth(model, work)
            result |= {f"prefill {work.depth}": prompt, f"decode at {work.depth}": decode}
        return result | first_token([self.folder / self.completion, "-m", model, "-t", str(work.threads), "-c", "512",
                                     *self.completion_options, "-p", FIRST_PROMPT, "-n", "1", "--temp", "0"])


class IkLlama(Llama):
    """ik_llama.cpp, the better of its weights as they are in the file and repacked when loaded."""

    name = "ik_llama.cpp"
    completion = "llama-cli"
    completion_options = ("--no-warmup",)

    def bench(self, model, work, *options):
        best = {}
        for repack in (0, 1):
            for entry in super().bench(model, work, *options, "-rtr", repack):
                key = entry["n_prompt"], entry["n_gen"]
                if key not in best or entry["avg_ts"] > best[key]["avg_ts"]:
                    best[key] = entry
        return list(best.values())

    def bench_at_depth(self, model, work):
        # Its bench has no depth; "-gp" decodes after a prompt and times only that.
        prompt = self.bench(model, work, "-p", work.depth, "-n", 0)
        decode = self.bench(model, work, "-p", 0, "-n", 0, "-gp", f"{work.depth},{work.depth_decode}")
        return prompt[0]["avg_ts"], decode[0]["avg_ts"]

    def batches(self, model, work, *options):
        either = [super(IkLlama, self).batches(model, work, *repack) for repack in ((), ("-rtr",))]
        return {name: max(rates[name] for rates in either) for name in either[0]}


def python_with_gguf():
    """A Python that has the packages of make_model.py, in an environment beside llama.cpp's sources."""
    environment = llama_sources().parent / "bench-venv"
    python = environment / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "--quiet", "install", *GGUF_PACKAGES], check=True, stdout=sys.stderr)
    return python


def llama_sources():
    return pathlib.Path(subprocess.run([REPOSITORY / "tools/fetch_test_data.sh", "peer"], check=True,
                                       stdout=subprocess.PIPE, text=True).stdout.strip())


def build_llama(isa=None):
    """The folder of llama.cpp's programs, fetched and built for this machine as far as that was not done before.

    `isa` "avx2" builds without what came after it."""
    source = llama_sources()
    build = source / (f"build-{isa}" if isa else "build")
    programs = ("llama-bench", "llama-batched-bench", "llama-completion", "llama-quantize", "llama-perplexity")
    print(f"building llama.cpp in {build}", file=sys.stderr)
    native = ["-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"] \
        if isa == "avx2" else ["-DGGML_NATIVE=ON"]
    subprocess.run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF",
                    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=ON", "-DLLAMA_BUILD_MTMD=OFF",
                    "-DLLAMA_BUILD_UI=OFF", *native], check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", build, "--target", *programs], check=True, stdout=sys.stderr)
    return build / "bin"
