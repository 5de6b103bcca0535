# SPDX-License-Identifier: Apache-2.0
"""The table of golden models: what each one is and how its random weights are drawn.

Sizes are the smallest that still tell the options apart: head_dim differs from
hidden / heads where the architecture allows it, heads are grouped, the sliding window is shorter
than the 64 tokens, and rms_norm_eps is so large that a wrong one shows in the logits.
"""

import dataclasses
import math
import zlib

import numpy as np
import torch
import transformers

N_TOKENS = 64
ROUTER_GAIN = 2.0  # experts are chosen by clear differences, and all of a choice still weigh
EPS = 5e-2  # far above the real 1e-6, so that ignoring the value of the file is seen


@dataclasses.dataclass(frozen=True)
class Golden:
    """One model: `config` is the transformers configuration; the rest never enters the file."""

    name: str
    arch: str  # general.architecture
    family: str  # prefix of the transformers classes
    config: dict
    embedding_sd: float = 0.7
    head_gain: float = 3.0  # ignored when the head is tied to the embedding
    context: int = 256  # session length to run with; matters for the longrope factor choice
    omit_keys: tuple = ()  # metadata left to the reader's default
    extra_keys: dict = dataclasses.field(default_factory=dict)
    qtype: str = "F32"  # type of the matrices
    draw: str = ""  # another one draws other weights and tokens

    def rng(self, what):
        return np.random.default_rng(zlib.crc32(f"{self.name}{self.draw}/{what}".encode()))

    def tokens(self):
        """Random ids, with the first and last of the vocabulary among them."""
        ids = self.rng("tokens").integers(0, self.config["vocab_size"], N_TOKENS)
        ids[[5, 40]] = 0, self.config["vocab_size"] - 1
        return ids.astype(np.int32)


def _config(vocab, hidden, ffn, layers, heads, kv_heads, head_dim=None, tied=False, **more):
    config = dict(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        rms_norm_eps=EPS, max_position_embeddings=256, bos_token_id=None, eos_token_id=None,
        pad_token_id=None)
    if head_dim is not None:
        config["head_dim"] = head_dim
    return config | more


def _rope(theta, **scaling):
    return {"rope_type": "default", "rope_theta": theta} | scaling


def _longrope(original, factors_of):
    """Phi-3's two tables of per-frequency divisors, drawn so that every entry matters."""
    return dict(
        rope_type="longrope", rope_theta=100.0, original_max_position_embeddings=original,
        partial_rotary_factor=0.75, short_factor=[round(1 + 0.3 * i, 2) for i in range(factors_of)],
        long_factor=[round(2 + 1.1 * i, 2) for i in range(factors_of)])


def _experts(count, used, ffn, normalize):
    return dict(num_experts=count, num_experts_per_tok=used, moe_intermediate_size=ffn,
                norm_topk_prob=normalize)


_GEMMA_ROPE = dict(full_attention=_rope(1000000.0), sliding_attention=_rope(100.0))
_GEMMA3_LINEAR_ROPE = dict(
    full_attention=_rope(1000.0, rope_type="linear", factor=4.0),
    sliding_attention=_rope(10000.0))

