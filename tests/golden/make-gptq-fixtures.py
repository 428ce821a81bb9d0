"""Reference results for GPTQ and round-to-nearest, computed independently in float64 with NumPy.

This follows the optimal-brain-surgeon form of GPTQ: the inverse Hessian is formed, and after each input its row and column are
eliminated from it. Nothing is blocked and there is no Cholesky factor, so it shares no algorithm with the engine's solver.

Run from the repository's root: python tests/golden/make-gptq-fixtures.py
Writes tests/golden/fixtures/gptq.json. Arrays are base64 of little-endian values.
"""

import base64
import itertools
import json
import pathlib

import numpy as np

OUT, IN, ROWS = 16, 64, 120
SHRINK = [1 - i / 100 for i in range(80)]


def encode(array, dtype):
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def qparams(block, bits, grid, mse):
    """Scale (rounded to binary16) and zero point of every row of `block` [rows, g]."""
    top = 2**bits - 1
    low, high = np.minimum(block.min(axis=1), 0), np.maximum(block.max(axis=1), 0)
    empty = low == high
    low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
    best_error = best_scale = best_zero = None
    for share in SHRINK if mse else [1.0]:
        if grid == "affine":
            scale = np.float64(np.float16(share * high / top - share * low / top))
            zero = np.clip(np.rint(-share * low / scale), 0, top)
        else:
            largest = share * np.maximum(-low, high)
            scale = np.float64(np.float16(largest / (2 ** (bits - 1) - 1) if grid == "signed" else 2 * largest / top))
            zero = np.full_like(scale, 2 ** (bits - 1))
        levels = np.clip(np.rint(block / scale[:, None]) + zero[:, None], 0, top) - zero[:, None]
        error = (np.abs(block - scale[:, None] * levels) ** 2.4).sum(axis=1)
        if best_error is None:
            best_error, best_scale, best_zero = error, scale, zero
        else:
            better = error < best_error
            best_error = np.where(better, error, best_error)
            best_scale, best_zero = np.where(better, scale, best_scale), np.where(better, zero, best_zero)
    return best_scale, best_zero


def all_qparams(weight, group, bits, grid, mse):
    starts = range(0, weight.shape[1], group)
    pairs = [qparams(weight[:, start : start + group], bits, grid, mse) for start in starts]
    return np.stack([scale for scale, _ in pairs], axis=1), np.stack([zero for _, zero in pairs], axis=1)


def gptq(weight, inputs, bits, group, grid, mse, act_order, static):
    n, top = weight.shape[1], 2**bits - 1
    hessian = 2 / len(inputs) * inputs.T @ inputs
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = 1
    live = np.where(dead, 0.0, weight)
    order = np.argsort(-np.diag(hessian), kind="stable") if act_order else np.arange(n)
    current = live[:, order].copy()
    hessian = hessian[np.ix_(order, order)]
    inverse = np.linalg.inv(hessian + 0.01 * np.diag(hessian).mean() * np.eye(n))
    scales, zeros = all_qparams(live, group, bits, grid, mse)
    dynamic = not static and scales.shape[1] > 1
    groups = np.arange(n) // group if dynamic else order // group
    codes = np.zeros(weight.shape, dtype=np.uint8)
    for step in range(n):
        if dynamic and step % group == 0:
            scales[:, step // group], zeros[:, step // group] = qparams(current[:, step : step + group], bits, grid, mse)
        scale, zero = scales[:, groups[step]], zeros[:, groups[step]]
        code = np.clip(np.rint(current[:, step] / scale) + zero, 0, top)
        codes[:, order[step]] = code
        error = (current[:, step] - scale * (code - zero)) / inverse[step, step]
        current[:, step:] -= np.outer(error, inverse[step, step:])
        inverse = inverse - np.outer(inverse[:, step], inverse[step, :]) / inverse[step, step]
    group_of = np.empty(n, dtype=int)
    group_of[order] = groups
    return codes, scales, zeros, group_of


def rtn(weight, bits, group, grid, mse):
    scales, zeros = all_qparams(weight, group, bits, grid, mse)
    group_of = np.arange(weight.shape[1]) // group
    codes = np.clip(np.rint(weight / scales[:, group_of]) + zeros[:, group_of], 0, 2**bits - 1)
    return codes.astype(np.uint8), scales, zeros, group_of


def output_error(weight, inputs, codes, scales, zeros, group_of):
    quantized = scales[:, group_of] * (codes - zeros[:, group_of])
    return float((((weight - quantized) @ inputs.T) ** 2).mean())


def main():
    random = np.random.default_rng(20240601)
    weight = np.float64(np.float32(random.normal(size=(OUT, IN)) / 8))
    mixing = random.normal(size=(IN, IN)) / 8 + np.eye(IN)
    inputs = np.float64(np.float32(random.normal(size=(ROWS, IN)) * np.linspace(2, 0.1, IN) @ mixing))
    silenced = inputs.copy()
    silenced[:, [5, 33]] = 0
    cases = []

    def add(method, data, **options):
        x = inputs if data == "plain" else silenced
        if method == "gptq":
            codes, scales, zeros, group_of = gptq(weight, x, **options)
        else:
            codes, scales, zeros, group_of = rtn(weight, **options)
        cases.append(
            {
                "method": method,
                "data": data,
                **options,
                "codes": encode(codes, "<u1"),
                "scales": encode(scales, "<f4"),
                "zeros": encode(zeros, "<u1"),
                "groupOf": group_of.tolist(),
                "outputError": output_error(weight, x, codes, scales, zeros, group_of),
            }
        )

    combinations = itertools.product([2, 3, 4, 8], [64, 16], ["affine", "mirrored"], [False, True], [False, True])
    for index, (bits, group, grid, act_order, static) in enumerate(combinations):
        add("gptq", "plain", bits=bits, group=group, grid=grid, mse=index % 3 == 0, act_order=act_order, static=static)
    for act_order, static in itertools.product([False, True], repeat=2):
        add("gptq", "plain", bits=3, group=24, grid="affine", mse=True, act_order=act_order, static=static)
        add("gptq", "silenced", bits=3, group=16, grid="affine", mse=False, act_order=act_order, static=static)
    for bits, group, grid in itertools.product([2, 3, 4, 8], [64, 16], ["affine", "signed"]):
        add("rtn", "plain", bits=bits, group=group, grid=grid, mse=bits == 3)

    fixture = {
        "outFeatures": OUT,
        "inFeatures": IN,
        "weight": encode(weight, "<f4"),
        "inputs": {"plain": encode(inputs, "<f4"), "silenced": encode(silenced, "<f4")},
        "cases": cases,
    }
    target = pathlib.Path(__file__).parent / "fixtures" / "gptq.json"
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in fixture.pop("cases"))
    target.write_text(json.dumps(fixture)[:-1] + f', "cases": [\n{rows}\n]}}\n')
    print(f"{len(cases)} cases, {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
