"""Makes tests/golden/fixtures/likelihood.json: log-probabilities of token sequences and strided perplexities of the fixture models, by transformers.

Run from the repository root with torch and transformers installed:

    python tests/golden/make-likelihood-fixtures.py

Windows are scored by the loop that transformers documents for fixed-length models: labels of tokens that an earlier window scored are -100.
"""

import json
from pathlib import Path

import torch
import transformers

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = ["qwen3-tied", "qwen2-bias", "llama-rope-scaled"]
VOCABULARY = 96


def sequence_score(model, ids, start):
    """Sum of log p of ids[start:] given what stands before, and each token's share."""
    logits = model(torch.tensor([ids])).logits[0].double()
    logprobs = torch.log_softmax(logits, -1)
    return sum(logprobs[at - 1, ids[at]].item() for at in range(start, len(ids)))


def windows(model, ids, window, stride):
    """[scored tokens, negative log-probability] of each window."""
    scored, previous_end = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        new = end - previous_end
        labels = torch.tensor([ids[begin:end]])
        labels[:, :-new] = -100
        with torch.no_grad():
            logits = model(torch.tensor([ids[begin:end]])).logits[0].double()
        targets = labels[0, 1:]
        keep = targets != -100
        losses = torch.nn.functional.cross_entropy(logits[:-1][keep], targets[keep], reduction="sum")
        if keep.sum() > 0:
            scored.append([int(keep.sum()), losses.item()])
        previous_end = end
        if end == len(ids):
            break
    return scored


def main():
    generator = torch.Generator().manual_seed(7)
    cases = {}
    for name in MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / "models" / name, dtype=torch.float32).eval()
        draw = lambda count: torch.randint(3, VOCABULARY, (count,), generator=generator).tolist()
        sequences = [{"ids": draw(length), "from": start} for length, start in [(12, 5), (7, 1), (30, 29), (25, 10)]]
        with torch.no_grad():
            for sequence in sequences:
                sequence["logProbability"] = sequence_score(model, sequence["ids"], sequence["from"])
        text = draw(150)
        runs = [{"window": w, "stride": s, "windows": windows(model, text, w, s)} for w, s in [(32, 32), (32, 12), (50, 1), (200, 200)]]
        cases[name] = {"sequences": sequences, "text": text, "runs": runs}
    (FIXTURES / "likelihood.json").write_text(json.dumps(cases) + "\n")


main()
