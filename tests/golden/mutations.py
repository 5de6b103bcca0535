# SPDX-License-Identifier: Apache-2.0
"""The terms of each golden model, and what the logits become without them.

A term is dropped in transformers by editing its weights, its configuration or the built model,
and described for the engine's own test as the edit of the file that means the same:
  tensor    every tensor that matches `pattern` is filled with `value`
  metadata  the key is set to `value`
  graph     nothing in the file says it; the engine's graph has the term `term`, dropped when it
            is `value`
"""

import dataclasses
import math
import re
from typing import Callable

import torch
from transformers.activations import ACT2FN

import goldens
import gguf_file


@dataclasses.dataclass
class Term:
    record: dict  # what mutations.json says
    state: dict = dataclasses.field(default_factory=dict)  # transformers name -> tensor
    overrides: dict = dataclasses.field(default_factory=dict)  # configuration entries
    patch: Callable = lambda model: None

    def logits(self, golden, state):
        model = goldens.build_model(golden, state | self.state, self.overrides)
        self.patch(model)
        return goldens.run(model, golden.tokens())


def terms(golden, state):
    yield from _tensor_terms(golden, state)
    yield from _rope_terms(golden)
    yield from _metadata_terms(golden)
    yield from _graph_terms(golden)


def layers_of(golden, term):
    """The tensor term once per layer, to show that no layer's tensor is idle."""
    for name, value in term.state.items():
        yield Term(record={"pattern": gguf_file.tensor_names(golden, name)[0]},
                   state={name: value})


def _tensor(pattern, value):
    return {"term": pattern, "kind": "tensor", "pattern": pattern, "value": value}


def _metadata(golden, key, value):
    key = f"{golden.arch}.{key}"
    return {"term": key, "kind": "metadata", "key": key, "value": value}


def _graph(term, value):
    return {"term": term, "kind": "graph", "value": value}


def _tensor_terms(golden, state):
    """Norm weights become 1, biases and what experts give 0, in all layers at once."""
    by_pattern = {}
    for name in state:
        if name.endswith("norm.weight") or name.endswith(".bias"):
            pattern = re.sub(r"^blk\.\d+", "blk.*", gguf_file.tensor_name(golden, name))
            by_pattern.setdefault(pattern, []).append(name)
        if name.endswith("experts.down_proj"):
            pattern = "blk.*.ffn_down_exps.weight"
            by_pattern.setdefault(pattern, []).append(name)
    for pattern, names in by_pattern.items():
        value = 0.0 if pattern.endswith((".bias", "_exps.weight")) else 1.0
        stored = value - 1.0 if goldens.is_gemma(golden) and value else value
        yield Term(_tensor(pattern, value),
                   state={name: torch.full_like(state[name], stored) for name in names})


def _rope_terms(golden):
    """Bases, divisors and rotated width; each override replaces the whole rope_parameters."""
    whole = golden.config["rope_parameters"]
    rope = whole.get("full_attention", whole)

    def changed(**entries):
        new = rope | entries
        return {"rope_parameters": whole | {"full_attention": new} if rope is not whole else new}

    if rope["rope_theta"] != 10000.0:
        yield Term(_metadata(golden, "rope.freq_base", 10000.0),
                   overrides=changed(rope_theta=10000.0))
    else:
        yield Term(_metadata(golden, "rope.freq_base", 1000000.0),
                   overrides=changed(rope_theta=1000000.0))
    if rope is not whole:
        local = whole["sliding_attention"] | {"rope_theta": rope["rope_theta"]}
        yield Term(_metadata(golden, "rope.freq_base_swa", rope["rope_theta"]),
                   overrides={"rope_parameters": whole | {"sliding_attention": local}})
    if rope["rope_type"] == "linear":
        yield Term(_metadata(golden, "rope.scaling.factor", 1.0), overrides=changed(factor=1.0))
    if rope["rope_type"] == "llama3":
        yield Term(_tensor("rope_freqs.weight", 1.0), overrides=changed(rope_type="default"))
    if rope["rope_type"] == "longrope":
        ones = [1.0] * len(rope["long_factor"])
        used = "long" if goldens.N_TOKENS > rope["original_max_position_embeddings"] else "short"
        other = "short" if used == "long" else "long"
        yield Term(_tensor(f"rope_factors_{used}.weight", 1.0),
                   overrides=changed(**{f"{used}_factor": ones}))
        yield Term(_graph("rope_factors", other),
                   overrides=changed(**{f"{used}_factor": rope[f"{other}_factor"]}))
        yield Term(_metadata(golden, "rope.scaling.attn_factor", 1.0),
                   overrides=changed(attention_factor=1.0))
    elif rope.get("partial_rotary_factor", 1.0) != 1.0:
        yield Term(_metadata(golden, "rope.dimension_count", gguf_file.head_dim(golden)),
                   overrides=changed(partial_rotary_factor=1.0))


def _metadata_terms(golden):
    config = golden.config
    yield Term(_metadata(golden, "attention.layer_norm_rms_epsilon", 1e-6),
               overrides={"rms_norm_eps": 1e-6})
    if config.get("sliding_window"):
        yield Term(_metadata(golden, "attention.sliding_window", 4096),
                   overrides={"sliding_window": 4096})
    if "layer_types" in config:
        everywhere = ["sliding_attention"] * config["num_hidden_layers"]
        yield Term(_metadata(golden, "attention.sliding_window_pattern", 0),
                   overrides={"layer_types": everywhere})
    if "num_experts" in config:
        fewer = config["num_experts_per_tok"] - 1
        yield Term(_metadata(golden, "expert_used_count", fewer),
                   overrides={"num_experts_per_tok": fewer})
        otherwise = not config["norm_topk_prob"]
        yield Term(_metadata(golden, "expert_weights_norm", otherwise),
                   overrides={"norm_topk_prob": otherwise})
    for cap in ("attn_logit_softcapping", "final_logit_softcapping"):
        if config.get(cap):
            yield Term(_metadata(golden, cap, 10000.0), overrides={cap: 10000.0})


def _graph_terms(golden):
    config = golden.config
    per_head = config["hidden_size"] // config["num_attention_heads"]
    if per_head != gguf_file.head_dim(golden):
        right = config.get("query_pre_attn_scalar", gguf_file.head_dim(golden))
        wrong = per_head if right != per_head else gguf_file.head_dim(golden)
        yield Term(_graph("attention_scale", 1 / math.sqrt(wrong)),
                   patch=lambda model: _set_scaling(model, 1 / math.sqrt(wrong)))
    if goldens.is_gemma(golden):
        yield Term(_graph("embedding_scale", 1.0),
                   patch=lambda model: model.model.embed_tokens.embed_scale.fill_(1.0))
        if "layer_types" not in config:
            everywhere = ["sliding_attention"] * config["num_hidden_layers"]
            yield Term(_graph("full_attention_layers", "none"),
                       overrides={"layer_types": everywhere})
    other = "silu" if goldens.is_gemma(golden) else "gelu_tanh"
    yield Term(_graph("activation", other), patch=lambda model: _set_activation(model, other))


def _set_scaling(model, scaling):
    for layer in model.model.layers:
        layer.self_attn.scaling = scaling


def _set_activation(model, name):
    for layer in model.model.layers:
        mlp = getattr(layer.mlp, "experts", layer.mlp)
        for attribute in ("act_fn", "activation_fn"):
            if hasattr(mlp, attribute):
                setattr(mlp, attribute, ACT2FN[name.replace("gelu_", "gelu_pytorch_")])
