#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes greedy.json: greedy continuations of real models by transformers in float32, for the test of ours.

    make_greedy.py MODELS_FOLDER [--steps 32]

The weights are those of the GGUF files, dequantized to float32 while loading. Every step records the token and by how
much its logit leads ("gaps"); where others are within NEAR_TIE of it, which ("near"). llama.cpp (package xllamacpp,
on the CPU, its own int8 activations and float16 cache) is then asked for its token after the same prefix; where that is
another one, it is recorded too ("llamacpp"); it does not say where that ends the text or is part of a letter only.
See README.md for the packages.
"""
import argparse
import json
import pathlib

import torch
import transformers

NEAR_TIE = 0.3
MODELS = ("smollm2-135m.gguf", "gemma3-270m.gguf")
PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "The three primary colors are red,",
    "Water boils at 100 degrees",
    "def fibonacci(n):\n    \"\"\"Returns the n-th Fibonacci number.\"\"\"\n",
    "#include <stdio.h>\n\nint main(void) {\n",
    "SELECT name, COUNT(*) FROM orders",
    "{\"name\": \"Alice\", \"age\": 30, \"city\":",
    "The first president of the United States was",
    "Photosynthesis is the process by which",
    "Q: What is 12 times 12?\nA:",
    "1, 1, 2, 3, 5, 8, 13,",
    "Dear Sir or Madam,\n\nI am writing to",
    "Recipe for pancakes\n\nIngredients:\n-",
    "Die Hauptstadt von Deutschland ist",
    "Il \u00e9tait une fois",
    "El perro corri\u00f3 por",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c",
    "\u0421\u0442\u043e\u043b\u0438\u0446\u0430 \u0420\u043e\u0441\u0441\u0438\u0438",
    "# Chapter 1\n\nIt was a bright cold day in April, and",
    "In 1969, Neil Armstrong became the first person to",
    "The opposite of hot is cold. The opposite of up is",
    "<p>Hello, <b>world</b></p>\n<ul>\n  <li>",
    "To be, or not to be, that is the question:",
)


@torch.inference_mode()
def continue_greedily(model, ids, steps):
    tokens, gaps, near = [], [], {}
    given, cache = torch.tensor([ids]), None
    for step in range(steps):
        out = model(given, past_key_values=cache, use_cache=True)
        cache, logits = out.past_key_values, out.logits[0, -1].float()
        best, order = torch.topk(logits, 50)
        tokens.append(int(order[0]))
        gaps.append(round(float(best[0] - best[1]), 3))
        ties = [int(i) for value, i in zip(best[1:], order[1:]) if float(best[0] - value) < NEAR_TIE]
        if ties:
            near[str(step)] = ties
        given = order[:1].reshape(1, 1)
    return {"tokens": tokens, "gaps": gaps, "near": near}


def by_transformers(folder, name, steps):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, quantization_config=transformers.GgufConfig(dequantize=True)).eval()
    assert all(value.dtype == torch.float32 for value in model.parameters())
    made = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        made.append({"prompt": prompt, "ids": ids, **continue_greedily(model, ids, steps)})
        print(name, repr(prompt), repr(tokenizer.decode(made[-1]["tokens"])), flush=True)
    return made


def ask_llamacpp(path, continuations):
    import xllamacpp
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 512, 1, False
    server = xllamacpp.Server(parameters)
    for one in continuations:
        one["llamacpp"] = {}
        for step, token in enumerate(one["tokens"]):
            answer = server.handle_completions({
                "prompt": one["ids"] + one["tokens"][:step], "n_predict": 1, "temperature": 0, "logprobs": 1})
            told = answer["choices"][0]["logprobs"]  # nothing for an end of text, or a part of a letter
            if told and told["content"][0]["top_logprobs"][0]["id"] != token:
                one["llamacpp"][str(step)] = told["content"][0]["top_logprobs"][0]["id"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=32)
    args = parser.parse_args()
    models = {}
    for name in MODELS:
        models[name] = by_transformers(args.folder, name, args.steps)
        ask_llamacpp(args.folder / name, models[name])
    head = {"transformers": transformers.__version__, "torch": torch.__version__, "near_tie": NEAR_TIE}
    with open(pathlib.Path(__file__).parent / "greedy.json", "w", encoding="utf-8") as out:
        out.write(json.dumps(head)[:-1] + ', "models": {\n')
        out.write(",\n".join(json.dumps(name) + ": [\n" + ",\n".join(map(json.dumps, made)) + "\n]"
                             for name, made in models.items()))
        out.write("\n}}\n")


if __name__ == "__main__":
    main()
