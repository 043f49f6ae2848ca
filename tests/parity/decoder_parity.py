#!/usr/bin/env python3
"""Compares the decoder with transformers.

random   tiny randomly initialised models of every family and variant, 300 tokens: logits of a whole
         prefill, a chunked one and single steps within 1e-4 (float32)
smollm2  SmolLM2-135M-Instruct from GGUF: logits within 1e-3, the same greedy ids on ten prompts

Prints "SKIPPED: reason" and ends with 0 where a package or the model is absent.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

NUM_TOKENS = 300
CHUNK_TOKENS = 64  # decoder_logits' own
VOCAB = 307
NEW_TOKENS = 16
MODES = ("prefill", "chunked", "stepwise")
PROMPTS = [
    "The capital of France is",
    "The sea was calm that morning, and",
    "List three prime numbers.",
    "Explain gravity to a child.",
    "Translate 'good morning' into Spanish.",
    "Who wrote Hamlet?",
    "def fibonacci(n):",
    "The quick brown fox",
    "Once upon a time, in a village by the river,",
    "12 + 30 =",
]


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(0)


try:
    import numpy
    import torch
    import transformers
except ImportError as error:
    skip(f"{error.name} is not installed")


def llama(**changes):
    fields = dict(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=112,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    fields.update(changes)
    return fields


def scaled(rope_type, **parameters):
    return {"rope_type": rope_type, "rope_theta": 10000.0, **parameters}


LLAMA3 = dict(
    factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
YARN = dict(factor=4.0, original_max_position_embeddings=128)

# name: (family, config fields, what else)
#   rope_scaling  config.json is rewritten to the spelling of transformers 4 with these entries
#   shards        save in shards of this size
#   dtype         save the checkpoint in this dtype
VARIANTS = {
    "llama_group1": ("Llama", llama(num_key_value_heads=4), {}),
    "llama_group2": ("Llama", llama(), {}),
    "llama_group4": ("Llama", llama(num_attention_heads=8, num_key_value_heads=2), {}),
    "llama_group7": (
        "Llama",
        llama(hidden_size=84, num_attention_heads=14, num_key_value_heads=2, head_dim=8),
        {},
    ),
    "llama_group8": ("Llama", llama(num_attention_heads=8, num_key_value_heads=1), {}),
    "llama_group3_wide_heads": (
        "Llama",
        llama(hidden_size=72, num_attention_heads=9, num_key_value_heads=3, head_dim=32),
        {},
    ),
    "llama_tied": ("Llama", llama(tie_word_embeddings=True, num_hidden_layers=4), {}),
    "llama_biases": ("Llama", llama(attention_bias=True, mlp_bias=True), {}),
    "llama_theta": ("Llama", llama(rope_parameters=scaled("default", rope_theta=500000.0)), {}),
    "llama_linear": ("Llama", llama(rope_parameters=scaled("linear", factor=2.5)), {}),
    "llama_linear_old": (
        "Llama",
        llama(rope_parameters=scaled("linear", factor=2.5)),
        {"rope_scaling": {"type": "linear", "factor": 2.5}},
    ),
    "llama_dynamic": (
        "Llama",
        llama(rope_parameters=scaled("dynamic", factor=4.0), max_position_embeddings=128),
        {},
    ),
    "llama_dynamic_old": (
        "Llama",
        llama(rope_parameters=scaled("dynamic", factor=4.0), max_position_embeddings=128),
        {"rope_scaling": {"type": "dynamic", "factor": 4.0}},
    ),
    "llama_llama3": ("Llama", llama(rope_parameters=scaled("llama3", **LLAMA3)), {}),
    "llama_llama3_old": (
        "Llama",
        llama(rope_parameters=scaled("llama3", **LLAMA3)),
        {"rope_scaling": {"rope_type": "llama3", **LLAMA3}},
    ),
    "llama_yarn": ("Llama", llama(rope_parameters=scaled("yarn", **YARN)), {}),
    "llama_yarn_old": (
        "Llama",
        llama(rope_parameters=scaled("yarn", **YARN)),
        {"rope_scaling": {"type": "yarn", **YARN}},
    ),
    "llama_yarn_mscale": (
        "Llama",
        llama(rope_parameters=scaled("yarn", mscale=0.7, mscale_all_dim=1.3, **YARN)),
        {},
    ),
    "llama_yarn_factor": (
        "Llama",
        llama(
            rope_parameters=scaled(
                "yarn", attention_factor=0.9, beta_fast=20.0, beta_slow=2.0, truncate=False, **YARN
            )
        ),
        {},
    ),
    "llama_sharded": ("Llama", llama(), {"shards": "60KB"}),
    "llama_bfloat16": ("Llama", llama(), {"dtype": torch.bfloat16}),
    "llama_float16": ("Llama", llama(), {"dtype": torch.float16}),
    "mistral_window": ("Mistral", llama(sliding_window=32), {}),
    "mistral_full": ("Mistral", llama(sliding_window=None, head_dim=24), {}),
    "qwen2": ("Qwen2", llama(tie_word_embeddings=True), {}),
    "qwen2_window": (
        "Qwen2",
        llama(use_sliding_window=True, sliding_window=40, max_window_layers=1),
        {},
    ),
    "qwen3": ("Qwen3", llama(head_dim=32, tie_word_embeddings=True), {}),
    "qwen3_group8": ("Qwen3", llama(num_attention_heads=8, num_key_value_heads=1, head_dim=16), {}),
}


def random_model(family, fields, seed):
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**fields)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # The default spread of 0.02 makes attention flat and logits tiny: errors would not show.
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.1 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    return model


def to_old_spelling(folder, rope_scaling):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("rope_parameters", None)
    config["rope_theta"] = 10000.0
    config["rope_scaling"] = rope_scaling
    path.write_text(json.dumps(config))


def passes(mode):
    """Lengths of the passes over NUM_TOKENS tokens, as the decoder cuts them."""
    if mode == "prefill":
        return [NUM_TOKENS]
    if mode == "stepwise":
        return [1] * NUM_TOKENS
    last = max(NUM_TOKENS % CHUNK_TOKENS or CHUNK_TOKENS, 64)
    full, rest = divmod(NUM_TOKENS - last, CHUNK_TOKENS)
    return [CHUNK_TOKENS] * full + [rest] * (rest > 0) + [last]


def reopened(folder, family):
    """The saved checkpoint in float32: casting a model in place would round its rotary buffers too."""
    return getattr(transformers, f"{family}ForCausalLM").from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )


@torch.no_grad()
def golden_logits(model, ids, lengths):
    cache, rows, done = None, [], 0
    for length in lengths:
        out = model(ids[:, done : done + length], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        rows.append(out.logits[0])
        done += length
    return torch.cat(rows).numpy()


def golden_by_mode(folder, family, ids):
    """Logits for each mode. Dynamic NTK alone depends on how the tokens were fed: a pass rotates by
    the length it ends at, and keys keep the angle of the pass they came in. So it is fed likewise,
    each time by a fresh model, since transformers' own keeps the longest length it has seen."""
    model = reopened(folder, family)
    whole = golden_logits(model, ids, passes("prefill"))
    if model.config.rope_parameters["rope_type"] != "dynamic":
        return dict.fromkeys(MODES, whole)
    return {
        mode: golden_logits(reopened(folder, family), ids, passes(mode)) for mode in MODES
    }


