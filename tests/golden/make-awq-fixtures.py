"""Reference results for AWQ on the golden models: codes, chosen exponents and output errors, computed in float64 with PyTorch.

Written from the description of the algorithm (Lin et al. 2023, llm-awq and AutoAWQ), with transformers' own attention and MLP modules as
the blocks whose output error is measured. A few channels of every norm are made loud, so that there is something to scale.

Run from the repository's root: python tests/golden/make-awq-fixtures.py
Writes tests/golden/fixtures/awq.json. Codes are base64 of one byte per weight, deflated.
"""

import base64
import json
import pathlib
import zlib

import numpy as np
import torch
from transformers import AutoModelForCausalLM

MODELS = pathlib.Path(__file__).parent / "fixtures" / "models"
CASES = [
    {"model": "qwen3-tied", "bits": 3, "group": 16, "symmetric": False, "scaling": "activation", "clip": True},
    {"model": "qwen3-untied-bf16", "bits": 4, "group": None, "symmetric": False, "scaling": "activation", "clip": True},
    {"model": "qwen2-bias", "bits": 4, "group": 16, "symmetric": False, "scaling": "duo", "clip": True},
    {"model": "qwen2-untied-f16", "bits": 3, "group": 8, "symmetric": False, "scaling": "activation", "clip": False},
    {"model": "llama-sharded-bias", "bits": 4, "group": 16, "symmetric": True, "scaling": "activation", "clip": True},
    {"model": "llama-rope-scaled", "bits": 2, "group": 16, "symmetric": False, "scaling": "duo", "clip": True},
]
SAMPLES = [[(row * 37 + i * i * 5 + (i * row) % 7) % 96 for i in range(24)] for row in range(12)]


def make_loud(model):
    """The test does the same."""
    for name, parameter in model.named_parameters():
        if name.endswith("layernorm.weight"):
            channel = torch.arange(parameter.numel())
            parameter.data *= torch.where(channel % 11 == 3, 12.0, torch.where(channel % 7 == 2, 0.2, 1.0))


def qparams(groups, case):
    """Scales, as stored in binary16, and zero points of the rows of `groups`."""
    top = 2 ** case["bits"] - 1
    if case["symmetric"]:
        half = 2 ** (case["bits"] - 1)
        largest = groups.abs().amax(1)
        scale = torch.where(largest == 0, torch.ones_like(largest), largest) / (half - 1)
    else:
        scale = (groups.amax(1) - groups.amin(1)).clamp(min=1e-5) / top
    scale = torch.tensor(np.float64(np.float16(scale.numpy()))).clamp(min=2**-24)
    zero = torch.full_like(scale, half) if case["symmetric"] else torch.round(-groups.amin(1) / scale).clamp(0, top)
    return scale, zero


def grouped(weight, case):
    return weight.reshape(-1, case["group"] or weight.shape[1])


def encode(weight, case):
    groups = grouped(weight, case)
    scale, zero = qparams(groups, case)
    codes = (torch.round(groups / scale[:, None]) + zero[:, None]).clamp(0, 2 ** case["bits"] - 1)
    return codes.reshape(weight.shape), ((codes - zero[:, None]) * scale[:, None]).reshape(weight.shape)


def candidates(inputs, linears, case):
    mean = inputs.reshape(-1, inputs.shape[-1]).abs().mean(0)
    weight = torch.cat([linear.weight.data for linear in linears])
    groups = grouped(weight, case)
    relative = (groups.abs() / (groups.abs().amax(1, keepdim=True) + 1e-6)).reshape(weight.shape).mean(0)
    for step in range(20):
        ratio = step / 20
        t = mean**ratio
        if case["scaling"] == "duo":
            t = t / (relative ** (1 - ratio) + 1e-4)
        t = t.clamp(min=1e-4)
        yield ratio, t / (t.max() * t.min()).sqrt()


def search(inputs, linears, block, case):
    expected = block(inputs)
    originals = [linear.weight.data.clone() for linear in linears]
    best = None
    errors = []
    for ratio, t in candidates(inputs, linears, case):
        for linear, original in zip(linears, originals):
            linear.weight.data = encode(original * t, case)[1] / t
        error = float(((block(inputs) - expected) ** 2).mean())
        errors.append(error)
        if best is None or error < best[0]:
            best = (error, ratio, t)
    for linear, original in zip(linears, originals):
        linear.weight.data = original
    ordered = sorted(errors)
    return best, (ordered[1] - ordered[0]) / ordered[0]


