"""Loss and gradients of one decoder layer under FlatQuant, by PyTorch's autograd in float64 with rounding treated straight through.

The layer is written out plainly (dense Kronecker products, repeated key and value heads, inverses by torch.linalg), so it shares no
algorithm with the engine. Cases: weights, activations, keys and values at 4 and 3 bits; weights alone in groups; with and without query
and key norms and biases.

Run from the repository's root: python tests/golden/make-flatquant-fixtures.py
Writes tests/golden/fixtures/flatquant.json. Arrays are base64 of little-endian float32.
"""

import base64
import json
import math
import pathlib

import torch

HIDDEN, MLP, HEADS, KV_HEADS, HEAD_DIM, BATCH, SEQ = 16, 32, 4, 2, 8, 2, 5
THETA, EPSILON = 10_000.0, 1e-6
SPLITS = {"attentionInput": (4, 4), "mlpInput": (4, 4), "mlpOutput": (4, 8)}
LINEARS = {
    "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
    "mlp.gate_proj": (MLP, HIDDEN),
    "mlp.up_proj": (MLP, HIDDEN),
    "mlp.down_proj": (HIDDEN, MLP),
}
SITES = ["attentionInput", "attentionOutput", "mlpInput", "mlpOutput"]


def encode(tensor):
    return base64.b64encode(tensor.detach().to(torch.float32).numpy().astype("<f4").tobytes()).decode()


class StraightThrough(torch.autograd.Function):
    """Rounds exactly: x + (round(x) − x) would miss a whole number by one unit in the last place, and then count as clipped."""

    @staticmethod
    def forward(_context, x):
        return x.round()

    @staticmethod
    def backward(_context, gradient):
        return gradient


straight_through = StraightThrough.apply


def clip(codes, lowest, highest):
    """Codes at the limits pass their gradient; what torch.clamp does there changed between versions."""
    return torch.where(codes > highest, float(highest), torch.where(codes < lowest, float(lowest), codes))


def fake_quantize(x, bits, symmetric, high=None, low=None):
    """Rows of the last axis; factors scale the extremes before the scale is taken."""
    top = x.amax(-1, keepdim=True).clamp(min=0) * (1 if high is None else high)
    bottom = x.amin(-1, keepdim=True).clamp(max=0) * (1 if low is None else low)
    if symmetric:
        limit = 2 ** (bits - 1) - 1
        scale = torch.maximum(top, -bottom) / limit
        return clip(straight_through(x / scale), -limit - 1, limit) * scale
    limit = 2**bits - 1
    scale = (top - bottom) / limit
    zero = (-bottom / scale).round().detach()
    return (clip(straight_through(x / scale) + zero, 0, limit) - zero) * scale


def norm(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + EPSILON).sqrt() * weight


def rotate(x):
    """x [batch, seq, heads, head_dim]"""
    half = HEAD_DIM // 2
    angles = torch.arange(SEQ, dtype=torch.float64)[:, None] * THETA ** (-2 * torch.arange(half, dtype=torch.float64) / HEAD_DIM)
    cos, sin = angles.cos()[None, :, None], angles.sin()[None, :, None]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Layer:
    def __init__(self, parameters, trained, case):
        self.parameters, self.trained, self.case = parameters, trained, case

    def factor(self, name):
        return torch.sigmoid(self.trained[name]) if name in self.trained else None

    def token(self, name, x):
        bits = self.case["kvBits"] if name in ("keys", "values") else self.case["activationBits"]
        if not bits:
            return x
        return fake_quantize(x, bits, False, self.factor(f"{name}.high"), self.factor(f"{name}.low"))

    def dense(self, site):
        """The whole transform of a site [n, n]."""
        if site == "attentionOutput":
            return torch.kron(self.trained["heads"], self.trained["values"])
        return torch.kron(self.trained[f"{site}.left"], self.trained[f"{site}.right"])

    def read(self, site, x):
        if site == "attentionOutput":
            # The values already are in the basis of their own transform.
            x = x @ torch.kron(self.trained["heads"], torch.eye(HEAD_DIM, dtype=x.dtype))
        else:
            x = (x * self.trained[f"{site}.diagonal"]) @ self.dense(site)
        return self.token(site, x)

    def project(self, name, site, x):
        weight = self.parameters[f"{name}.weight"]
        if name == "mlp.up_proj":
            weight = weight * self.trained["mlpOutput.diagonal"][:, None]
        if site != "attentionOutput":
            weight = weight / self.trained[f"{site}.diagonal"]
        weight = weight @ torch.linalg.inv(self.dense(site)).T
        low = weight.amin(1, keepdim=True) * self.factor(f"{name}.low")[:, None]
        high = weight.amax(1, keepdim=True) * self.factor(f"{name}.high")[:, None]
        weight = torch.minimum(torch.maximum(weight, low), high)
        bias = self.parameters.get(f"{name}.bias")
        if name == "self_attn.v_proj":
            heads = torch.block_diag(*[self.trained["values"]] * KV_HEADS)
            weight = heads.T @ weight
            bias = None if bias is None else bias @ heads
        group = self.case["groupSize"] or weight.shape[1]
        rounded = fake_quantize(weight.reshape(-1, group), self.case["bits"], self.case["symmetric"]).reshape(weight.shape)
        y = x @ rounded.T
        return y if bias is None else y + bias

    def attention(self, hidden):
        x = self.read("attentionInput", norm(hidden, self.parameters["input_layernorm.weight"]))
        q, k, v = (
            self.project(f"self_attn.{name}_proj", "attentionInput", x).reshape(BATCH, SEQ, -1, HEAD_DIM) for name in "qkv"
        )
        if self.case["qkNorm"]:
            q = norm(q, self.parameters["self_attn.q_norm.weight"])
            k = norm(k, self.parameters["self_attn.k_norm.weight"])
        q, k = rotate(q), rotate(k)
        if "keys" in self.trained:
            q, k = q @ torch.linalg.inv(self.trained["keys"]).T, k @ self.trained["keys"]
        k, v = self.token("keys", k), self.token("values", v)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, dim=2) for t in (k, v))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(HEAD_DIM)
        mask = torch.ones(SEQ, SEQ, dtype=torch.bool).triu(1)
        mixed = torch.einsum("bhts,bshd->bthd", scores.masked_fill(mask, -math.inf).softmax(-1), v)
        x = self.read("attentionOutput", mixed.reshape(BATCH, SEQ, -1))
        return self.project("self_attn.o_proj", "attentionOutput", x)

    def forward(self, hidden):
        hidden = hidden + self.attention(hidden)
        x = self.read("mlpInput", norm(hidden, self.parameters["post_attention_layernorm.weight"]))
        gate, up = self.project("mlp.gate_proj", "mlpInput", x), self.project("mlp.up_proj", "mlpInput", x)
        # up_proj's rows carry the diagonal already, so the site's transform must not apply it again.
        x = torch.nn.functional.silu(gate) * up @ self.dense("mlpOutput")
        return hidden + self.project("mlp.down_proj", "mlpOutput", self.token("mlpOutput", x))


