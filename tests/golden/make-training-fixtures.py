"""Reference training steps in PyTorch: loss, gradient norm and final weights of `qwen3-tied` after a few AdamW steps.

Two micro-batches make a step; the learning rate follows a warm-up and a cosine; matrices decay, norms and embeddings do not; the
gradient norm is clipped low enough to matter. Run from the repository's root: python tests/golden/make-training-fixtures.py
Writes tests/golden/fixtures/training.json. Needs torch and transformers.
"""

import json
import math
import pathlib

import torch
from transformers import AutoModelForCausalLM

FIXTURES = pathlib.Path("tests/golden/fixtures")
SETTINGS = dict(steps=6, peak=3e-3, warmup=2, floor=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, decay=0.1, max_norm=0.6)


def sequences(vocab):
    """Eight sequences of 6 to 13 tokens; the loss counts from token 3 on."""
    state, result = 12345, []
    for index in range(8):
        ids = []
        for _ in range(6 + index):
            state = (state * 1103515245 + 12345) % 2**31
            ids.append(3 + (state >> 8) % (vocab - 3))
        result.append(ids)
    return result


def rate(step):
    if step < SETTINGS["warmup"]:
        return SETTINGS["peak"] * (step + 1) / SETTINGS["warmup"]
    progress = (step - SETTINGS["warmup"]) / (SETTINGS["steps"] - SETTINGS["warmup"])
    return SETTINGS["peak"] * (SETTINGS["floor"] + (1 - SETTINGS["floor"]) * (1 + math.cos(math.pi * progress)) / 2)


def main():
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / "models/qwen3-tied", dtype=torch.float32)
    data = sequences(model.config.vocab_size)
    named = list(model.named_parameters())
    decayed = [p for name, p in named if p.dim() > 1 and "embed_tokens" not in name]
    rest = [p for name, p in named if p.dim() == 1 or "embed_tokens" in name]
    groups = [dict(params=decayed, weight_decay=SETTINGS["decay"]), dict(params=rest, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=1, betas=(SETTINGS["beta1"], SETTINGS["beta2"]), eps=SETTINGS["epsilon"])
    steps = []
    for step in range(SETTINGS["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad()
        count = sum(len(ids) - 3 for ids in data)
        loss = 0
        for ids in data:
            logits = model(torch.tensor([ids])).logits[0, 2:-1]
            part = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[3:]), reduction="sum") / count
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["max_norm"]).item()
        optimizer.step()
        steps.append(dict(loss=loss, gradientNorm=norm, learningRate=rate(step)))
    first = {name: p.detach().flatten()[:8].tolist() for name, p in named}
    (FIXTURES / "training.json").write_text(json.dumps(dict(settings=SETTINGS, sequences=data, steps=steps, weights=first), indent=1) + "\n")


main()
