#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/quant_goldens.bin: random blocks of every supported type and what the `gguf` package decodes.

Needs `pip install gguf numpy` (made with gguf 0.17 or later). One record per type, little-endian:
u32 type id, u32 elements, u32 bytes, the blocks, the elements as f32.
"""

import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

ELEMENTS = 512

# Where the half floats of a block lie: random bytes there would be NaN or infinity now and then.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0],
}


def half_floats(rng, count):
    """Finite halves of any size and sign, among them zero and subnormals."""
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] &= 0xBFFF
    bits[: count // 8] &= 0x83FF  # subnormal
    return bits


def random_blocks(rng, dtype):
    block_elements, block_bytes = GGML_QUANT_SIZES[dtype]
    blocks = rng.integers(0, 256, (ELEMENTS // block_elements, block_bytes), dtype=np.uint8)
    for offset in HALVES.get(dtype, []):
        blocks[:, offset : offset + 2] = half_floats(rng, len(blocks)).view(np.uint8).reshape(-1, 2)
    if dtype == T.MXFP4:
        blocks[:, 0] = np.linspace(0, 254, len(blocks)).astype(np.uint8)  # 255 is NaN, which gguf ignores
        blocks[1, 0] = 1
    return blocks.reshape(1, -1)


def main():
    rng = np.random.default_rng(20240229)
    types = [T.F32, T.F16, T.BF16, *HALVES, T.MXFP4]
    with open(pathlib.Path(__file__).parent / "data" / "quant_goldens.bin", "wb") as out:
        for dtype in types:
            raw = random_blocks(rng, dtype)
            with np.errstate(over="ignore"):
                values = dequantize(raw, dtype).astype("<f4")
            assert values.size == ELEMENTS
            out.write(struct.pack("<III", dtype, values.size, raw.size))
            out.write(raw.tobytes())
            out.write(values.tobytes())


if __name__ == "__main__":
    main()
