# SPDX-License-Identifier: Apache-2.0
"""The texts that tokenizers are compared on. The seed is fixed: every run has the same."""
import random

from tokenizers import normalizers

CONTEXTS = ("{}", "a{}b", " {} ", "1{}2", "'{}!")
SAMPLES = [
    "Hello world, it's we'Ve you'LL I'M 'tis 'S 'ſ don't", "3.14159 1234567 ١٢٣٤ ½¾ 12½345 ２０２６ 1000000",
    "你好，世界！これはテストです。한국어 문장입니다.", "Привет, как дела? Ελληνικά ΑΒΓ", "नमस्ते दुनिया, ไทยภาษา ខ្មែរ မြန်မာ",
    "مرحبا بالعالم שָׁלוֹם עוֹלָם", "🚀👨‍👩‍👧‍👦😶‍🌫️🇩🇪🏳️‍🌈✅ 👍🏽", "for (int i = 0; i < n; ++i) {\n\t\treturn x->y;\n}\r\n",
    "CamelCaseHTTPServer ǅungla ʰmod ÀÉÎ éàü e\u0301a\u0308", "<|im_start|>user\n</s><s>[INST] x [/INST]",
    "https://example.org/a/b?c=d&e=f#g", "\x00\x01\x7f\x85\u200b\u200d\ufeff\u2028\u2029\u3000\u00a0\u180e",
    "IMGIMGABCIZ <sentinel:12> a b  c   d    e", "`code` $1,000.00 ~^|<=> --- ... ''' \"\"\"", "\u212a\u212b\u2126 \ufb01\ufb06",
]
ALPHABET = list("aZé \t\n\r'’.,!?-/019sStTlLmMdDrRvVeE") + [
    "  ", "   ", "\r\n", "\n\n", "'s", "'LL", "'ve", "123", "4567", "½", "٣", "²", "ſ", "漢", "字", "か", "カ", "한", "ㄅ",
    "ไ", "ท", "न", "म", "\u0301", "\u0308", "\u0323", "\u0345", "\u093c", "क", "ᄒ", "ᅡ", "ᆫ", "ó", "Å", "\u0f71\u0f72", "\u20dd", "ش", "ه", "ǅ", "ʰ", "ª", "Ⅷ", "Ⓐ", "🚀", "\u200d", "\ufe0f", "🏽", "💩", "_",
    "(", ")", "$", "€", "+", "=", "|", "~", "\x00", "\x1b", "\x85", "\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\ue000",
    "\U0010ffff", "\u0378", "IMGIMG", "A", "Z", "<sentinel:7>", "▁",
]


def code_points(full):
    """All, or all of the first blocks and every 37th of the rest."""
    return (chr(cp) for cp in range(0, 0x110000)
            if (full or cp < 0x3100 or cp % 37 == 0) and not 0xD800 <= cp < 0xE000)


def decomposed(full):
    """The canonical decompositions, a thousand to a text: with marks after them in and out of order, and short of one."""
    apart = normalizers.NFD()
    pairs = [(c, apart.normalize_str(c)) for c in code_points(True)]
    pairs = [(c, parts) for c, parts in pairs if parts != c and (full or not "\uac00" <= c <= "\ud7a3" or ord(c) % 37 == 0)]
    for context in ("{}", "a{}b", "{}\u0301", "{}\u0327\u0323", "{}\u0345\u05b0", "{}\u11a8", "{}\u200d\u0301"):
        for first in range(0, len(pairs), 1000):
            yield "".join(context.format(parts) for _, parts in pairs[first:first + 1000])
            yield "".join(context.format(parts[:-1]) for _, parts in pairs[first:first + 1000])
            yield "".join(context.format(c) for c, _ in pairs[first:first + 1000])


def texts(full):
    """Alone, then packed a thousand to a text in each context, then generated."""
    for c in code_points(full):
        yield c
    for context in CONTEXTS[1:]:
        pack = []
        for c in code_points(full):
            pack.append(context.format(c))
            if len(pack) == 500:
                yield "".join(pack)
                pack = []
        yield "".join(pack)
    yield from decomposed(full)
    yield from SAMPLES
    rng = random.Random(20260101)
    for _ in range(40000 if full else 12000):
        yield "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 40)))
    for run in (" ", "\n", "a", "1", "'", "漢", "\u0301", " \n", "a ", "1a", "A", "aA", "🚀"):
        yield run * 3000
        yield run * 3000 + "x"
