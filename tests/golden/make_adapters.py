#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/adapter_*: random LoRA adapters of golden models as GGUF, and the logits that peft
gives for the models with them, in float32. See README.md.

  make_adapters.py [--out DIR] [NAME ...]

With names, only those cases are made and no index is written.
"""

import argparse
import copy
import dataclasses
import json
import pathlib
import tempfile

import gguf
import numpy as np
import peft
import torch

import gguf_file
import goldens
import make_goldens
import noise

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LINEAR = ATTENTION + ("gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
# Adapters must move some logit by this many tolerances, the least of them too.
CHANGE_FACTOR = 20


@dataclasses.dataclass(frozen=True)
class Adapter:
    name: str
    rank: int
    targets: tuple
    alpha: float | None = None  # None: no key in the file, which means a scale of 1
    ranks: dict = dataclasses.field(default_factory=dict)  # by target, where it is not `rank`
    qtype: str = "F32"

    def rank_of(self, target):
        return self.ranks.get(target, self.rank)


@dataclasses.dataclass(frozen=True)
class Case:
    """Logits of one model with adapters, each with its scale."""

    name: str
    golden: str
    uses: tuple  # of (Adapter, scale)


LLAMA = Adapter("llama", 3, LINEAR, alpha=5.0)
LLAMA_ATTENTION = Adapter("llama_attention", 8, ("q_proj", "v_proj"), alpha=16.0, qtype="F16")
CASES = [
    Case("adapter_llama", "llama_gqa_tied", ((LLAMA, 1.0),)),
    Case("adapter_llama_two", "llama_gqa_tied", ((LLAMA, 0.75), (LLAMA_ATTENTION, -1.5))),
    Case("adapter_llama_head", "llama_mha",
         ((Adapter("head", 4, LINEAR + ("lm_head",), alpha=4.0, ranks={"lm_head": 9},
                   qtype="F16"), 1.0),)),
    Case("adapter_qwen2", "qwen2",
         ((Adapter("qwen2", 16, ("q_proj", "v_proj"), qtype="BF16"), 1.0),)),
    Case("adapter_gemma3", "gemma3",
         ((Adapter("gemma3", 5, LINEAR, alpha=10.0, ranks={"down_proj": 2, "v_proj": 1}), 0.5),)),
    Case("adapter_phi3", "phi3", ((Adapter("phi3", 6, FUSED, alpha=12.0), 1.0),)),
    Case("adapter_quant", "quant_q8_0",
         ((Adapter("quant", 32, LINEAR, alpha=32.0, qtype="Q8_0"), 1.0),)),
    Case("adapter_k_quant", "quant_q4_k",
         ((Adapter("k_quant", 16, LINEAR, alpha=8.0, qtype="F16"), 1.0),)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = args.out / "data"
    data.mkdir(parents=True, exist_ok=True)
    index = []
    for case in CASES:
        if args.names and case.name not in args.names:
            continue
        entry = make(case, data)
        index.append(entry)
        print(json.dumps(entry), flush=True)
    if not args.names:
        make_goldens.write_json(args.out / "adapters.json", {"adapters": index})


def make(case, data):
    golden = next(g for g in goldens.F32_GOLDENS + goldens.QUANT_GOLDENS if g.name == case.golden)
    model = base_model(golden)
    without = goldens.run(model, golden.tokens())
    merged = copy.deepcopy(model)
    adapted = None
    files = []
    for adapter, scale in case.uses:
        config = peft.LoraConfig(
            r=adapter.rank, lora_alpha=adapter.alpha or adapter.rank, lora_dropout=0.0,
            target_modules=list(adapter.targets), rank_pattern=dict(adapter.ranks))
        if adapted is None:
            adapted = peft.get_peft_model(model, config, adapter_name=adapter.name)
        else:
            adapted.add_adapter(adapter.name, config)
        tensors = draw(golden, adapter, adapted, scale, merged)
        files.append(f"adapter_of_{adapter.name}.gguf")
        write(data / files[-1], golden, adapter, tensors)
    adapted.base_model.set_adapter([adapter.name for adapter, _ in case.uses])
    logits = goldens.run(adapted.eval(), golden.tokens())
    # The same adapters in one matrix: what roundings do to it sizes the tolerance.
    of_merged = goldens.run(merged, golden.tokens())
    apart = make_goldens.difference(of_merged, logits)["max"]
    make_goldens.require(apart < make_goldens.FLOAT32_TOLERANCE, f"{case.name}: merged {apart}")
    rounding = make_goldens.rounding(golden, merged, of_merged)
    tolerance = {key: rounding["tolerance"][key] for key in ("half_kv", "int8")
                 if key in rounding["tolerance"]}
    change = make_goldens.difference(logits, without)
    widest = sum(of["rms"] for of in tolerance.values())
    make_goldens.require(change["rms"] > CHANGE_FACTOR * widest / 4, f"{case.name}: {change}")
    logits.astype("<f4").tofile(data / f"{case.name}.logits.f32")
    return {
        "name": case.name, "golden": case.golden, "files": files,
        "scales": [scale for _, scale in case.uses], "weights": golden.qtype,
        "change": change, "tolerance": tolerance,
    }


def base_model(golden):
    if golden.qtype == "F32":
        return goldens.build_model(golden)
    with tempfile.TemporaryDirectory() as scratch:
        return make_goldens.make_quantised(golden, pathlib.Path(scratch))[1]


def draw(golden, adapter, adapted, scale, merged):
    """Fills the adapter's matrices, which are half as strong as the weights they change, adds them
    to `merged`, and returns them as the file stores them: by name, bytes or floats."""
    stored = {}
    kind = gguf.GGMLQuantizationType[adapter.qtype]
    weights = dict(merged.named_parameters())
    for name, module in adapted.base_model.model.named_modules():
        target = name.rsplit(".", 1)[-1]
        if target not in adapter.targets or not hasattr(module, "lora_A"):
            continue
        rank = adapter.rank_of(target)
        weight = weights[f"{name}.weight"]
        rng = golden.rng(f"{adapter.name}/{name}")
        strength = (adapter.alpha or rank) / rank
        a = rng.standard_normal((rank, weight.shape[1])).astype(np.float32)
        b = rng.standard_normal((weight.shape[0], rank)).astype(np.float32)
        b *= 0.5 * float(weight.detach().std()) / (np.sqrt(rank) * strength)
        raw_a = gguf.quants.quantize(a, kind)
        raw_b = gguf.quants.quantize(b, kind)
        a = torch.from_numpy(gguf.quants.dequantize(raw_a, kind).astype(np.float32))
        b = torch.from_numpy(gguf.quants.dequantize(raw_b, kind).astype(np.float32))
        module.lora_A[adapter.name].weight.data = a
        module.lora_B[adapter.name].weight.data = b
        module.set_scale(adapter.name, scale)
        weight.data += scale * strength * b @ a
        # Rows are stored in the order of the weight's, and that may not be transformers'.
        of_file = gguf_file.tensor_name(golden, f"{name}.weight")
        stored[f"{of_file}.lora_a"] = raw_a
        stored[f"{of_file}.lora_b"] = gguf_file.to_file(golden, f"{name}.weight", raw_b)
    return stored


def write(path, golden, adapter, tensors):
    kind = gguf.GGMLQuantizationType[adapter.qtype]
    writer = gguf.GGUFWriter(path, golden.arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(adapter.name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    if adapter.alpha is not None:
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, adapter.alpha)
    for name, rows in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(rows), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
