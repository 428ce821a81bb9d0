"""The same work as `npm run bench`, in PyTorch and transformers: one case per call, one JSON object on the last line of output.

Usage: python bench_peers.py CASE [MODEL_DIR]
Cases: probe, train-step, load, prefill, decode-1, decode-64, gptq-layer
"""

import json
import math
import resource
import sys
import time

CASE = sys.argv[1]
MODEL_DIR = sys.argv[2] if len(sys.argv) > 2 else None
PROMPT_TOKENS, NEW_TOKENS = 32, 96


def best_seconds(function, warmup, repeats):
    for _ in range(warmup):
        function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def train_step():
    """Decoder of 861K parameters: batch 16, 64 tokens, width 128, 4 layers, 4 heads, SwiGLU 384, vocabulary 64, tied, Adam."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    batch, length, width, heads, layers, vocabulary, inner = 16, 64, 128, 4, 4, 64, 384

    def weight(*shape):
        return torch.nn.Parameter(torch.randn(*shape) * 0.02)

    embedding = weight(vocabulary, width)
    blocks = [
        {
            **{name: weight(width, width) for name in ("q", "k", "v", "o")},
            "gate": weight(width, inner),
            "up": weight(width, inner),
            "down": weight(inner, width),
            "norm1": torch.nn.Parameter(torch.ones(width)),
            "norm2": torch.nn.Parameter(torch.ones(width)),
        }
        for _ in range(layers)
    ]
    parameters = [embedding] + [parameter for block in blocks for parameter in block.values()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    ids = torch.randint(0, vocabulary, (batch, length))

    def split(x):
        return x.view(batch, length, heads, width // heads).transpose(1, 2)

    def step():
        optimizer.zero_grad()
        x = embedding[ids]
        for block in blocks:
            h = F.rms_norm(x, (width,), block["norm1"], 1e-6)
            q, k, v = (split(h @ block[name]) for name in ("q", "k", "v"))
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + attended.transpose(1, 2).reshape(batch, length, width) @ block["o"]
            h = F.rms_norm(x, (width,), block["norm2"], 1e-6)
            x = x + (F.silu(h @ block["gate"]) * (h @ block["up"])) @ block["down"]
        loss = F.cross_entropy((x @ embedding.T).view(-1, vocabulary), ids.view(-1))
        loss.backward()
        optimizer.step()

    seconds = best_seconds(step, 5, 30)
    return {"value": seconds * 1000, "unit": "ms/step"}


def load_model():
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


def load():
    load_model()
    seconds = best_seconds(load_model, 0, 3)
    return {"value": seconds * 1000, "unit": "ms"}


def prefill():
    import torch

    model = load_model()
    ids = torch.randint(3, model.config.vocab_size, (16, 128))
    with torch.no_grad():
        seconds = best_seconds(lambda: model(ids, use_cache=True, logits_to_keep=1), 2, 8)
    return {"value": ids.numel() / seconds, "unit": "tokens/s"}


def decode(batch):
    import torch

    model = load_model()
    ids = torch.randint(3, model.config.vocab_size, (batch, PROMPT_TOKENS))
    options = dict(do_sample=True, temperature=0.6, top_p=0.95, top_k=0, pad_token_id=0, eos_token_id=None)

    def generate():
        model.generate(ids, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, **options)

    with torch.no_grad():
        seconds = best_seconds(generate, 1, 3)
    return {"value": batch * NEW_TOKENS / seconds, "unit": "tokens/s"}


def gptq_layer():
    """4 bits, groups of 128, asymmetric, no range search, on a 1024×1024 linear with 4,096 calibration rows."""
    import torch

    torch.manual_seed(0)
    size, rows, group, levels = 1024, 4096, 128, 15
    weight = torch.randn(size, size) * 0.02
    inputs = torch.randn(rows, size)

    def quantize():
        w = weight.clone()
        hessian = 2.0 / rows * inputs.T @ inputs
        hessian += 0.01 * hessian.diagonal().mean() * torch.eye(size)
        upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
        result = torch.zeros_like(w)
        for begin in range(0, size, group):
            block, errors = w[:, begin : begin + group].clone(), torch.zeros(size, group)
            high, low = block.amax(1).clamp(min=0), block.amin(1).clamp(max=0)
            scale = (high - low) / levels
            zero = torch.round(-low / scale)
            for j in range(group):
                column, pivot = block[:, j], upper[begin + j, begin + j]
                quantized = scale * (torch.clamp(torch.round(column / scale) + zero, 0, levels) - zero)
                result[:, begin + j] = quantized
                errors[:, j] = (column - quantized) / pivot
                block[:, j:] -= errors[:, j, None] * upper[begin + j, begin + j : begin + group][None]
            w[:, begin + group :] -= errors @ upper[begin : begin + group, begin + group :]
        return result

    with torch.no_grad():
        seconds = best_seconds(quantize, 1, 3)
    return {"value": seconds * 1000, "unit": "ms"}


def probe():
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads()}


cases = {
    "probe": probe,
    "train-step": train_step,
    "load": load,
    "prefill": prefill,
    "decode-1": lambda: decode(1),
    "decode-64": lambda: decode(64),
    "gptq-layer": gptq_layer,
}
result = cases[CASE]()
unit_of_peak = 1 if sys.platform == "darwin" else 1024
result["peakMemoryBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_of_peak
assert not any(isinstance(value, float) and math.isnan(value) for value in result.values())
print(json.dumps(result))
