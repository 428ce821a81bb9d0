"""Reference results of bitsandbytes: its 8-bit table, NF4 with and without double quantization, and LLM.int8().

Weights are not stored: `values` below and in the test give the same float32 numbers. NF4 comes from `functional.quantize_4bit`. Two things
are asked of the library's generic kernels, which compute as its CUDA kernels do, because its CPU kernels err: the 8-bit codes of block
scales, for which the CPU searches a coarse table and misses the nearest value for some numbers close to a midpoint (the script prints how
many), and the dequantized values, for which the CPU forgets that blocks cross rows. LLM.int8() comes from the operators below
`bitsandbytes.matmul`, in float32 and one token at a time, so that a batch's other tokens decide nothing.

Run from the repository's root: python tests/golden/make-bitsandbytes-fixtures.py
Writes tests/golden/fixtures/bitsandbytes.json. Arrays are base64 of little-endian values.
"""

import base64
import hashlib
import json
import pathlib

import bitsandbytes
import numpy as np
import torch
from bitsandbytes import functional

GENERIC = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)
SHAPES = [(8, 64), (5, 48), (3, 33), (64, 640)]
THRESHOLD = 6.0


def encode(array, dtype):
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def values(count, seed):
    """Bell-shaped numbers from a multiplicative hash; every sixty-fourth part of them has its own size."""
    index = np.arange(count, dtype=np.uint64)
    total = np.zeros(count)
    for part in range(4):
        hashed = (index * np.uint64(2654435761) + np.uint64(seed * 97 + part * 1013904223)) % np.uint64(2**32)
        hashed = (hashed * np.uint64(1597334677)) % np.uint64(2**32)
        total += (hashed >> np.uint64(8)).astype(np.float64) / 2**24 - 0.5
    return np.float32(total * (1 + (index // 64) % 17) / 16)


def nf4(shape, double):
    weight = torch.tensor(values(shape[0] * shape[1], shape[1])).reshape(shape)
    packed, state = functional.quantize_4bit(weight, blocksize=64, compress_statistics=double, quant_type="nf4")
    result = {
        "shape": list(shape),
        "double": double,
        "bytes": encode(packed.numpy(), "<u1"),
    }
    if not double:
        return {**result, "dequantizedSha256": dequantized(packed, state, state.absmax), "absmax": encode(state.absmax.numpy(), "<f4")}
    nest_generically(weight, state)
    absmax = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return {
        **result,
        "dequantizedSha256": dequantized(packed, state, absmax),
        "absmaxCodes": encode(state.absmax.numpy(), "<u1"),
        "nestedAbsmax": encode(state.state2.absmax.numpy(), "<f4"),
        "nestedOffset": float(state.offset),
        "absmax": encode(absmax.numpy(), "<f4"),
    }


def nest_generically(weight, state):
    """Replaces the codes of the block scales by those of the generic kernel."""
    absmax = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")[1].absmax
    quantize = torch.ops.bitsandbytes.quantize_blockwise.default
    codes, nested = quantize.redispatch(GENERIC, absmax - state.offset, state.state2.code, 256)
    assert torch.equal(nested, state.state2.absmax)
    print(f"{tuple(weight.shape)}: the CPU kernel chooses {int((codes != state.absmax).sum())} of {len(codes)} codes differently")
    state.absmax = codes


def dequantized(packed, state, absmax):
    """sha256 of the float32 values."""
    values = torch.ops.bitsandbytes.dequantize_4bit.default.redispatch(GENERIC, packed, absmax, 64, "nf4", state.shape, torch.float32)
    return hashlib.sha256(np.float32(values.numpy()).tobytes()).hexdigest()


def int8():
    rows, columns, tokens = 12, 48, 8
    weight = torch.tensor(values(rows * columns, 5)).reshape(rows, columns)
    weight[7] = 0.25
    inputs = torch.tensor(values(tokens * columns, 6)).reshape(tokens, columns)
    inputs[2, 11], inputs[3, 11], inputs[3, 40], inputs[5, 0] = 61.5, -7.25, 12.0, 6.0
    codes, absmax, _ = functional.int8_vectorwise_quant(weight)
    outputs = []
    for token in inputs:
        row = token.reshape(1, -1).clone()
        row_codes, row_absmax, outliers = functional.int8_vectorwise_quant(row, threshold=THRESHOLD)
        output, _ = torch.ops.bitsandbytes.int8_mixed_scaled_mm(row, row_codes, codes, row_absmax, absmax, outliers)
        outputs.append(output.reshape(-1))
    return {
        "outFeatures": rows,
        "inFeatures": columns,
        "threshold": THRESHOLD,
        "weight": encode(weight.numpy(), "<f4"),
        "inputs": encode(inputs.numpy(), "<f4"),
        "codes": encode(codes.numpy(), "<i1"),
        "absmax": encode(absmax.numpy(), "<f4"),
        "outputs": encode(torch.stack(outputs).numpy(), "<f4"),
    }


def main():
    fixture = {
        "version": bitsandbytes.__version__,
        "dynamicMap": encode(functional.create_dynamic_map().numpy(), "<f4"),
        "nf4Map": encode(functional.get_4bit_type("nf4", device="cpu").numpy(), "<f4"),
        "nf4": [nf4(shape, double) for shape in SHAPES for double in (False, True)],
        "int8": int8(),
    }
    target = pathlib.Path(__file__).parent / "fixtures" / "bitsandbytes.json"
    target.write_text(json.dumps(fixture, indent=1) + "\n")
    print(f"{target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
