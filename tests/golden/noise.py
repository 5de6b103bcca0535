# SPDX-License-Identifier: Apache-2.0
"""How far a correct engine's roundings move the logits: transformers run with the same rounding.

These give the tolerances their size; they are not a model of any particular kernel.
"""

import contextlib

import torch
from transformers import DynamicCache

import goldens


class HalfCache(DynamicCache):
    """Keeps keys (after RoPE) and values in float16."""

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        return super().update(key_states.half().float(), value_states.half().float(), layer_idx,
                              *args, **kwargs)


def half_kv(model, tokens):
    """Logits with a float16 KV cache."""
    return goldens.run(model, tokens, past_key_values=HalfCache(), use_cache=True)


def int8_activations(model, tokens, block):
    """Logits with the input of every matrix in int8, one scale per `block` values."""
    with rounded_to_int8(block):
        return goldens.run(model, tokens)


def rounded_to_int8(block):
    """Within it the input of every matrix is so rounded."""
    return _rounded_inputs(lambda x: _to_int8(x, block))


def half_activations(model, tokens, dtype):
    """Logits with the input of every matrix in float16 or bfloat16."""
    with _rounded_inputs(lambda x: x.to(dtype).float()):
        return goldens.run(model, tokens)


@contextlib.contextmanager
def _rounded_inputs(rounding):
    exact = torch.nn.functional.linear
    torch.nn.functional.linear = lambda x, *weights: exact(rounding(x), *weights)
    yield
    torch.nn.functional.linear = exact


def _to_int8(x, block):
    blocks = x.reshape(*x.shape[:-1], -1, block)
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    return (torch.round(blocks / scale.clamp_min(1e-30)) * scale).reshape(x.shape)
