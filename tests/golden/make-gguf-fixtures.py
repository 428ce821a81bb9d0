"""Reference bytes for GGUF: blocks quantized by the `gguf` Python package of llama.cpp, and a small file written by it.

The package's quantizers are checked by its authors against ggml's C code. The row order of Llama's queries and keys is written out here
with NumPy's reshape and swapaxes, as convert_hf_to_gguf does it.

Run from the repository's root: python tests/golden/make-gguf-fixtures.py   (needs gguf and numpy)
Writes tests/golden/fixtures/gguf.json. Arrays are base64 of little-endian values.
"""

import base64
import json
import pathlib
import tempfile

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

ROWS, COLUMNS = 24, 96


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def values():
    """Rows of very different magnitudes, with zeros, ties of the rounding, and equal extremes of both signs."""
    rng = np.random.default_rng(20)
    rows = rng.standard_normal((ROWS, COLUMNS)) * 10.0 ** rng.integers(-3, 3, (ROWS, 1))
    rows[0] = 0
    rows[1, :32] = np.arange(-16, 16) / 2
    rows[2, :32] = np.where(np.arange(32) % 2 == 0, 1.5, -1.5)
    rows[3] = np.round(rows[3] * 4) / 4
    rows[4, :32] = 127 - np.arange(32) * 0.5
    rows[5, :4] = [-4, 3.9, 1.2, 0.6]
    rows[5, 4:32] = 0
    rows[6] *= 1e-6
    # No negative zeros: in a block of zeros the package takes its sign from the first, ggml does not look at it.
    return rows.astype(np.float32) + np.float32(0)


def permuted(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def small_file(weights):
    path = pathlib.Path(tempfile.mkdtemp()) / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_block_count(3)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_add_bos_token(True)
    writer.add_token_list(["a", "Ġb", "é", "日本"])
    writer.add_token_types([1, 1, 3, 4])
    writer.add_uint64("test.uint64", 2**40 + 1)
    writer.add_int8("test.int8", -5)
    writer.add_float64("test.float64", 0.1)
    writer.add_array("test.floats", [0.5, -1.25])
    writer.add_tensor("norm", np.arange(5, dtype=np.float32))
    writer.add_tensor("half", weights[:3].astype(np.float16))
    for name, kind in (("eight", Type.Q8_0), ("four", Type.Q4_0)):
        writer.add_tensor(name, gguf.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def main():
    weights = values()
    kinds = {}
    for kind in (Type.F16, Type.Q8_0, Type.Q4_0):
        data = gguf.quantize(weights, kind)
        kinds[kind.name] = {"bytes": encode(data), "values": encode(gguf.dequantize(data, kind).astype(np.float32))}
    rows = np.arange(24 * 2, dtype=np.float32).reshape(24, 2)
    fixture = {
        "shape": [ROWS, COLUMNS],
        "weights": encode(weights),
        "types": kinds,
        "permuted": {"heads": 3, "rows": 24, "values": encode(rows), "expected": encode(permuted(rows, 3))},
        "file": base64.b64encode(small_file(weights)).decode(),
    }
    target = pathlib.Path(__file__).parent / "fixtures" / "gguf.json"
    target.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