F32_GOLDENS = [
    Golden("llama_mha", "llama", "Llama",
           _config(101, 32, 56, 3, 4, 4, rope_parameters=_rope(10000.0)),
           omit_keys=("llama.rope.freq_base", "llama.attention.head_count_kv")),
    Golden("llama_gqa_tied", "llama", "Llama",
           _config(96, 48, 72, 2, 6, 2, tied=True, rope_parameters=_rope(300.0)), embedding_sd=0.5),
    Golden("llama_bias", "llama", "Llama",
           _config(97, 32, 48, 3, 4, 2, attention_bias=True, mlp_bias=True,
                   rope_parameters=_rope(500.0))),
    Golden("llama_rope_llama3", "llama", "Llama",
           _config(96, 48, 72, 2, 3, 1, tied=True,
                   rope_parameters=_rope(10000.0, rope_type="llama3", factor=8.0,
                                         low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=64)),
           embedding_sd=0.4),
    Golden("llama_rope_linear", "llama", "Llama",
           _config(96, 32, 64, 3, 2, 1, rope_parameters=_rope(1000.0, rope_type="linear",
                                                              factor=2.5))),
    Golden("mistral", "llama", "Mistral",
           _config(103, 48, 64, 2, 4, 2, head_dim=16, sliding_window=None,
                   rope_parameters=_rope(1000.0))),
    Golden("qwen2", "qwen2", "Qwen2",
           _config(107, 32, 56, 3, 4, 2, rope_parameters=_rope(1000000.0))),
    Golden("qwen2_tied", "qwen2", "Qwen2",
           _config(96, 48, 64, 2, 3, 1, tied=True, rope_parameters=_rope(1000.0)),
           embedding_sd=0.5),
    Golden("qwen3", "qwen3", "Qwen3",
           _config(109, 48, 64, 2, 4, 2, head_dim=16, rope_parameters=_rope(1000000.0))),
    Golden("qwen3_tied", "qwen3", "Qwen3",
           _config(96, 32, 48, 3, 4, 1, head_dim=16, tied=True, rope_parameters=_rope(300.0)),
           embedding_sd=0.6),
    Golden("qwen3moe", "qwen3moe", "Qwen3Moe",
           _config(101, 48, 64, 2, 4, 2, head_dim=16, rope_parameters=_rope(1000000.0),
                   **_experts(5, 2, 20, True)), draw="/1"),
    Golden("qwen3moe_unnormed", "qwen3moe", "Qwen3Moe",
           _config(96, 32, 48, 3, 4, 1, head_dim=16, tied=True, rope_parameters=_rope(300.0),
                   **_experts(7, 3, 24, False)),
           embedding_sd=0.6, extra_keys={"qwen3moe.expert_weights_norm": False},
           draw="/3"),
    Golden("gemma2", "gemma2", "Gemma2",
           _config(113, 32, 48, 4, 4, 2, head_dim=16, tied=True, query_pre_attn_scalar=16,
                   sliding_window=12, attn_logit_softcapping=3.0, final_logit_softcapping=8.0,
                   rope_parameters=_rope(10000.0)), embedding_sd=0.6),
    # 46 layers is how a file says "27B": its attention scale follows hidden / heads, not head_dim.
    Golden("gemma2_27b", "gemma2", "Gemma2",
           _config(96, 16, 8, 46, 2, 1, head_dim=4, tied=True, query_pre_attn_scalar=8,
                   sliding_window=12, attn_logit_softcapping=3.0, final_logit_softcapping=8.0,
                   rope_parameters=_rope(10000.0)), embedding_sd=0.8),
    Golden("gemma3", "gemma3", "Gemma3",
           _config(96, 32, 16, 7, 2, 1, head_dim=24, tied=True, query_pre_attn_scalar=24,
                   sliding_window=10, rope_parameters=_GEMMA_ROPE), embedding_sd=0.5),
    Golden("gemma3_linear", "gemma3", "Gemma3",
           _config(96, 32, 56, 3, 4, 2, head_dim=16, tied=True, query_pre_attn_scalar=16,
                   sliding_window=8, final_logit_softcapping=8.0,
                   layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                   rope_parameters=_GEMMA3_LINEAR_ROPE),
           embedding_sd=0.6, omit_keys=("gemma3.rope.freq_base_swa",),
           extra_keys={"gemma3.attention.sliding_window_pattern": 3}),
    Golden("phi3", "phi3", "Phi3",
           _config(96, 32, 56, 3, 4, 4, sliding_window=None,
                   rope_parameters=_rope(10000.0, partial_rotary_factor=1.0))),
    Golden("phi3_partial", "phi3", "Phi3",
           _config(96, 48, 56, 2, 3, 1, sliding_window=None,
                   rope_parameters=_rope(100.0, partial_rotary_factor=0.5))),
    Golden("phi3_longrope_short", "phi3", "Phi3",
           _config(96, 48, 56, 2, 3, 1, sliding_window=None, max_position_embeddings=1024,
                   original_max_position_embeddings=256, rope_parameters=_longrope(256, 6))),
    Golden("phi3_longrope_long", "phi3", "Phi3",
           _config(96, 48, 56, 2, 3, 1, sliding_window=None, max_position_embeddings=256,
                   original_max_position_embeddings=32, rope_parameters=_longrope(32, 6))),
    Golden("phi3_window", "phi3", "Phi3",
           _config(96, 32, 48, 2, 4, 4, sliding_window=12,
                   rope_parameters=_rope(1000.0, partial_rotary_factor=1.0))),
]

