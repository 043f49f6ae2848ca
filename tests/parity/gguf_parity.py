"""Compares our dequantisation with the Python package `gguf`, for every block type that we read,
and our reading of a real file with the package's, row order included.

usage: gguf_parity.py --program gguf_dump [--gguf FILE]
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

try:
    import gguf
    import numpy as np
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(0)

TYPE = gguf.GGMLQuantizationType
QUANTISED = [TYPE.F32, TYPE.F16, TYPE.BF16, TYPE.Q8_0, TYPE.Q4_0, TYPE.Q4_1, TYPE.Q5_0, TYPE.Q5_1]
# The package only reads these: random blocks, with the byte positions of their fp16 scales.
RANDOM = {TYPE.Q2_K: (80, 82), TYPE.Q3_K: (108,), TYPE.Q4_K: (0, 2), TYPE.Q5_K: (0, 2),
          TYPE.Q6_K: (208,)}


def random_blocks(block_type, rows, blocks_per_row, generator):
    """Blocks of random codes whose scales are ordinary numbers: a random scale may be NaN."""
    _, size = gguf.GGML_QUANT_SIZES[block_type]
    blocks = generator.integers(0, 256, (rows * blocks_per_row, size), dtype=np.uint8)
    for position in RANDOM[block_type]:
        scales = generator.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, position:position + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, blocks_per_row * size)


def write_synthetic(path, seed):
    """A file with one tensor per block type; returns name -> expected values."""
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "qwen2")
    expected = {}
    for block_type in QUANTISED + list(RANDOM):
        if block_type in RANDOM:
            data = random_blocks(block_type, 24, 3, generator)
        else:
            data = gguf.quantize(generator.normal(0, 0.05, (24, 256)).astype(np.float32), block_type)
        name = f"synthetic.{block_type.name}"
        expected[name] = gguf.dequantize(data, block_type)
        writer.add_tensor(name, data, raw_dtype=block_type)
    # Q8_K, which the package cannot read: float32 scale, 256 int8, 16 int16 sums.
    codes = generator.integers(-128, 128, (6, 256)).astype(np.int8)
    scales = generator.normal(0, 0.01, (6, 1)).astype(np.float32)
    data = np.concatenate([scales.view(np.uint8), codes.view(np.uint8),
                           np.zeros((6, 32), np.uint8)], axis=1)
    expected["synthetic.Q8_K"] = scales * codes.astype(np.float32)
    writer.add_tensor("synthetic.Q8_K", data, raw_dtype=TYPE.Q8_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


LAYER_NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
               "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
               "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
               "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def hf_name(name):
    parts = name.split(".")
    if parts[0] != "blk":
        return {"token_embd.weight": "model.embed_tokens.weight",
                "output_norm.weight": "model.norm.weight"}[name]
    return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.{parts[3]}"


def read_real(path):
    """A llama file as the package reads it, query and key rows put in Hugging Face's order."""
    reader = gguf.GGUFReader(path)
    heads = {"attn_q": int(reader.fields["llama.attention.head_count"].contents()),
             "attn_k": int(reader.fields["llama.attention.head_count_kv"].contents())}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        kind = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if kind in heads:
            rows, columns = values.shape
            split = values.reshape(heads[kind], rows // heads[kind] // 2, 2, columns)
            values = split.swapaxes(1, 2).reshape(rows, columns)
        yield hf_name(tensor.name), values


def compare(program, path, expected):
    """True where every tensor agrees to float32 rounding."""
    agrees = True
    with tempfile.TemporaryDirectory() as out:
        said = subprocess.run([program, path, out], check=True, capture_output=True, text=True)
        worst, exact, total = 0.0, 0, 0
        for name, values in expected:
            ours = np.fromfile(pathlib.Path(out) / f"{name}.f32", np.float32).reshape(values.shape)
            scale = float(np.abs(values).max()) or 1.0
            difference = float(np.abs(ours - values).max()) / scale
            exact += int(np.array_equal(ours, values))
            total += 1
            worst = max(worst, difference)
            # One rounding of a product and one of a sum: two units in the last place.
            if not difference <= 2.4e-7:
                print(f"{name}: differs by {difference:g} of its largest value")
                agrees = False
        print(f"{pathlib.Path(path).name}: {total} tensors, {exact} bit for bit, worst relative "
              f"difference {worst:g}; {said.stdout.strip()}")
    return agrees and total > 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--gguf")
    options = parser.parse_args()
    agrees = True
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "synthetic.gguf")
        expected = write_synthetic(path, seed=20240609)
        agrees = compare(options.program, path, expected.items()) and agrees
    if options.gguf and pathlib.Path(options.gguf).exists():
        agrees = compare(options.program, options.gguf, read_real(options.gguf)) and agrees
    elif options.gguf:
        print(f"no file {options.gguf}: compared the synthetic file only")
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