def make_case(name, seed, **case):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return (torch.randn(*shape, generator=random, dtype=torch.float64) * scale).to(torch.float32).to(torch.float64)

    parameters = {f"{linear}.weight": normal(*shape, scale=0.3) for linear, shape in LINEARS.items()}
    for linear in ("q", "k", "v") if case["bias"] else ():
        parameters[f"self_attn.{linear}_proj.bias"] = normal(LINEARS[f"self_attn.{linear}_proj"][0], scale=0.2)
    parameters["input_layernorm.weight"] = 1 + normal(HIDDEN, scale=0.2)
    parameters["post_attention_layernorm.weight"] = 1 + normal(HIDDEN, scale=0.2)
    if case["qkNorm"]:
        for which in ("q_norm", "k_norm"):
            parameters[f"self_attn.{which}.weight"] = 1 + normal(HEAD_DIM, scale=0.2)

    trained = {}
    for site, (rows, columns) in SPLITS.items():
        trained[f"{site}.left"] = torch.eye(rows, dtype=torch.float64) + normal(rows, rows, scale=0.25)
        trained[f"{site}.right"] = torch.eye(columns, dtype=torch.float64) + normal(columns, columns, scale=0.25)
        trained[f"{site}.diagonal"] = (0.2 * normal(rows * columns)).exp().to(torch.float32).to(torch.float64)
    trained["heads"] = torch.eye(HEADS, dtype=torch.float64) + normal(HEADS, HEADS, scale=0.25)
    trained["values"] = torch.eye(HEAD_DIM, dtype=torch.float64) + normal(HEAD_DIM, HEAD_DIM, scale=0.15)
    if case["kvBits"]:
        trained["keys"] = torch.eye(HEAD_DIM, dtype=torch.float64) + normal(HEAD_DIM, HEAD_DIM, scale=0.15)
    clipped = {linear: shape[0] for linear, shape in LINEARS.items()}
    clipped |= {site: 1 for site in SITES} if case["activationBits"] else {}
    clipped |= {"keys": 1, "values": 1} if case["kvBits"] else {}
    for clip, size in clipped.items():
        trained[f"{clip}.high"], trained[f"{clip}.low"] = 2 + normal(size, scale=0.5), 2 + normal(size, scale=0.5)

    hidden, target = normal(BATCH, SEQ, HIDDEN), normal(BATCH, SEQ, HIDDEN)
    leaves = {key: value.to(torch.float32).to(torch.float64).requires_grad_() for key, value in trained.items()}
    loss = (Layer(parameters, leaves, case).forward(hidden) - target).square().mean()
    loss.backward()
    tensors = {key: {"shape": list(value.shape), "values": encode(value)} for key, value in parameters.items()}
    return {
        "name": name,
        **case,
        "parameters": tensors,
        "hidden": encode(hidden),
        "target": encode(target),
        "trained": {key: {"value": encode(value), "gradient": encode(value.grad)} for key, value in leaves.items()},
        "loss": loss.item(),
    }


def main():
    common = {"groupSize": None, "symmetric": True, "bias": False, "qkNorm": False}
    fixture = {
        "hiddenSize": HIDDEN,
        "intermediateSize": MLP,
        "heads": HEADS,
        "kvHeads": KV_HEADS,
        "headDim": HEAD_DIM,
        "batch": BATCH,
        "seq": SEQ,
        "cases": [
            make_case("W4A4KV4, biases", 1, **common | {"bits": 4, "activationBits": 4, "kvBits": 4, "bias": True}),
            make_case("W3A3KV3, query and key norms", 2, **common | {"bits": 3, "activationBits": 3, "kvBits": 3, "qkNorm": True}),
            make_case(
                "W3G8 weights only", 3, **common | {"bits": 3, "symmetric": False, "groupSize": 8, "activationBits": None, "kvBits": None}
            ),
        ],
    }
    target = pathlib.Path(__file__).parent / "fixtures" / "flatquant.json"
    target.write_text(json.dumps(fixture) + "\n")
    print(f"{len(fixture['cases'])} cases, {target.stat().st_size / 1024:.0f} KiB; losses {[case['loss'] for case in fixture['cases']]}")


if __name__ == "__main__":
    main()
