#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/NAME.hidden.f32 and hidden.json: of some golden models the hidden states that
transformers gives (last_hidden_state, after the last norm), and how far rounding may move them.
See README.md.

  make_hidden.py [--out DIR]
"""

import argparse
import pathlib
import tempfile

import numpy as np
import torch

import goldens
import make_goldens
import noise

NAMES = ["llama_gqa_tied", "qwen3", "gemma3", "phi3_window", "quant_q8_0"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("--out", type=pathlib.Path, default=here)
    args = parser.parse_args()
    torch.set_num_threads(1)
    index = []
    for golden in goldens.F32_GOLDENS + goldens.QUANT_GOLDENS:
        if golden.name not in NAMES:
            continue
        torch.manual_seed(0)
        quantised = golden.qtype != "F32"
        make = make_goldens.make_quantised if quantised else make_goldens.make_float32
        with tempfile.TemporaryDirectory() as scratch:
            _, model, _, logits = make(golden, pathlib.Path(scratch))
        stored = np.fromfile(here / "data" / f"{golden.name}.logits.f32", "<f4")
        difference = np.abs(logits.reshape(-1) - stored).max()
        make_goldens.require(difference < 1e-4, f"{golden.name}: another model, by {difference}")

        tokens = golden.tokens()
        hidden = run(model, tokens)
        hidden.astype("<f4").tofile(args.out / "data" / f"{golden.name}.hidden.f32")
        change = make_goldens.difference(half_kv(model, tokens), hidden)
        if quantised:
            int8 = make_goldens.difference(int8_activations(model, tokens), hidden)
            change = {of: change[of] + int8[of] for of in change}
        index.append({
            "name": golden.name, "width": int(hidden.shape[1]),
            "hidden_sd": make_goldens.significant(hidden.std()),
            "tolerance": {of: make_goldens.significant(make_goldens.ROUNDING_MARGIN[of] * change[of])
                          for of in change},
        })
        print(index[-1], flush=True)
    make_goldens.write_json(args.out / "hidden.json", {"goldens": index})


def run(model, tokens, **kwargs):
    """Hidden states [tokens, width] of one pass over all tokens, after the last norm."""
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    with torch.no_grad():
        return model.model(input_ids=ids, **kwargs).last_hidden_state[0].float().numpy()


def half_kv(model, tokens):
    return run(model, tokens, past_key_values=noise.HalfCache(), use_cache=True)


def int8_activations(model, tokens):
    with noise.rounded_to_int8(32):
        return run(model, tokens)


if __name__ == "__main__":
    main()
