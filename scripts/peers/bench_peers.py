"""The same work as `npm run bench`, in PyTorch and transformers: one case per call, one JSON object on the last line of output.

Usage: python bench_peers.py CASE [MODEL_DIR]
Cases: probe, train-step, load, prefill, decode-1, decode-64, gptq-layer, gptq-large, kd-step, grpo-step
"""

import json
import math
import resource
import sys
import time

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


def kd_step():
    """Distillation of Abacus through fake-quantized weights (W3, groups of 32, symmetric, live scales, straight-through): teacher forward,
    student forward and backward, forward KL over all tokens, clipping, fused AdamW. 16 x 128 tokens, eager float32."""
    import torch
    import torch.nn.functional as F

    bits, group = 3, 32
    top = 2 ** (bits - 1) - 1

    class FakeQuantized(torch.nn.Linear):
        def forward(self, x):
            w = self.weight
            grouped = w.detach().reshape(w.shape[0], -1, group)
            scale = (grouped.abs().amax(-1, keepdim=True) / top).to(torch.float16).float()
            rounded = (torch.clamp(torch.round(grouped / scale), -top - 1, top) * scale).reshape(w.shape)
            inside = ((grouped / scale <= top) & (grouped / scale >= -top - 1)).reshape(w.shape)
            passing = torch.where(inside, w, w.detach())
            return F.linear(x, passing + (rounded - passing).detach())

    teacher, student = load_model(), load_model().train()
    for layer in student.model.layers:
        for module in (layer.self_attn, layer.mlp):
            for child in module.children():
                if isinstance(child, torch.nn.Linear):
                    child.__class__ = FakeQuantized
    parameters = list(student.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0, fused=True)
    ids = torch.randint(3, student.config.vocab_size, (16, 128), generator=torch.Generator().manual_seed(0))

    def step():
        with torch.no_grad():
            wanted = teacher(ids, use_cache=False).logits.log_softmax(-1)
        own = student(ids, use_cache=False).logits.log_softmax(-1)
        loss = F.kl_div(own.flatten(0, 1), wanted.flatten(0, 1), log_target=True, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return {"value": best_seconds(step, 3, 15) * 1000, "unit": "ms/step"}


def grpo_step():
    """One step of TRL's GRPOTrainer on Abacus: 8 prompts x 8 completions of up to 128 tokens at temperature 1, generated by transformers,
    and one update of all weights. The best of the measured steps."""
    import os

    from transformers import AutoTokenizer

    prompts, steps = 8, 6
    with open(os.path.join(os.path.dirname(MODEL_DIR), "benchmarks", "abacus-sums.jsonl")) as file:
        rows = [json.loads(line) for line in file][: prompts * steps]
    question = next(key for key in ("problem", "question") if key in rows[0])
    data = [{"prompt": [{"role": "user", "content": row[question]}], "gold": row["answer"]} for row in rows]

    def reward(completions, gold, **_):
        return [1.0 if f"\\boxed{{{answer}}}" in item[0]["content"] else 0.0 for item, answer in zip(completions, gold)]

    size = {"prompts": prompts, "completions": 8, "maxNewTokens": 128, "steps": steps}
    return trl_grpo(load_model(), AutoTokenizer.from_pretrained(MODEL_DIR), data, reward, size)


def trl_grpo(model, tokenizer, data, reward, size, cuda=False):
    """The best but the first of `size["steps"]` steps of GRPOTrainer over rows of data, on the processor in float32 or on a GPU in bfloat16."""
    import tempfile

    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    wait = torch.cuda.synchronize if cuda else lambda: None

    class Clock(TrainerCallback):
        times, last = [], None

        def on_step_begin(self, *_, **__):
            wait()
            Clock.last = time.perf_counter()

        def on_step_end(self, *_, **__):
            wait()
            Clock.times.append(time.perf_counter() - Clock.last)

    with tempfile.TemporaryDirectory() as out:
        settings = GRPOConfig(
            output_dir=out,
            per_device_train_batch_size=size["prompts"] * size["completions"],
            num_generations=size["completions"],
            max_completion_length=size["maxNewTokens"],
            max_steps=size["steps"],
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            beta=0.0,
            epsilon=0.2,
            loss_type="grpo",
            scale_rewards="group",
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            max_grad_norm=1.0,
            gradient_checkpointing=False,
            bf16=cuda,
            use_cpu=not cuda,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=1,
        )
        trainer = GRPOTrainer(
            model.train(), reward, args=settings, train_dataset=Dataset.from_list(data), processing_class=tokenizer, callbacks=[Clock()]
        )
        trainer.train()
    return {"value": min(Clock.times[1:]), "unit": "s/step"}


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


def gptq_large(directory=MODEL_DIR, samples=128, length=512, device="cpu"):
    """GPTQ W4G128 (asymmetric, true-sequential, damping 1 %) of a whole Qwen3 folder, a layer at a time, as the method's paper goes:
    hooks on the layer, one full Hessian per group of linears, the same 128 x 512 random tokens as ours, float32, the result written as safetensors."""
    import os
    import tempfile

    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file
    from transformers import AutoConfig
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer, Qwen3RotaryEmbedding

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(directory)
    config._attn_implementation = "sdpa"
    batch = 8
    start = time.perf_counter()
    stages = [
        ["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"],
        ["self_attn.o_proj"],
        ["mlp.up_proj", "mlp.gate_proj"],
        ["mlp.down_proj"],
    ]
    with safe_open(os.path.join(directory, "model.safetensors"), "pt") as source, torch.no_grad():
        with open(os.path.join(directory, "calibration-tokens.i32"), "rb") as tokens:
            ids = torch.frombuffer(bytearray(tokens.read()), dtype=torch.int32).reshape(samples, length).long()
        hidden = torch.nn.functional.embedding(ids, source.get_tensor("model.embed_tokens.weight").float()).to(device)
        positions = torch.arange(length, device=device)[None]
        rotary = Qwen3RotaryEmbedding(config).to(device)(hidden[:1], positions)
        with tempfile.TemporaryDirectory() as out:
            for index in range(config.num_hidden_layers):
                layer = Qwen3DecoderLayer(config, index).float().eval().to(device)
                prefix = f"model.layers.{index}."
                names = [name for name in source.keys() if name.startswith(prefix)]
                layer.load_state_dict({name[len(prefix) :]: source.get_tensor(name).float() for name in names})
                modules = dict(layer.named_modules())

                def run(rows):
                    output = layer(rows, position_embeddings=rotary, position_ids=positions, attention_mask=None)
                    return output[0] if isinstance(output, tuple) else output

                packed = {}
                for stage in stages:
                    first = modules[stage[0]]
                    hessian = torch.zeros(first.in_features, first.in_features, device=device)

                    def observe(_module, inputs):
                        rows = inputs[0].reshape(-1, first.in_features)
                        hessian.addmm_(rows.T, rows, alpha=2 / (samples * length))

                    hook = first.register_forward_pre_hook(observe)
                    for begin in range(0, samples, batch):
                        run(hidden[begin : begin + batch])
                    hook.remove()
                    upper = factor_of(hessian)
                    for name in stage:
                        weight, codes, scales, zeros = solve(modules[name].weight.data.clone(), upper)
                        modules[name].weight.data.copy_(weight)
                        packed[f"{name}.codes"], packed[f"{name}.scales"], packed[f"{name}.zeros"] = codes, scales.half(), zeros
                for begin in range(0, samples, batch):
                    hidden[begin : begin + batch] = run(hidden[begin : begin + batch])
                save_file(packed, os.path.join(out, f"layer-{index}.safetensors"))
                print(f"layer {index} after {(time.perf_counter() - start) / 60:.2f} minutes", file=sys.stderr, flush=True)
    return {"value": (time.perf_counter() - start) / 60, "unit": "minutes"}


def factor_of(hessian, damp=0.01):
    """Upper Cholesky factor of the inverse of the damped Hessian."""
    import torch

    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    hessian.diagonal().add_(damp * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True)


def solve(weight, upper, bits=4, group=128, block=128):
    """Codes column by column, errors spread over the columns to come."""
    import torch

    rows, columns = weight.shape
    quantized = torch.zeros_like(weight)
    codes = torch.zeros(rows, columns, dtype=torch.uint8, device=weight.device)
    scales, zeros, top = [], [], 2**bits - 1
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        chunk = weight[:, begin:end].clone()
        errors = torch.zeros_like(chunk)
        part = upper[begin:end, begin:end]
        for column in range(end - begin):
            if (begin + column) % group == 0:
                span = chunk[:, column : column + group]
                high, low = span.amax(1).clamp(min=0), span.amin(1).clamp(max=0)
                scale = ((high - low) / top).clamp(min=1e-8)
                zero = torch.round(-low / scale)
                scales.append(scale)
                zeros.append(zero.to(torch.uint8))
            code = torch.clamp(torch.round(chunk[:, column] / scale) + zero, 0, top)
            value = scale * (code - zero)
            error = (chunk[:, column] - value) / part[column, column]
            chunk[:, column:] -= error[:, None] * part[column, column:][None]
            codes[:, begin + column], quantized[:, begin + column], errors[:, column] = code.to(torch.uint8), value, error
        weight[:, end:] -= errors @ upper[begin:end, end:]
    return quantized, codes, torch.stack(scales, 1), torch.stack(zeros, 1)


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
    "gptq-large": gptq_large,
    "kd-step": kd_step,
    "grpo-step": grpo_step,
}


def report(result):
    unit_of_peak = 1 if sys.platform == "darwin" else 1024
    result["peakMemoryBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_of_peak
    assert not any(isinstance(value, float) and math.isnan(value) for value in result.values())
    print(json.dumps(result))


if __name__ == "__main__":
    report(cases[sys.argv[1]]())