def clip(weight, inputs, case):
    """Every group clamped to the limit that changes its partial products least."""
    size = case["group"] or weight.shape[1]
    tokens = inputs.reshape(-1, weight.shape[1])
    clipped = weight.clone()
    for start in range(0, weight.shape[1], size):
        part, x = weight[:, start : start + size], tokens[:, start : start + size]
        largest = part.abs().amax(1, keepdim=True)
        lowest, limit = torch.full_like(largest, float("inf")), largest.clone()
        for step in range(10):
            trial = largest * (1 - step / 20)
            rounded = encode(torch.maximum(torch.minimum(part, trial), -trial), {**case, "group": None})[1]
            error = (((rounded - part) @ x.T) ** 2).mean(1, keepdim=True)
            limit = torch.where(error < lowest, trial, limit)
            lowest = torch.minimum(error, lowest)
        clipped[:, start : start + size] = torch.maximum(torch.minimum(part, limit), -limit)
    return clipped


def quantize_layer(layer, hidden, context, case):
    """Codes and errors of the linears of one layer, which is left as it is."""
    attention, mlp = layer.self_attn, layer.mlp
    inputs = {}
    linears = {"self_attn." + name: getattr(attention, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    linears |= {"mlp." + name: getattr(mlp, name) for name in ("gate_proj", "up_proj", "down_proj")}
    hooks = [
        linear.register_forward_pre_hook(lambda _, arguments, name=name: inputs.__setitem__(name, arguments[0].detach()))
        for name, linear in linears.items()
    ]
    output = layer(hidden, **context)
    for hook in hooks:
        hook.remove()
    folds = [("input_layernorm", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], lambda x: attention(x, **context)[0])]
    if attention.v_proj.weight.shape == attention.o_proj.weight.shape:
        folds.append(("self_attn.v_proj", ["self_attn.o_proj"], attention.o_proj))
    folds.append(("post_attention_layernorm", ["mlp.gate_proj", "mlp.up_proj"], mlp))
    folds.append(("mlp.up_proj", ["mlp.down_proj"], mlp.down_proj))
    found = [(fold, *search(inputs[fold[1][0]], [linears[name] for name in fold[1]], fold[2], case)) for fold in folds]

    weights = {name: linear.weight.data.clone() for name, linear in linears.items()}
    columns = {name: torch.ones(weight.shape[1], dtype=torch.float64) for name, weight in weights.items()}
    rows = {name: torch.ones(weight.shape[0], dtype=torch.float64) for name, weight in weights.items()}
    for (producer, consumers, _), (_, _, t), _ in found:
        for name in consumers:
            columns[name] = t
        if producer in rows:
            rows[producer] = t
    result = {"ratios": [best[1] for _, best, _ in found], "margins": [margin for _, _, margin in found], "linears": {}}
    for name, weight in weights.items():
        scaled = weight * columns[name] / rows[name][:, None]
        x = inputs[name] / columns[name]
        if case["clip"] and name not in ("self_attn.q_proj", "self_attn.k_proj"):
            scaled = clip(scaled, x, case)
        codes, rounded = encode(scaled, case)
        restored = rounded * rows[name][:, None] / columns[name]
        result["linears"][name] = {
            "codes": base64.b64encode(zlib.compress(codes.to(torch.uint8).numpy().tobytes(), 9)).decode(),
            "outputError": float(((inputs[name] @ (restored - weight).T) ** 2).mean()),
            "rtnError": float(((inputs[name] @ (encode(weight, case)[1] - weight).T) ** 2).mean()),
        }
    return result, output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def run(case):
    model = AutoModelForCausalLM.from_pretrained(MODELS / case["model"], dtype=torch.float64, attn_implementation="eager")
    make_loud(model)
    base = model.model
    ids = torch.tensor(SAMPLES)
    hidden = base.embed_tokens(ids)
    positions = torch.arange(ids.shape[1])[None]
    mask = torch.full((ids.shape[1],) * 2, float("-inf"), dtype=torch.float64).triu(1)[None, None]
    context = {"position_embeddings": base.rotary_emb(hidden, positions), "attention_mask": mask, "position_ids": positions}
    layers = []
    for layer in base.layers:
        result, hidden = quantize_layer(layer, hidden, context, case)
        layers.append(result)
    return {**case, "layers": layers}


def main():
    cases = [run(case) for case in CASES]
    for case in cases:
        print(case["model"], [layer["ratios"] for layer in case["layers"]], [f"{m:.1e}" for layer in case["layers"] for m in layer.pop("margins")])
    target = pathlib.Path(__file__).parent / "fixtures" / "awq.json"
    target.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
    print(f"{target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
