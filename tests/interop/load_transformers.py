"""Loads model folders with transformers, through whatever loader each one's quantization_config names, and answers prompts on the CPU.

python load_transformers.py DIR reads DIR/request.json: {rows: [{model, dtype, backend, dequantize, prompts, completions,
modules}]}. For row N it writes
DIR/N.logits.f32 (the logits after each given token of each completion), DIR/N.weights.f32 (the float weights [out, in] of `modules`, as the
loader's own code dequantizes them), and DIR/N.json: {completions, kinds, versions} with the greedy completions and the classes of the
linears, or {error} with what the loader said. One process for all rows, because importing the packages takes longer than a row.
"""

import importlib.metadata
import json
import pathlib
import sys
import traceback

import torch
from transformers import AutoModelForCausalLM, AwqConfig, CompressedTensorsConfig, GPTQConfig


def weight_of(module):
    """[out, in] in float32; scales are widened first, so that the product is not rounded to their type."""
    kind = type(module).__name__
    if kind == "Linear4bit":
        import bitsandbytes.functional as functional

        module.weight.quant_state.dtype = torch.float32
        return functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    if kind.startswith("Awq"):
        from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

        return dequantize_gemm(module.qweight, module.qzeros, module.scales.float(), module.bits, module.group_size).T
    if hasattr(module, "dequantize_weight"):
        module.scales = module.scales.float()
        return module.dequantize_weight().float().T
    if hasattr(module, "weight_packed"):
        from compressed_tensors.compressors import decompress_module

        decompress_module(module)
    return module.weight.data.float()


def load(row, backend):
    """With GPTQModel's kernel `backend`, or the one it chooses by itself."""
    section = json.loads((pathlib.Path(row["model"]) / "config.json").read_text()).get("quantization_config", {})
    options = {}
    if backend and section.get("quant_method") == "gptq":
        options["quantization_config"] = GPTQConfig(bits=section["bits"], backend=backend)
    if backend and section.get("quant_method") == "awq":
        options["quantization_config"] = AwqConfig(bits=section["bits"], backend=f"{backend}_awq")
    if row.get("dequantize"):
        options["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(row["model"], dtype=getattr(torch, row["dtype"]), device_map={"": "cpu"}, **options)
    return model.eval()


def logits_after(model, prompt, completion):
    ids = torch.tensor([[*prompt, *completion][:-1]])
    with torch.no_grad():
        return model(input_ids=ids).logits[0, len(prompt) - 1 :].float()


def greedy(model, prompt, count):
    ids = torch.tensor([prompt])
    model.generation_config.eos_token_id = None
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, pad_token_id=0)
    return out[0, len(prompt) :].tolist()


def versions():
    names = ("torch", "transformers", "optimum", "gptqmodel", "bitsandbytes", "compressed-tensors")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def answer(row, prefix):
    model = load(row, row.get("backend"))
    pairs = list(zip(row["prompts"], row["completions"], strict=True))
    logits = torch.cat([logits_after(model, prompt, completion) for prompt, completion in pairs])
    logits.numpy().astype("<f4").tofile(f"{prefix}.logits.f32")
    completions = [greedy(model, prompt, len(completion)) for prompt, completion in pairs]
    kinds = sorted({type(model.get_submodule(name)).__name__ for name in row["modules"]})
    # Kernels rearrange weights into layouts of their own; the plain PyTorch one keeps the stored layout.
    plain = load(row, "torch")
    weights = [weight_of(plain.get_submodule(name)).contiguous().flatten() for name in row["modules"]]
    torch.cat(weights).cpu().numpy().astype("<f4").tofile(f"{prefix}.weights.f32")
    return {"completions": completions, "kinds": kinds, "versions": versions()}


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    for index, row in enumerate(json.loads((folder / "request.json").read_text())["rows"]):
        try:
            response = answer(row, folder / str(index))
        except Exception as error:
            traceback.print_exc()
            response = {"error": f"{type(error).__name__}: {error}"}
        (folder / f"{index}.json").write_text(json.dumps(response))


if __name__ == "__main__":
    main()
