"""Dequantizes every tensor of a GGUF file with llama.cpp's Python package.

python dequantize_gguf.py DIR reads DIR/request.json: {model}. It writes DIR/values.f32 with all tensors in the file's order, and
DIR/response.json with their names, shapes ([out, in]) and types, and the scalar metadata.
"""

import json
import pathlib
import sys

import gguf
import numpy as np


def main():
    folder = pathlib.Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())
    reader = gguf.GGUFReader(request["model"])
    tensors, values = [], []
    for tensor in reader.tensors:
        floats = gguf.dequantize(tensor.data, tensor.tensor_type).astype("<f4")
        shape = [int(length) for length in reversed(tensor.shape)]
        assert list(floats.shape) == shape, (tensor.name, floats.shape, shape)
        tensors.append({"name": tensor.name, "shape": shape, "type": tensor.tensor_type.name})
        values.append(floats.ravel())
    fields = {name: field.contents() for name, field in reader.fields.items() if "tokenizer.ggml" not in name}
    np.concatenate(values).tofile(folder / "values.f32")
    response = {"tensors": tensors, "fields": fields, "tokens": reader.fields["tokenizer.ggml.tokens"].contents()}
    (folder / "response.json").write_text(json.dumps(response))


if __name__ == "__main__":
    main()
