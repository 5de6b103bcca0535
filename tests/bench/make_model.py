#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a llama-shaped GGUF with random F16 weights, to measure speed with: make_model.py OUT.gguf [--embedding 2048 ...]
With --experts it is a mixture of experts, qwen3moe, whose experts are --ffn wide.

The default is 2048 wide with 16 layers, 8192 in the feed-forward network, 16 heads on 8 of keys and values, and a
vocabulary of 32000: 1.1 billion weights. Needs the packages gguf and numpy.
"""
import argparse

import gguf
import numpy as np


def add_vocabulary(writer, size):
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
    for i in range(size - len(tokens)):
        tokens.append(f"▁{i:x}")
        types.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--embedding", type=int, default=2048)
    parser.add_argument("--ffn", type=int, default=8192)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--experts", type=int, default=0)
    parser.add_argument("--experts-used", type=int, default=4)
    args = parser.parse_args()

    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(args.out, "qwen3moe" if args.experts else "llama", use_temp_file=True)
    writer.add_name("random")
    writer.add_context_length(8192)
    writer.add_embedding_length(args.embedding)
    writer.add_block_count(args.layers)
    writer.add_feed_forward_length(args.ffn)
    writer.add_head_count(args.heads)
    writer.add_head_count_kv(args.kv_heads)
    if args.experts:
        writer.add_expert_count(args.experts)
        writer.add_expert_used_count(args.experts_used)
        writer.add_expert_feed_forward_length(args.ffn)
    writer.add_rope_dimension_count(args.embedding // args.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    add_vocabulary(writer, args.vocabulary)

    def matrix(name, *shape, dtype=np.float16):
        values = random.standard_normal(shape, dtype=np.float32) / np.sqrt(shape[-1], dtype=np.float32)
        writer.add_tensor(name, values.astype(dtype))

    def ones(name, length=args.embedding):
        writer.add_tensor(name, np.ones(length, dtype=np.float32))

    def feed_forward(layer):
        matrix(f"blk.{layer}.ffn_gate.weight", args.ffn, args.embedding)
        matrix(f"blk.{layer}.ffn_up.weight", args.ffn, args.embedding)
        matrix(f"blk.{layer}.ffn_down.weight", args.embedding, args.ffn)

    def experts(layer):
        matrix(f"blk.{layer}.ffn_gate_inp.weight", args.experts, args.embedding, dtype=np.float32)
        matrix(f"blk.{layer}.ffn_gate_exps.weight", args.experts, args.ffn, args.embedding)
        matrix(f"blk.{layer}.ffn_up_exps.weight", args.experts, args.ffn, args.embedding)
        matrix(f"blk.{layer}.ffn_down_exps.weight", args.experts, args.embedding, args.ffn)
        ones(f"blk.{layer}.attn_q_norm.weight", args.embedding // args.heads)
        ones(f"blk.{layer}.attn_k_norm.weight", args.embedding // args.heads)

    kv = args.embedding // args.heads * args.kv_heads
    matrix("token_embd.weight", args.vocabulary, args.embedding)
    for layer in range(args.layers):
        ones(f"blk.{layer}.attn_norm.weight")
        matrix(f"blk.{layer}.attn_q.weight", args.embedding, args.embedding)
        matrix(f"blk.{layer}.attn_k.weight", kv, args.embedding)
        matrix(f"blk.{layer}.attn_v.weight", kv, args.embedding)
        matrix(f"blk.{layer}.attn_output.weight", args.embedding, args.embedding)
        ones(f"blk.{layer}.ffn_norm.weight")
        (experts if args.experts else feed_forward)(layer)
    ones("output_norm.weight")
    matrix("output.weight", args.vocabulary, args.embedding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
