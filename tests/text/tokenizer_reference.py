# SPDX-License-Identifier: Apache-2.0
"""The published tokenizers as the `tokenizers` and `sentencepiece` libraries run them: what ours are held to.

pieces_of(family) and ids_of(vocab) give functions from a list of texts to what each becomes.
"""
import struct

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"


def cased(upper, lower, contraction, number, sign_tail=r"[\r\n/]*"):
    return (rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{contraction}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{contraction}"
            rf"|{number}| ?[^\s\p{{L}}\p{{N}}]+{sign_tail}|\s*[\r\n]+|\s+(?!\S)|\s+")


GPT4O = cased(UPPER, LOWER, CONTRACTION, r"\p{N}{1,3}")
NO_HAN = r"&&[^\p{Han}]]"
KIMI = r"[\p{Han}]+|" + cased(UPPER[:-1] + NO_HAN, LOWER[:-1] + NO_HAN, CONTRACTION, r"\p{N}{1,3}", r"[\r\n]*")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
DEEPSEEK_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+".replace("\ud7ff", "\\x{d7ff}")
DEEPSEEK_LETTERS = (
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+")
AFMOE_SCRIPTS = ("[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
                 "\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af"
                 "\u1100-\u11ff]+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def digits():
    return pre_tokenizers.Digits(individual_digits=True)


# One name of each family -> its published stages.
FAMILIES = {
    "gpt-2": [split(GPT2)],
    "smollm": [digits(), split(GPT2)],
    "llama-bpe": [split(LLAMA3)],
    "qwen2": [split(QWEN2)],
    "qwen35": [split(QWEN35)],
    "ufakzeka": [split(QWEN2.split("|", 7)[7])],
    "laguna": [split(r"[^\n]+|[\n]+"), split(QWEN2)],
    "minicpm5": [split(r"\p{N}{1,3}"), split(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}+"))],
    "jais-2": [split(LLAMA3.replace(r"|\s+(?!\S)|\s+", "".join(
        rf"|\s{{{n}}}(?!\S)" for n in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2")) + r"|\s{1}"))],
    "gpt-4o": [split(GPT4O)],
    "tiny_aya": [split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(GPT4O)],
    "tekken": [split(cased(UPPER, LOWER, "", r"\p{N}"))],
    "kimi-k2": [split(KIMI)],
    "youtu": [split("[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c"
                    "\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + HAN_KANA),
              split(cased(UPPER, LOWER, CONTRACTION, r"\p{N}"))],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split(HAN_KANA), split(DEEPSEEK3)],
    "spark2_5": [split(r"\p{N}{1,3}"), split(HAN_KANA),
                 split(DEEPSEEK3.replace(r"+[\r\n]*|\s*[\r\n]+", r"+|[\r\n]")), split(r"\p{N}")],
    "afmoe": [split(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"), split(AFMOE_SCRIPTS), split(DEEPSEEK3)],
    "deepseek-llm": [split("[\r\n]"), split(DEEPSEEK_LETTERS),
                     split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
                     split(DEEPSEEK_HAN), split(r"\p{N}+")],
    "deepseek-coder": [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(DEEPSEEK_HAN), digits()],
    "falcon": [split(r"[\p{P}\$\+<=>\^~\|`]+"), split(GPT2), split("[0-9][0-9][0-9]")],
    "default": [split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]")],
    "bloom": [split(BLOOM)],
    "viking": [split(BLOOM), split(r"\p{N}")],
    "seed-coder": [split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+"
                         r"|\s*[\r\n]+|\s+(?!\S)|\s+")],
    "bailingmoe": [split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                         r"|\s+(?!\S)|\s+")],
    "superbpe": [split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))")],
    "exaone-moe": [split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                         r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+")],
    "chameleon": [split("<sentinel:[0-9]+>"), split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
                  split(r"([\t\n]|    |  )"), digits(), split(r"[\p{P}!-/:-@\[-`{-~]"), split(GPT2)],
    "gemma4": [split(r"[^\n]+|[\n]+")],
}

# Other names of the families above that vocabularies carry.
SAME_FAMILY = {
    "mpt": "gpt-2", "olmo": "gpt-2", "refact": "smollm", "starcoder": "smollm", "command-r": "smollm",
    "llama3": "llama-bpe", "stablelm2": "qwen2", "llama4": "gpt-4o",
}

# The published tokenizers that bring text into normalization form C. That of qwen35 does too, but llama.cpp's file of
# ids for it, which is a reference as well, has marks apart.
COMPOSING = {"mpt", "olmo", "modern-bert", "command-r", "qwen2", "deepseek-r1-qwen", "f2llmv2", "megrez", "stablelm2",
             "hunyuan", "tiny_aya", "cohere2moe"}

# Where the reference is not to be followed, and why: vocabulary, which texts, the reason.
EXPECTED = (
    ("phi-3", lambda text: "</s>" in text,
     "after a user-defined token SentencePiece adds no space; the published LlamaTokenizer pipeline and we do"),
    ("gemma3", lambda text: "\u2581" in text,
     "GGUF spells Gemma's user-defined runs of spaces with spaces, so U+2581 typed beside spaces joins no such run"),
    ("nomic-bert-moe", lambda text: text.startswith(("A" * 3000, "a\u1100\u1163b")),
     "cuts of equal likelihood: SentencePiece sums in float, the `tokenizers` library and we in double"),
)


def followed(name, text):
    """False where the reference is not to be followed, for the reason that EXPECTED gives."""
    return not any(vocabulary in name and accepts(text) for vocabulary, accepts, _ in EXPECTED)


def pieces_of(family):
    """The lengths in bytes of the pieces of each text."""
    stage = pre_tokenizers.Sequence(FAMILIES[family])
    return lambda batch: [[len(piece.encode()) for piece, _ in stage.pre_tokenize_str(text)] if text else []
                          for text in batch]


def ids_of(vocab):
    """The ids of each text, without special tokens; None where no published pipeline is known here."""
    if vocab["model"] in ("llama", "t5"):
        processor = sentence_piece(vocab)
        return lambda batch: processor.encode(batch, num_threads=1)
    tokenizer = word_piece(vocab) if vocab["model"] == "bert" else byte_pair(vocab)
    if tokenizer is None:
        return None
    return lambda batch: [e.ids for e in tokenizer.encode_batch(batch, add_special_tokens=False)]


def byte_pair(vocab):
    """The published pipeline over a GGUF vocabulary of model gpt2 or gemma4, or None for an unknown pre-tokenizer."""
    tokens, types = vocab["tokens"], list(vocab["token_type"])
    ids = {token: i for i, token in enumerate(tokens)}
    merges = [(m[:m.index(" ", 1)], m[m.index(" ", 1) + 1:]) for m in vocab["merges"]]
    merges = [m for m in merges if m[0] in ids and m[1] in ids and m[0] + m[1] in ids]
    marked = vocab["model"] == "gemma4"
    pre = "gemma4" if marked else SAME_FAMILY.get(vocab.get("pre"), vocab.get("pre"))
    if pre not in FAMILIES:
        return None
    stages = list(FAMILIES[pre])
    model = models.BPE(vocab=ids, merges=merges, ignore_merges=pre in ("llama-bpe", "tekken", "youtu", "minicpm5"),
                       **({"byte_fallback": True, "unk_token": tokens[vocab["unknown_token_id"]], "fuse_unk": True}
                          if marked else {}))
    tokenizer = Tokenizer(model)
    if marked:
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    else:
        if vocab.get("pre") in COMPOSING:
            tokenizer.normalizer = normalizers.NFC()
        stages.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(stages)
    add_user_defined(tokenizer, tokens, types)
    return tokenizer


def add_user_defined(tokenizer, tokens, types):
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False)
                          for token, kind in zip(tokens, types) if kind == 4])


def word_piece(vocab):
    tokens = [token[1:] if token.startswith("\u2581") else token if kind == 3 else "##" + token
              for token, kind in zip(vocab["tokens"], vocab["token_type"])]
    tokenizer = Tokenizer(models.WordPiece(vocab={token: i for i, token in enumerate(tokens)},
                                           unk_token=tokens[vocab["unknown_token_id"]]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def sentence_piece(vocab):
    """SentencePiece itself, over a model file made from the vocabulary."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto()
    unigram = vocab["model"] == "t5"
    types = list(vocab["token_type"])
    scores = struct.unpack(f"<{len(types)}f", vocab["scores"])
    for i, (token, score, kind) in enumerate(zip(vocab["tokens"], scores, types)):
        if kind == 2 and i != vocab.get("unknown_token_id", 0):
            kind = 3  # SentencePiece has one unknown token
        proto.pieces.add(piece=token.replace(" ", "\u2581") if kind == 4 else token, score=score, type=kind)
    proto.trainer_spec.model_type = 1 if unigram else 2
    proto.trainer_spec.unk_id = vocab.get("unknown_token_id", 0)
    proto.trainer_spec.byte_fallback = 6 in types
    proto.normalizer_spec.add_dummy_prefix = vocab.get("add_space_prefix", not unigram)
    proto.normalizer_spec.remove_extra_whitespaces = vocab.get("remove_extra_whitespaces", False)
    proto.normalizer_spec.precompiled_charsmap = vocab.get("precompiled_charsmap", b"")
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
