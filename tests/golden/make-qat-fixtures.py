"""Reference gradients in PyTorch of quantization-aware training on `qwen3-tied`: fake-quantized weights in groups (symmetric and asymmetric, live
and frozen scales), quantized activations, keys and values, and LoRA over NF4.

Written from the definitions (straight-through estimator of Reasoning-QAT, arXiv 2601.14888; NF4 of QLoRA), scales rounded to binary16 as
checkpoints store them. Rounding happens in float32, everything else in float64. Run from the repository's root:
python tests/golden/make-qat-fixtures.py
Writes tests/golden/fixtures/qat.json. Needs torch and transformers.
"""

import json
import math
import pathlib

import torch
from transformers import AutoModelForCausalLM, DynamicCache

FIXTURES = pathlib.Path("tests/golden/fixtures")
ROWS = [[3 + (5 * i + 11 * row + i * i) % 50 for i in range(9 + 2 * row)] for row in range(3)]
LOSS_START = 3
GROUP = 16
RANK, ALPHA = 4, 8
NF4 = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]  # fmt: skip


class Masked(torch.autograd.Function):
    """A given value, with the gradient passed on where the mask is set."""

    @staticmethod
    def forward(ctx, x, value, mask):
        ctx.save_for_backward(mask)
        return value

    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.saved_tensors[0], None, None


def weight_grid(w, bits, symmetric):
    """Scale in binary16 and zero point of each row of float32 w."""
    high, low = w.amax(1, keepdim=True).clamp(min=0), w.amin(1, keepdim=True).clamp(max=0)
    if symmetric:
        scale = (torch.maximum(high, -low) / (2 ** (bits - 1) - 1)).half().float()
        return scale, torch.full_like(scale, 2 ** (bits - 1))
    scale = ((high - low) / (2**bits - 1)).half().float()
    return scale, torch.round(-low / scale)


def fake_weight(weight, bits, symmetric, frozen):
    groups = weight.detach().float().reshape(-1, GROUP)
    scale, zero = weight_grid(groups, bits, symmetric)
    codes = (torch.round(groups / scale) + zero).clamp(0, 2**bits - 1)
    exact = groups / scale + zero
    inside = (exact >= 0) & (exact <= 2**bits - 1) if frozen else torch.ones_like(exact, dtype=torch.bool)
    value = ((codes - zero) * scale).double().reshape(weight.shape)
    return Masked.apply(weight, value, inside.double().reshape(weight.shape))


def fake_tokens(x, bits):
    """Asymmetric over the last axis; gradients stop where a rounded code is clipped."""
    y = x.detach().float()
    high, low = y.amax(-1, keepdim=True).clamp(min=0), y.amin(-1, keepdim=True).clamp(max=0)
    scale = (high - low) / (2**bits - 1)
    zero = torch.round(-low / scale)
    codes = torch.round(y / scale) + zero
    clipped = codes.clamp(0, 2**bits - 1)
    return Masked.apply(x, ((clipped - zero) * scale).double(), (codes == clipped).double())


class QuantizingCache(DynamicCache):
    bits = 8

    def update(self, keys, values, *_, **__):
        return fake_tokens(keys, self.bits), fake_tokens(values, self.bits)


def nf4(weight):
    flat = weight.detach().float().reshape(-1, 64)
    absmax = flat.abs().amax(1, keepdim=True)
    levels = torch.tensor(NF4)
    codes = torch.bucketize(flat / absmax, (levels[1:] + levels[:-1]) / 2)
    return (levels[codes] * absmax).double().reshape(weight.shape)


def low_rank(out_features, in_features, seed):
    a = torch.tensor([0.2 * math.sin(seed + 0.7 * i) for i in range(RANK * in_features)], dtype=torch.float32)
    b = torch.tensor([0.1 * math.cos(seed + 1.3 * i) for i in range(out_features * RANK)], dtype=torch.float32)
    return [t.double().reshape(shape).requires_grad_() for t, shape in ((a, (RANK, in_features)), (b, (out_features, RANK)))]


def linears(model):
    return [(name, module) for name, module in model.named_modules() if name.endswith("_proj")]


def install(model, case):
    """Replaces the forward of every decoder linear; returns extra trainable tensors by name."""
    extra = {}
    for index, (name, module) in enumerate(linears(model)):
        if case["kind"] == "lora":
            base = nf4(module.weight)
            a, b = low_rank(*module.weight.shape, index)
            extra[f"base_model.model.{name}.lora_A.weight"], extra[f"base_model.model.{name}.lora_B.weight"] = a, b
            module.forward = lambda x, base=base, a=a, b=b: x @ base.T + ALPHA / RANK * (x @ a.T @ b.T)
        else:

            def forward(x, module=module):
                weight = fake_weight(module.weight, case["bits"], case["symmetric"], case["scales"] == "frozen")
                return (fake_tokens(x, case["activations"]) if case.get("activations") else x) @ weight.T

            module.forward = forward
    return extra


def run(case):
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / "models/qwen3-tied", dtype=torch.float32).double()
    extra = install(model, case)
    count = sum(len(ids) - LOSS_START for ids in ROWS)
    loss = 0
    for ids in ROWS:
        cache = QuantizingCache() if case.get("kv") else None
        logits = model(torch.tensor([ids]), past_key_values=cache, use_cache=cache is not None).logits[0, LOSS_START - 1 : -1]
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[LOSS_START:]), reduction="sum") / count
    loss.backward()
    layer = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
    if case["kind"] == "lora":
        names = [f"base_model.model.{module}.lora_{side}.weight" for module in layer for side in "AB"]
        tensors = {name: extra[name] for name in names}
    else:
        named = dict(model.named_parameters())
        names = [f"{module}.weight" for module in layer]
        names += ["model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.k_norm.weight", "model.embed_tokens.weight"]
        tensors = {name: named[name] for name in names}
    gradients = {name: dict(norm=t.grad.norm().item(), values=t.grad.flatten()[:48].tolist()) for name, t in tensors.items()}
    return dict(case, loss=loss.item(), gradients=gradients)


CASES = [
    dict(kind="quantized", scheme="W4G16:sym", bits=4, symmetric=True, scales="live"),
    dict(kind="quantized", scheme="W4G16", bits=4, symmetric=False, scales="live"),
    dict(kind="quantized", scheme="W4G16:sym", bits=4, symmetric=True, scales="frozen"),
    dict(kind="quantized", scheme="W3G16", bits=3, symmetric=False, scales="frozen"),
    dict(kind="quantized", scheme="W4G16A8KV8:asym", bits=4, symmetric=False, scales="live", activations=8, kv=8),
    dict(kind="lora"),
]


def main():
    torch.manual_seed(0)
    (FIXTURES / "qat.json").write_text(json.dumps(dict(rank=RANK, alpha=ALPHA, cases=[run(case) for case in CASES]), indent=1) + "\n")


main()
