"""Compares the keys that our policies keep of random layers with those of kvpress 0.5.5, for the
methods that both have under one rule: SnapKV, StreamingLLM, and the accumulated attention of H2O
(kvpress: ObservedAttentionPress, the mean over the rows that see a key and no recent part).

usage: policy_parity.py RETAIN_KEYS
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import types

try:
    import torch
    from kvpress import ObservedAttentionPress, SnapKVPress, StreamingLLMPress
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(0)

NUM_KEYS, HEAD_DIM, KV_HEADS, WINDOW, KERNEL, BUDGET = 300, 16, 2, 8, 5, 60


def layer(group, seed):
    """q [1, Hq, S, d], k [1, Hkv, S, d] and their causal attention [1, Hq, S, S] in float64."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(1, group * KV_HEADS, NUM_KEYS, HEAD_DIM, generator=generator) * 2
    k = torch.randn(1, KV_HEADS, NUM_KEYS, HEAD_DIM, generator=generator)
    logits = q.double() @ k.double().repeat_interleave(group, 1).transpose(2, 3)
    hidden = torch.ones(NUM_KEYS, NUM_KEYS, dtype=torch.bool).triu(1)
    return q, k, (logits / math.sqrt(HEAD_DIM)).masked_fill(hidden, -math.inf).softmax(-1)


def scores_of(press, k, attention):
    config = types.SimpleNamespace(num_attention_heads=attention.shape[1],
                                   num_key_value_heads=KV_HEADS)
    module = types.SimpleNamespace(config=config, head_dim=HEAD_DIM)
    hidden = torch.zeros(1, NUM_KEYS, 1)
    return press.score(module, hidden, k, k, attention, {})[0]


CASES = [
    ("snapkv", [], lambda: SnapKVPress(0.8, window_size=WINDOW, kernel_size=KERNEL)),
    # The half token keeps its product from being rounded below the budget.
    ("streaming", [], lambda: StreamingLLMPress(1 - (BUDGET + 0.5) / NUM_KEYS, n_sink=4)),
    ("h2o", ["heavy_share=1", "mean_per_row=1"], lambda: ObservedAttentionPress(0.8)),
]


def main():
    program = sys.argv[1]
    differences = 0
    for method, settings, press in CASES:
        for group in (1, 2, 4, 7, 8):
            q, k, attention = layer(group, seed=group)
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder)
                path.joinpath("q.f32").write_bytes(q.numpy().tobytes())
                path.joinpath("k.f32").write_bytes(k.numpy().tobytes())
                path.joinpath("settings.json").write_text(json.dumps({
                    "num_keys": NUM_KEYS, "head_dim": HEAD_DIM, "num_kv_heads": KV_HEADS,
                    "num_query_heads": group * KV_HEADS, "scale": 1 / math.sqrt(HEAD_DIM),
                    "window": WINDOW, "pooling_kernel": KERNEL, "budget": BUDGET,
                    "set": settings}))
                ours = json.loads(subprocess.run(
                    [program, method, str(path / "settings.json"), folder],
                    check=True, capture_output=True, text=True).stdout)
            scores = scores_of(press(), k, attention)
            for head in range(KV_HEADS):
                theirs = sorted(scores[head].topk(BUDGET).indices.tolist())
                if ours[head] != theirs:
                    differences += 1
                    print(f"{method}, group {group}, KV head {head}: only ours "
                          f"{sorted(set(ours[head]) - set(theirs))}, only theirs "
                          f"{sorted(set(theirs) - set(ours[head]))}")
    print(f"{len(CASES)} methods, 5 group sizes, {differences} heads differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
