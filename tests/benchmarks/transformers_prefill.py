"""A prompt through transformers, logits of its last token.

  transformers_prefill.py JOB.json RESULT.json

JOB: {"model": PATH, "threads": N, "dtype": "float32"|"bfloat16", "repeats": N, "prompts": [[...],
...]}. RESULT: {"milliseconds": [[...], ...], "next_token": [...]}, per prompt.
"""

import json
import pathlib
import sys
import time

import torch
import transformers
from transformers_schedule import load


@torch.no_grad()
def read(model, prompt):
    started = time.perf_counter()
    logits = model(input_ids=torch.tensor([prompt]), use_cache=True, logits_to_keep=1).logits
    token = logits[0, -1].argmax().item()
    return 1e3 * (time.perf_counter() - started), token


def main():
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    transformers.utils.logging.set_verbosity_error()
    model = load(job["model"], getattr(torch, job["dtype"]))
    milliseconds, next_token = [], []
    for prompt in job["prompts"]:
        _, token = read(model, prompt)  # warm
        milliseconds.append([read(model, prompt)[0] for _ in range(job["repeats"])])
        next_token.append(token)
    result = {"milliseconds": milliseconds, "next_token": next_token}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
