"""QuaRot's rotated parameters of two golden models, computed in float64 with NumPy from whole dense matrices.

Every rotation is written out as one matrix of the full size (scipy's Sylvester matrices, Paley's of order 12 from the squares modulo 11) and
multiplied in one piece, so nothing is shared with the engine's factors, slices and in-place steps. The random signs are chosen here.

Run from the repository's root, after make-model-fixtures.py: python tests/golden/make-quarot-fixtures.py
Writes tests/golden/fixtures/quarot.json. Arrays are base64 of little-endian float32.
"""

import base64
import json
import pathlib

import numpy as np
from safetensors.numpy import load_file
from scipy.linalg import block_diag, hadamard

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
# Of the second model only what the first lacks: a bias of the output projection, as many key and value heads as query heads.
CASES = {
    "qwen2-bias": {"layer": 1, "only": None},
    "llama-sharded-bias": {"layer": 0, "only": ["self_attn.v_proj.bias", "self_attn.o_proj.weight", "self_attn.o_proj.bias"]},
}


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def paley_12():
    """I + S: S is skew, its first row 1, below it the quadratic characters of i - j modulo 11."""
    squares = {i * i % 11 for i in range(1, 11)}
    skew = np.zeros((12, 12))
    skew[0, 1:], skew[1:, 0] = 1, -1
    for i in range(11):
        for j in range(11):
            if i != j:
                skew[i + 1, j + 1] = 1 if (i - j) % 11 in squares else -1
    matrix = skew + np.eye(12)
    assert (matrix @ matrix.T == 12 * np.eye(12)).all()
    return matrix


def rotated(weights, config, layer, signs):
    """The parameters outside the layers and of one layer, by name."""
    hidden, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    assert config["intermediate_size"] == 48 and config["tie_word_embeddings"]
    residual = np.diag(signs) @ hadamard(hidden) / hidden**0.5
    head = hadamard(head_dim) / head_dim**0.5
    values = block_diag(*[head] * kv_heads)
    attention = np.kron(hadamard(heads) / heads**0.5, head)
    mlp = np.kron(paley_12(), hadamard(4)) / 48**0.5

    get = lambda name: np.float64(weights[name])
    result = {
        "model.embed_tokens.weight": get("model.embed_tokens.weight") @ residual,
        "lm_head.weight": get("model.embed_tokens.weight") @ np.diag(get("model.norm.weight")) @ residual,
        "model.norm.weight": np.ones(hidden),
    }
    prefix = f"model.layers.{layer}."
    for norm, names in {
        "input_layernorm": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "post_attention_layernorm": ["mlp.gate_proj", "mlp.up_proj"],
    }.items():
        gain = np.diag(get(f"{prefix}{norm}.weight"))
        for name in names:
            result[f"{prefix}{name}.weight"] = get(f"{prefix}{name}.weight") @ gain @ residual
        result[f"{prefix}{norm}.weight"] = np.ones(hidden)
    value = f"{prefix}self_attn.v_proj"
    result[f"{value}.weight"] = values.T @ result[f"{value}.weight"]
    result[f"{value}.bias"] = get(f"{value}.bias") @ values
    output = f"{prefix}self_attn.o_proj"
    result[f"{output}.weight"] = residual.T @ get(f"{output}.weight") @ attention
    if f"{output}.bias" in weights:
        result[f"{output}.bias"] = get(f"{output}.bias") @ residual
    down = f"{prefix}mlp.down_proj.weight"
    result[down] = residual.T @ get(down) @ mlp
    return result


def load(folder):
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path))
    return weights, json.loads((folder / "config.json").read_text())


def main():
    random = np.random.default_rng(20240404)
    cases = []
    for model, case in CASES.items():
        weights, config = load(FIXTURES / "models" / model)
        signs = random.choice([-1.0, 1.0], size=config["hidden_size"])
        prefix = f"model.layers.{case['layer']}."
        parameters = {
            name: {"shape": list(array.shape), "values": encode(array)}
            for name, array in rotated(weights, config, case["layer"], signs).items()
            if case["only"] is None or name.removeprefix(prefix) in case["only"]
        }
        cases.append({"model": model, "layer": case["layer"], "signs": signs.astype(int).tolist(), "parameters": parameters})
    target = FIXTURES / "quarot.json"
    target.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
    print(f"{sum(len(case['parameters']) for case in cases)} parameters, {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
