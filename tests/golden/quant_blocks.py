# SPDX-License-Identifier: Apache-2.0
"""Random but valid quantised blocks: every code, sub-scale and high bit takes every value, which
no quantiser of real weights would produce. Only the fp16 (or E8M0) scales are chosen, so that the
decoded weights have the standard deviation asked for.
"""

import gguf
import numpy as np

# type -> (byte offset of the scale d, byte offset of the minimum or None, minimum / d).
# The ratio puts the mean of the decoded block near zero.
_SCALES = {
    "Q4_0": (0, None, 0), "Q4_1": (0, 2, -7.5), "Q5_0": (0, None, 0), "Q5_1": (0, 2, -15.5),
    "Q8_0": (0, None, 0), "IQ4_NL": (0, None, 0), "IQ4_XS": (0, None, 0),
    "Q2_K": (80, 82, 1.5), "Q3_K": (108, None, 0), "Q4_K": (0, 2, 7.5), "Q5_K": (0, 2, 15.5),
    "Q6_K": (208, None, 0),
}


def kind(qtype):
    return gguf.GGMLQuantizationType[qtype]


def dequantize(rows, qtype):
    return gguf.quants.dequantize(rows, kind(qtype))


def random_rows(rng, qtype, shape, sd):
    """Bytes [rows, bytes per row] of a matrix whose weights have standard deviation near `sd`."""
    if qtype in ("F16", "BF16"):
        return gguf.quants.quantize((sd * rng.standard_normal(shape)).astype(np.float32),
                                    kind(qtype))
    elements, size = gguf.GGML_QUANT_SIZES[kind(qtype)]
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // elements, size), dtype=np.uint8)
    wanted = sd * rng.uniform(0.7, 1.3, len(blocks))
    if qtype == "MXFP4":
        blocks[:, 0] = 127
        blocks[:, 0] += np.round(np.log2(wanted / _rms(blocks, qtype))).astype(np.int8).view(
            np.uint8)
    else:
        d_at, minimum_at, ratio = _SCALES[qtype]
        _put_half(blocks, d_at, np.ones(len(blocks)))
        if minimum_at is not None:
            _put_half(blocks, minimum_at, np.full(len(blocks), ratio))
        d = wanted / _rms(blocks, qtype)
        if minimum_at is None:
            d *= rng.choice([-1, 1], len(blocks))
        else:
            _put_half(blocks, minimum_at, ratio * d)
        _put_half(blocks, d_at, d)
    return blocks.reshape(shape[0], -1)


def _rms(blocks, qtype):
    return np.sqrt(np.mean(np.square(dequantize(blocks, qtype), dtype=np.float64), axis=1))


def _put_half(blocks, offset, values):
    blocks[:, offset:offset + 2] = values.astype("<f2")[:, None].view(np.uint8)
