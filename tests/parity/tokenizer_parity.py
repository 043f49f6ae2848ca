"""Ids, spans and decoded text against the `tokenizers` package, on seeded random Unicode texts.

  tokenizer_parity.py TOKENIZE_LINES TOKENIZER_FOLDER [TEXTS]

TOKENIZER_FOLDER holds one folder per tokenizer with its tokenizer.json. Spans must be equal, but
for texts that Unicode normalization changes: there ours cover all that a character came from,
where the package keeps the first part of it only.
"""
import json
import pathlib
import random
import subprocess
import sys
import unicodedata

SEED = 20240607
# Assigned before Unicode 13: the engines compared here carry tables of different versions.
RANGES = [(0x20, 0x7E)] * 6 + [
    (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x620, 0x64A),
    (0x660, 0x669), (0x900, 0x97F), (0xE01, 0xE3A), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
    (0x2000, 0x206F), (0x2070, 0x209C), (0x2100, 0x218B), (0x2200, 0x22FF), (0x3000, 0x30FF),
    (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFA6D), (0xFB00, 0xFB4F), (0xFF01, 0xFFDC),
    (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF), (0x20000, 0x20FFF),
]
WORDS = ["the", "retrieval", "don't", "I'LL", "we've", "x's", "'S", "'\u017f", "Straße", "naïve",
         "e\u0301te\u0301", "A\u030a", "q\u0323\u0307", "1234567", "3.14", "½", "٣٤٥", "你好世界",
         "日本語", "한국어", "\u1112\u1161\u11ab", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏽",
         "http://a.b/c?d=e", "__init__", "ﬁ", "\u212b", "\u0958", "▁", "▁▁a", "Ġ", "<0x41>"]
SPACES = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000",
          "\u2003", "\u0085", "\u200b", "\u180e", "\x0b", "\x1f"]
CONTROLS = ["\x00", "\x01", "\x7f", "\u0080", "\ufeff", "\u200d", "\u202e", "\ufffd", "\ufe0f"]


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(0)


def random_text(rng, specials):
    parts = []
    for _ in range(rng.randrange(0, 24)):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice(WORDS))
        elif kind < 0.55:
            parts.append(rng.choice(SPACES))
        elif kind < 0.62:
            parts.append(rng.choice(CONTROLS))
        elif kind < 0.68:
            parts.append(rng.choice(specials))
        else:
            low, high = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5))))
    return "".join(parts)


def byte_positions(text):
    positions = [0]
    for char in text:
        positions.append(positions[-1] + len(char.encode()))
    return positions


def spans_agree(ours, theirs, exact):
    for (our_begin, our_end), (begin, end) in zip(ours, theirs):
        if (our_begin, our_end) == (begin, end):
            continue
        if exact or our_begin > begin or our_end < end:
            return False
    return True


def compare(program, folder, texts, flags):
    from tokenizers import Tokenizer
    oracle = Tokenizer.from_file(str(folder / "tokenizer.json"))
    oracle.no_truncation()
    oracle.no_padding()
    oracle.encode_special_tokens = "--plain-specials" in flags
    normal = lambda text: oracle.normalizer is None or text == unicodedata.normalize("NFC", text)
    command = [program, str(folder / "tokenizer.json"), *flags]
    output = subprocess.run(command, input=json.dumps(texts), capture_output=True,
                            encoding="utf-8")
    if output.returncode != 0:
        print(f"{folder.name}: exit {output.returncode}: {output.stderr}")
        return 1
    lines = output.stdout.split("\n")[:-1]
    bad = 0
    if len(lines) != len(texts):
        print(f"{folder.name}: {len(lines)} lines for {len(texts)} texts")
        return 1
    for text, line in zip(texts, lines):
        ours = json.loads(line)
        theirs = oracle.encode(text, add_special_tokens="--no-special-tokens" not in flags)
        at = byte_positions(text)
        spans = [(at[begin], at[end]) for begin, end in theirs.offsets]
        problems = []
        if ours["ids"] != theirs.ids:
            problems.append(f"ids {ours['ids']} not {theirs.ids}")
        elif not spans_agree([tuple(s) for s in ours["offsets"]], spans, normal(text)):
            problems.append(f"spans {ours['offsets']} not {spans}")
        if ours["decoded"] != oracle.decode(theirs.ids):
            problems.append(f"decoded {ours['decoded']!a} not {oracle.decode(theirs.ids)!a}")
        if ours["decoded_all"] != oracle.decode(theirs.ids, skip_special_tokens=False):
            problems.append(f"decoded with specials {ours['decoded_all']!a}")
        if problems:
            bad += 1
            if bad <= 5:
                print(f"{folder.name} {flags}: {text!a}: " + "; ".join(problems))
    print(f"{folder.name} {' '.join(flags)}: {len(texts) - bad} of {len(texts)} texts agree")
    return bad


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        skip("the Python package tokenizers is not installed")
    folders = sorted(path.parent for path in folder.glob("*/tokenizer.json"))
    if not folders:
        skip(f"no */tokenizer.json under {folder}")
    bad = 0
    for tokenizer in folders:
        added = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
        specials = [token["content"] for token in added]
        rng = random.Random(f"{SEED} {tokenizer.name}")
        texts = [random_text(rng, specials) for _ in range(count)]
        texts += ["", " ", "\n", "x" * 3000, " " * 3000, "😀" * 300]
        bad += compare(program, tokenizer, texts, [])
        few = texts[: max(1, count // 10)]
        bad += compare(program, tokenizer, few, ["--no-special-tokens", "--plain-specials"])
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
