# SPDX-License-Identifier: Apache-2.0
"""Writes a transformers model as the GGUF file its readers expect.

Facts a reader relies on: the llama architecture stores Q and K rows (weights and biases) so that
the two halves of each head are interleaved, because its RoPE turns adjacent pairs; gemma stores
norm weights with the 1 already added; phi3 stores gate and up as one ffn_up with gate first;
llama3 RoPE scaling is the tensor rope_freqs.weight, and longrope the two rope_factors tensors.
"""

import math
import re

import gguf
import numpy as np

from goldens import is_gemma

_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}
_EXPERTS = {"gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "down_proj": ("ffn_down_exps",)}


def tensor_name(golden, hf_name):
    """The GGUF name of a transformers parameter."""
    if hf_name in _TOP:
        return _TOP[hf_name]
    layer, part, suffix = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)",
                                       hf_name).groups()
    stem = _IN_LAYER[part]
    if part == "post_attention_layernorm" and is_gemma(golden):
        stem = "post_attention_norm"
    return f"blk.{layer}.{stem}.{suffix}"


def _interleave_halves(rows, n_heads):
    """Row i and row i + head_dim/2 of each head become neighbours."""
    per_head = rows.reshape(n_heads, 2, -1, *rows.shape[1:])
    return np.ascontiguousarray(per_head.swapaxes(1, 2)).reshape(rows.shape)


def _separate_halves(rows, n_heads):
    per_head = rows.reshape(n_heads, -1, 2, *rows.shape[1:])
    return np.ascontiguousarray(per_head.swapaxes(1, 2)).reshape(rows.shape)


def _rotated_heads(golden, hf_name):
    """How many heads' rows the file interleaves in this tensor: 0 for none."""
    if golden.arch != "llama":
        return 0
    if ".q_proj." in hf_name:
        return golden.config["num_attention_heads"]
    return golden.config["num_key_value_heads"] if ".k_proj." in hf_name else 0


def tensor_names(golden, hf_name):
    """The GGUF names of the tensors that hold a transformers parameter: more than one for the gate
    and up matrices of experts, [experts, gate and up, columns] there."""
    experts = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts\.(.+)", hf_name)
    if not experts:
        return [tensor_name(golden, hf_name)]
    layer, part = experts.groups()
    return [f"blk.{layer}.{stem}.weight" for stem in _EXPERTS[part]]


def tensors_of(golden, hf_name, value):
    """These tensors as the file stores them, by name."""
    names = tensor_names(golden, hf_name)
    parts = np.split(value, len(names), axis=1) if len(names) > 1 else [value]
    return {name: to_file(golden, hf_name, part) for name, part in zip(names, parts)}


def to_file(golden, hf_name, value):
    """A transformers parameter as the file stores it (float32)."""
    if heads := _rotated_heads(golden, hf_name):
        return _interleave_halves(value, heads)
    return value + np.float32(1) if is_gemma(golden) and hf_name.endswith("norm.weight") else value


def from_file(golden, hf_name, value):
    """The inverse of to_file, for the matrices."""
    heads = _rotated_heads(golden, hf_name)
    return _separate_halves(value, heads) if heads else value


def _full_rope(golden):
    rope = golden.config["rope_parameters"]
    return rope.get("full_attention", rope)


def head_dim(golden):
    config = golden.config
    return config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])


def rope_dims(golden):
    return int(head_dim(golden) * _full_rope(golden).get("partial_rotary_factor", 1.0))


def longrope_attention_factor(golden):
    scale = golden.config["max_position_embeddings"] / golden.config[
        "original_max_position_embeddings"]
    original = golden.config["original_max_position_embeddings"]
    return math.sqrt(1 + math.log(scale) / math.log(original))


def metadata(golden):
    """Every architecture key of the file, in order."""
    config, rope, arch = golden.config, _full_rope(golden), golden.arch
    keys = {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "vocab_size": config["vocab_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
    }
    if "head_dim" in config:
        keys["attention.key_length"] = keys["attention.value_length"] = config["head_dim"]
    if arch != "gemma2":  # gemma2 files name no base and mean 10000
        keys["rope.freq_base"] = float(rope["rope_theta"])
    if arch in ("llama", "phi3"):
        keys["rope.dimension_count"] = rope_dims(golden)
    if arch == "gemma3":
        keys["rope.freq_base_swa"] = float(
            config["rope_parameters"]["sliding_attention"]["rope_theta"])
    if rope["rope_type"] == "linear":
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    if arch == "phi3":
        keys["rope.scaling.original_context_length"] = config.get(
            "original_max_position_embeddings", config["max_position_embeddings"])
    if rope["rope_type"] == "longrope":
        keys["rope.scaling.attn_factor"] = longrope_attention_factor(golden)
    if is_gemma(golden) or arch == "phi3":
        keys["attention.sliding_window"] = config["sliding_window"] or 0
    if "num_experts" in config:
        keys |= {"expert_count": config["num_experts"],
                 "expert_used_count": config["num_experts_per_tok"],
                 "expert_feed_forward_length": config["moe_intermediate_size"]}
    for cap in ("attn_logit_softcapping", "final_logit_softcapping"):
        if config.get(cap):
            keys[cap] = float(config[cap])
    keys = {f"{arch}.{key}": value for key, value in keys.items()} | golden.extra_keys
    return {key: value for key, value in keys.items() if key not in golden.omit_keys}


def rope_tensors(golden):
    """RoPE frequency divisors the file carries as tensors."""
    rope = _full_rope(golden)
    if rope["rope_type"] == "longrope":
        return {f"rope_factors_{kind}.weight": np.array(rope[f"{kind}_factor"], np.float32)
                for kind in ("long", "short")}
    if rope["rope_type"] == "llama3":
        return {"rope_freqs.weight": _llama3_divisors(rope, rope_dims(golden))}
    return {}


def _llama3_divisors(rope, dims):
    """1 for the short wavelengths, `factor` for the long ones, a blend in between."""
    wavelength = 2 * math.pi * rope["rope_theta"] ** (np.arange(0, dims, 2) / dims)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / wavelength
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - blend) / rope["factor"] + blend)).astype(np.float32)


def write(path, golden, tensors, raw=None):
    """`tensors` maps GGUF names to float32 arrays; `raw` maps names to (rows of bytes, type)."""
    writer = gguf.GGUFWriter(path, golden.arch)
    for key, value in metadata(golden).items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
               bool: writer.add_bool}
        add[type(value)](key, value)
    writer.add_tokenizer_model("none")
    if raw:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, value in (rope_tensors(golden) | tensors).items():
        if raw and name in raw:
            rows, qtype = raw[name]
            writer.add_tensor(name, rows, raw_dtype=qtype)
        else:
            writer.add_tensor(name, np.ascontiguousarray(value, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
