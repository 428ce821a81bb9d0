"""Makes the golden fixtures of the decoder: one tiny random checkpoint per case, with transformers' float32 answers beside it.

Run from the repository root with torch, transformers, safetensors and tokenizers installed:

    python tests/golden/make-model-fixtures.py

Every case folder holds a Hugging Face model (config.json, safetensors) and expected.json: prompts, logits of the first prompt at
every position, and greedy continuations. tests/golden/fixtures/tokenizer holds a byte-level BPE tokenizer and its encodings.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

FIXTURES = Path(__file__).parent / "fixtures" / "models"
VOCABULARY = 96
NEW_TOKENS = 40
SHAPE = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=2)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)

# name: (configuration, model class, options); kv heads 2 of 4 is grouped-query attention
CASES = {
    "qwen3-tied": (Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True), Qwen3ForCausalLM, {}),
    "qwen3-untied-bf16": (Qwen3Config(**SHAPE, num_key_value_heads=1, head_dim=8, tie_word_embeddings=False), Qwen3ForCausalLM, {"dtype": torch.bfloat16}),
    "qwen2-bias": (Qwen2Config(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True), Qwen2ForCausalLM, {}),
    "qwen2-untied-f16": (Qwen2Config(**SHAPE, num_key_value_heads=4, tie_word_embeddings=False), Qwen2ForCausalLM, {"dtype": torch.float16}),
    "llama-rope-scaled": (LlamaConfig(**SHAPE, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False, rope_parameters=LLAMA3_ROPE), LlamaForCausalLM, {}),
    "llama-sharded-bias": (LlamaConfig(**SHAPE, num_key_value_heads=4, attention_bias=True, tie_word_embeddings=True), LlamaForCausalLM, {"shards": "15KB"}),
}
PROMPTS = [[3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26], [7], [0, 50, 50, 50, 51, 3, 88, 4, 5, 95, 94, 93, 12, 11, 10, 9, 41]]


def randomize(model, seed):
    """Weights spread widely enough that every part matters: norms away from 1, biases away from 0, layers that outweigh the embedding."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.5 * noise)
            elif "embed" in name or "lm_head" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * (2 / parameter.shape[1] ** 0.5))


def greedy(model, prompt):
    """Greedy continuation without stop tokens, every step a full forward pass, with the smallest margin between the best two logits."""
    ids, margin = list(prompt), float("inf")
    for _ in range(NEW_TOKENS):
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[len(prompt):], margin


def continuations(model):
    """Greedy continuations of all prompts; None when they are too close to a tie, too monotonous or meet a control token."""
    results = [greedy(model, prompt) for prompt in PROMPTS]
    margin = min(item[1] for item in results)
    tokens = [item[0] for item in results]
    if margin < 2e-3 or any(len(set(ids)) < 12 or min(ids) < 3 for ids in tokens):
        return None
    return tokens, margin


def make_case(name, seed):
    """Takes the first seed whose continuations are worth comparing."""
    config, model_class, options = CASES[name]
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    model = model_class(config).eval()
    found = None
    while found is None:
        randomize(model, seed)
        with torch.no_grad():
            found = continuations(model.to(options.get("dtype", torch.float32)).float())
        seed += 1
    model.to(options.get("dtype", torch.float32)).save_pretrained(folder, max_shard_size=options.get("shards", "1GB"))
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0]])).logits[0]
        tokens, margin = continuations(model)
    expected = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "prompts": PROMPTS,
        "logits": [[round(value, 6) for value in row] for row in logits.tolist()],
        "greedy": tokens,
        "smallestMargin": margin,
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    return seed - 1, margin


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index, name in enumerate(CASES):
        seed, margin = make_case(name, seed=1000 * (index + 1))
        print(f"{name}: seed {seed}, greedy margin {margin:.4f}")