def run_program(program, jobs, folder):
    manifest = folder / "jobs.json"
    manifest.write_text(json.dumps(jobs))
    done = subprocess.run([program, manifest], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}: {done.stderr}")


def check(name, found, expected, bound):
    if found.shape != expected.shape:
        sys.exit(f"{name}: {found.shape} logits, expected {expected.shape}")
    worst = float(numpy.abs(found - expected).max())
    ok = worst <= bound  # false for NaN as well
    print(f"{'ok    ' if ok else 'NOT OK'} {name}: max |difference| {worst:.2e} (bound {bound:.0e})")
    return ok


def compare_random(program, only):
    ok = True
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        jobs, golden = [], {}
        for seed, (name, (family, fields, extra)) in enumerate(VARIANTS.items()):
            if only and only not in name:
                continue
            model = random_model(family, fields, seed)
            if "dtype" in extra:
                model = model.to(extra["dtype"])
            shards = {"max_shard_size": extra["shards"]} if "shards" in extra else {}
            model.save_pretrained(root / name, **shards)
            if "shards" in extra and len(list((root / name).glob("*.safetensors"))) < 2:
                sys.exit(f"{name}: was not saved in shards")
            if "rope_scaling" in extra:
                to_old_spelling(root / name, extra["rope_scaling"])
            ids = torch.randint(3, VOCAB, (1, NUM_TOKENS))
            for mode, logits in golden_by_mode(root / name, family, ids).items():
                golden[name, mode] = logits
                jobs.append(
                    dict(
                        model=str(root / name),
                        ids=ids[0].tolist(),
                        mode=mode,
                        out=str(root / f"{name}.{mode}.f32"),
                    )
                )
        run_program(program, jobs, root)
        for (name, mode), expected in golden.items():
            found = numpy.fromfile(root / f"{name}.{mode}.f32", dtype="<f4").reshape(-1, VOCAB)
            ok &= check(f"{name} {mode}", found, expected, 1e-4)
    return ok


@torch.no_grad()
def compare_smollm2(program, gguf):
    if gguf is None or not gguf.exists():
        skip(f"no model at {gguf}; examples/get_smollm2.sh brings it")
    try:
        import accelerate  # noqa: F401  transformers' own reader needs both
        import gguf as _  # noqa: F401
    except ImportError as error:
        skip(f"{error.name} is not installed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    ).eval()
    ok = True
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        jobs, texts, eos = [], [], model.config.eos_token_id
        for i, prompt in enumerate(PROMPTS):
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            out = model.generate(
                ids, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=eos, pad_token_id=eos
            )
            texts.append(out[0, ids.shape[1] :].tolist())
            jobs.append(
                dict(
                    model=str(gguf),
                    ids=ids[0].tolist(),
                    mode="greedy",
                    max_new_tokens=NEW_TOKENS,
                    out=str(root / f"{i}.json"),
                )
            )
        together = tokenizer(" ".join(PROMPTS), return_tensors="pt").input_ids
        expected = model(together).logits[0].numpy()
        for mode in ("prefill", "chunked"):
            jobs.append(
                dict(model=str(gguf), ids=together[0].tolist(), mode=mode, out=str(root / mode))
            )
        run_program(program, jobs, root)
        for i, prompt in enumerate(PROMPTS):
            found = json.loads((root / f"{i}.json").read_text())
            same = found == texts[i]
            ok &= same
            print(f"{'ok    ' if same else 'NOT OK'} {prompt!r}: {tokenizer.decode(found)!r}")
        for mode in ("prefill", "chunked"):
            found = numpy.fromfile(root / mode, dtype="<f4").reshape(-1, expected.shape[1])
            ok &= check(f"SmolLM2 {mode}", found, expected, 1e-3)
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="the built decoder_logits")
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--only", help="random: variants whose name contains this")
    parser.add_argument("what", choices=["random", "smollm2"])
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)  # two would wait for each other beside other tests
    if options.what == "random":
        ok = compare_random(options.program, options.only)
    else:
        ok = compare_smollm2(options.program, options.gguf)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
