"""Loads a model folder with transformers and an adapter over it with PEFT, and gives its logits on the CPU.

python load_peft.py DIR reads DIR/request.json: {model, adapter, prompts, completions}. It writes DIR/logits.f32 (the logits after each given
token of each completion, with the adapter beside the base), DIR/merged.f32 (the same of the model PEFT merges), and DIR/0.json:
{targets, versions} or {error} with what a loader said.
"""

import importlib.metadata
import json
import pathlib
import sys
import traceback

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


def logits_of(model, pairs):
    result = []
    with torch.no_grad():
        for prompt, completion in pairs:
            ids = torch.tensor([[*prompt, *completion][:-1]])
            result.append(model(input_ids=ids).logits[0, len(prompt) - 1 :].float())
    return torch.cat(result).numpy().astype("<f4")


def answer(request, folder):
    base = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, request["adapter"]).eval()
    pairs = list(zip(request["prompts"], request["completions"], strict=True))
    logits_of(model, pairs).tofile(folder / "logits.f32")
    targets = sorted(name for name, module in model.named_modules() if hasattr(module, "lora_A"))
    logits_of(model.merge_and_unload(), pairs).tofile(folder / "merged.f32")
    return {"targets": targets, "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")}}


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    try:
        response = answer(json.loads((folder / "request.json").read_text()), folder)
    except Exception as error:
        traceback.print_exc()
        response = {"error": f"{type(error).__name__}: {error}"}
    (folder / "0.json").write_text(json.dumps(response))


if __name__ == "__main__":
    main()
