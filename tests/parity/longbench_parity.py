"""LongBench prompts against the steps of its pred.py, with transformers' tokenizer.

  longbench_parity.py TASK_PROMPTS SHARED_DATA GGUF
"""
import json
import pathlib
import subprocess
import sys

program, shared, gguf = sys.argv[1], pathlib.Path(sys.argv[2]) / "longbench", pathlib.Path(sys.argv[3])
if not shared.exists() or not gguf.exists():
    print("SKIPPED: no shared data or no model")
    sys.exit(0)
try:
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

file = shared / "multi_news_head5.jsonl"
records = [json.loads(line) for line in file.open()]
prompts = json.loads((shared / "dataset2prompt.json").read_text())


# transformers gives this file a first token that its own metadata says it does not have.
def pred(record, max_length):
    prompt = prompts[record["dataset"]].format(**record)
    ids = tokenizer(prompt, truncation=False, add_special_tokens=False).input_ids
    if len(ids) > max_length:
        half = int(max_length / 2)
        # Where a checkpoint asks for it, transformers also tidies spaces before punctuation up.
        prompt = "".join(tokenizer.decode(part, skip_special_tokens=True,
                                          clean_up_tokenization_spaces=False)
                         for part in (ids[:half], ids[-half:]))
    return tokenizer(prompt, truncation=False, add_special_tokens=False).input_ids


cut = 0
for max_length in (100, 501, 1000, 1000000):
    done = subprocess.run([program, str(gguf), str(file), str(max_length)], capture_output=True,
                          text=True, check=True)
    found = [[int(i) for i in line.split()] for line in done.stdout.splitlines()]
    assert len(found) == len(records)
    for record, ids in zip(records, found):
        expected = pred(record, max_length)
        assert ids == expected, (max_length, record["_id"], len(ids), len(expected))
        cut += len(expected) <= max_length + 4 and max_length < 1000000
print(f"{4 * len(records)} prompts are pred.py's, {cut} of them cut")
