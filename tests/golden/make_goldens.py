#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/: tiny random models as GGUF, the logits transformers gives for them in float32, how
far rounding may move those, and proof that every term of every model matters. See README.md.

  make_goldens.py [--llamacpp PROGRAM] [--out DIR] [NAME ...]

PROGRAM is llamacpp_logits.c, built; with it the index also tells how far llama.cpp is from
transformers on the same file. With names, only those models are made and no index is written.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch

import gguf_file
import goldens
import mutations
import noise
import quant_blocks

FLOAT32_TOLERANCE = 2e-4  # over ten times what two float32 implementations differ by
# Tolerance over the change that a rounding makes in transformers; the mean square is the steadier.
ROUNDING_MARGIN = {"max": 3, "rms": 2}
# A dropped term must move some logit by this many half_kv tolerances, in all layers or in one.
MUTATION_FACTOR = 20
LAYER_MUTATION_FACTOR = 10
# Experts chosen and not chosen are at least so far apart (of logits whose standard deviation is 2).
NEAREST_CHOICE = 0.015


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llamacpp", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = args.out / "data"
    data.mkdir(parents=True, exist_ok=True)

    index, proofs = [], []
    for golden in goldens.F32_GOLDENS + goldens.QUANT_GOLDENS:
        if args.names and golden.name not in args.names:
            continue
        quantised = golden.qtype != "F32"
        entry, model, state, logits = (make_quantised if quantised else make_float32)(golden, data)
        golden.tokens().astype("<i4").tofile(data / f"{golden.name}.tokens.i32")
        logits.astype("<f4").tofile(data / f"{golden.name}.logits.f32")
        if "num_experts" in golden.config:
            nearest = goldens.nearest_choice(golden, model)
            require(nearest > NEAREST_CHOICE, f"{golden.name}: two experts are {nearest} apart")
        entry |= rounding(golden, model, logits)
        if not quantised:
            proofs.append(prove_terms(golden, state, logits, entry))
        if args.llamacpp:
            entry["llamacpp"] = llamacpp_difference(args.llamacpp, golden, data, logits)
        index.append(entry)
        print(json.dumps(entry), flush=True)
    if not args.names:
        write_json(args.out / "goldens.json", {"n_tokens": goldens.N_TOKENS, "goldens": index})
        write_json(args.out / "mutations.json",
                   {"factor": MUTATION_FACTOR, "layer_factor": LAYER_MUTATION_FACTOR,
                    "goldens": proofs})


def make_float32(golden, data):
    model = goldens.build_model(golden)
    state = {name: value.detach().clone() for name, value in model.named_parameters()}
    tensors = {}
    for name, value in state.items():
        tensors |= gguf_file.tensors_of(golden, name, value.numpy())
    gguf_file.write(data / f"{golden.name}.gguf", golden, tensors)
    logits = goldens.run(model, golden.tokens())
    return describe(golden, logits), model, state, logits


def make_quantised(golden, data):
    """The matrices are random blocks; transformers runs on what they decode to."""
    drawn = {name: value.detach() for name, value in goldens.build_model(golden).named_parameters()}
    tensors, raw, state = {}, {}, {}
    for name, value in drawn.items():
        if value.ndim == 1 or goldens.is_router(name):
            tensors[gguf_file.tensor_name(golden, name)], state[name] = value.numpy(), value
            continue
        parts = []
        for stored, part in gguf_file.tensors_of(golden, name, value.numpy()).items():
            rows = quant_blocks.random_rows(golden.rng(stored), golden.qtype,
                                            (part[..., 0].size, part.shape[-1]),
                                            float(value.std()))
            tensors[stored] = None
            raw[stored] = rows.reshape(*part.shape[:-1], -1), quant_blocks.kind(golden.qtype)
            decoded = quant_blocks.dequantize(rows, golden.qtype).astype(np.float32)
            parts.append(gguf_file.from_file(golden, name, decoded.reshape(part.shape)))
        state[name] = torch.from_numpy(np.concatenate(parts, axis=1) if len(parts) > 1 else
                                       parts[0])
    gguf_file.write(data / f"{golden.name}.gguf", golden, tensors, raw)
    model = goldens.build_model(golden, state)
    logits = goldens.run(model, golden.tokens())
    return describe(golden, logits), model, state, logits


def describe(golden, logits):
    return {
        "name": golden.name, "architecture": golden.arch, "weights": golden.qtype,
        "vocab": golden.config["vocab_size"], "context": golden.context,
        "logits_sd": significant(logits.std()),
    }


def rounding(golden, model, logits):
    """Measured effect of an engine's roundings, and the tolerances that follow."""
    tokens = golden.tokens()
    changed = {"half_kv": noise.half_kv(model, tokens)}
    if golden.qtype != "F32":
        changed["int8"] = noise.int8_activations(model, tokens, 32)
        if golden.config["hidden_size"] % 256 == 0:
            changed["int8_256"] = noise.int8_activations(model, tokens, 256)
        changed["float16"] = noise.half_activations(model, tokens, torch.float16)
        changed["bfloat16"] = noise.half_activations(model, tokens, torch.bfloat16)
    change = {name: difference(other, logits) for name, other in changed.items()}
    tolerance = {"float32": {"max": FLOAT32_TOLERANCE, "rms": FLOAT32_TOLERANCE / 4}}
    for name, size in change.items():
        tolerance[name] = {of: significant(ROUNDING_MARGIN[of] * size[of]) for of in size}
    return {"rounding_change": change, "tolerance": tolerance}


def prove_terms(golden, state, logits, entry):
    """Drops each term in turn; every one must be seen far outside the tolerance."""
    tolerance = entry["tolerance"]["half_kv"]["max"]

    def seen(term, factor):
        change = difference(term.logits(golden, state), logits)["max"]
        require(change > factor * tolerance,
                f"{golden.name}: without {term.record} the logits move only {change}")
        return change

    records = []
    for term in mutations.terms(golden, state):
        record = term.record | {"max_abs_change": seen(term, MUTATION_FACTOR)}
        if len(term.state) > 1:
            record["least_change_of_one_layer"] = min(
                seen(one, LAYER_MUTATION_FACTOR) for one in mutations.layers_of(golden, term))
        records.append(record)
    return {"name": golden.name, "terms": records}


def llamacpp_difference(program, golden, data, logits):
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "logits"
        subprocess.run([program, data / f"{golden.name}.gguf", data / f"{golden.name}.tokens.i32",
                        str(golden.context), out], check=True)
        return difference(np.fromfile(out, "<f4").reshape(logits.shape), logits)


def difference(a, b):
    error = np.abs(a.astype(np.float64) - b)
    return {"max": significant(error.max()), "rms": significant(np.sqrt(np.mean(error**2)))}


def significant(value):
    return float(f"{value:.3g}")


def require(condition, message):
    if not condition:
        raise SystemExit(message)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