# Blocks of 32 get rows of three blocks and five; the super-blocks of 256 get one per row.
_ROWS_OF_32 = ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4")
_ROWS_OF_256 = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")

QUANT_GOLDENS = [
    Golden(f"quant_{qtype.lower()}", "llama", "Llama",
           _config(64, 96, 160, 1, 3, 1, rope_parameters=_rope(1000.0)), qtype=qtype)
    for qtype in _ROWS_OF_32
] + [
    Golden(f"quant_{qtype.lower()}", "llama", "Llama",
           _config(64, 256, 256, 1, 4, 1, tied=True, rope_parameters=_rope(1000.0)),
           embedding_sd=0.2, qtype=qtype)
    for qtype in _ROWS_OF_256
] + [
    # Every token uses all experts, so that rounding sends none elsewhere.
    Golden("quant_experts_q5_1", "qwen3moe", "Qwen3Moe",
           _config(64, 96, 160, 1, 3, 1, rope_parameters=_rope(1000.0), head_dim=32,
                   **_experts(3, 3, 64, True)), qtype="Q5_1"),
    Golden("quant_experts_q4_k", "qwen3moe", "Qwen3Moe",
           _config(64, 256, 256, 1, 4, 1, tied=True, rope_parameters=_rope(1000.0), head_dim=64,
                   **_experts(2, 2, 256, True)), embedding_sd=0.2, qtype="Q4_K"),
]


def build_model(golden, state=None, overrides=None):
    """The transformers model in float32; `overrides` replaces top-level configuration entries."""
    config_class = getattr(
        transformers, {"Gemma3": "Gemma3TextConfig"}.get(golden.family, golden.family + "Config"))
    config = config_class(**_copy(golden.config | (overrides or {})))
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = getattr(transformers, golden.family + "ForCausalLM")(config).float().eval()
    if state is None:
        state = draw_state(golden, model)
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model


def _copy(value):
    """transformers writes into the dictionaries it is given."""
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return list(value) if isinstance(value, list) else value


def is_gemma(golden):
    return golden.family.startswith("Gemma")


def is_router(name):
    return name.endswith("mlp.gate.weight")


def nearest_choice(golden, model):
    """By how much the logit of the last expert chosen is above the next one's, at least: rounding
    that moves them by more sends a token elsewhere."""
    used = golden.config["num_experts_per_tok"]
    if used == golden.config["num_experts"]:
        return math.inf
    gaps = []

    def look(_module, _inputs, outputs):
        ordered = outputs[0].sort(-1, descending=True).values
        gaps.append((ordered[:, used - 1] - ordered[:, used]).min().item())

    hooks = [layer.mlp.gate.register_forward_hook(look) for layer in model.model.layers]
    run(model, golden.tokens())
    for hook in hooks:
        hook.remove()
    return min(gaps)


def draw_state(golden, model):
    """Weights under which every term matters: norms 1 +- 0.3, biases +- 0.3, attention scores of
    a standard deviation near 1.5, logits near `head_gain`."""
    rng = golden.rng("weights")
    state = {}
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        noise = rng.standard_normal(shape).astype(np.float32)
        if name.endswith("norm.weight"):
            value = 0.3 * noise + (0.0 if is_gemma(golden) else 1.0)  # gemma adds the 1 itself
        elif name.endswith(".bias"):
            value = 0.3 * noise
        elif "embed_tokens" in name:
            value = golden.embedding_sd * noise
        else:
            gain = golden.head_gain if "lm_head" in name else 1.0
            if any(part in name for part in ("q_proj", "k_proj", "qkv_proj")):
                gain = 1.3
            if is_router(name):
                gain = ROUTER_GAIN
            value = noise * (gain / np.sqrt(shape[-1]))
        state[name] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state


def run(model, tokens, **kwargs):
    """Logits [tokens, vocab] of one pass over all tokens."""
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    with torch.no_grad():
        return model(input_ids=ids, **kwargs).logits[0].float().numpy()
