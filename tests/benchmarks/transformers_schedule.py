"""Other projects' schedule of a head profile, in transformers.

One prefill per probe with logits of every position, then greedy decoding step by step with eager
attention that returns the weights of all layers; from those, each head's mass on the needle
(CompressKV's semantic_retrieval_head_detection.py; Retrieval_Head's before it). Two things are
kinder to it than those programs are: the sums of a layer are taken at once instead of head by head,
and an answer ends where ours ended instead of after 50 tokens.

  transformers_schedule.py JOB.json RESULT.json

JOB: {"model": PATH, "threads": N, "probes": [{"prompt": [...], "spans": [[begin, end], ...],
"steps": N}, ...]}. RESULT: {"seconds": S, "srh": [[...], ...], "answers": [[...], ...]}; seconds
are those of the probes, without loading; srh is null for a head that has no sample.
"""

import json
import pathlib
import sys
import time

import torch
import transformers


def load(path, dtype=torch.float32):
    path = pathlib.Path(path)
    where = dict(pretrained_model_name_or_path=path)
    if path.suffix == ".gguf":
        where = dict(pretrained_model_name_or_path=path.parent, gguf_file=path.name)
    return transformers.AutoModelForCausalLM.from_pretrained(
        **where, dtype=dtype, attn_implementation="sdpa"
    ).eval()


def attend(model, implementation):
    model.set_attn_implementation(implementation)


@torch.no_grad()
def run_probe(model, probe):
    prompt = torch.tensor([probe["prompt"]])
    attend(model, "sdpa")
    cache = model(input_ids=prompt[:, :-1], use_cache=True).past_key_values
    attend(model, "eager")
    in_span = {prompt[0, i].item() for begin, end in probe["spans"] for i in range(begin, end)}
    token, answer, total, count = prompt[:, -1:], [], 0.0, 0
    for _ in range(probe["steps"]):
        out = model(input_ids=token, past_key_values=cache, use_cache=True, output_attentions=True)
        cache = out.past_key_values
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        answer.append(token.item())
        if answer[-1] not in in_span:
            continue
        count += 1
        for begin, end in probe["spans"]:
            mass = [weights[0, :, -1, begin:end].sum(-1) for weights in out.attentions]
            total = total + torch.stack(mass)
    srh = (total / count).flatten().tolist() if count else None
    return srh, answer


def main():
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    transformers.utils.logging.set_verbosity_error()
    model = load(job["model"])
    run_probe(model, {**job["probes"][0], "steps": 1})  # warm
    scores, answers = [], []
    started = time.perf_counter()
    for probe in job["probes"]:
        srh, answer = run_probe(model, probe)
        scores.append(srh)
        answers.append(answer)
    seconds = time.perf_counter() - started
    result = {"seconds": seconds, "srh": scores, "answers": answers}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
