/**
 * Writes the few ONNX messages a one-node graph needs, as protobuf bytes. ONNX Runtime only runs graphs, so a matrix product is handed to it
 * as a model of one `Gemm` or `FusedMatMul` node. Field numbers: onnx/onnx `onnx.proto`.
 */
const text = new TextEncoder();

/** Dimensions that are strings are symbolic: they take any size at run time. */
export interface ValueInfo {
  name: string;
  dims: (string | number)[];
}

export interface NodeSpec {
  op: string;
  domain?: string;
  inputs: string[];
  outputs: string[];
  ints?: Record<string, number>;
  floats?: Record<string, number>;
}

/** A constant input: the runtime packs constant weights once, when the session is created. */
export interface Initializer {
  name: string;
  dims: number[];
  values: Float32Array;
}

const float32Type = 1;
const opsetVersion = 17;
const irVersion = 8;

/** A model with one node, float32 inputs and outputs. */
export function singleNodeModel(node: NodeSpec, inputs: ValueInfo[], outputs: ValueInfo[], initializers: Initializer[] = []): Uint8Array {
  const graph = concat([
    field(1, nodeBytes(node)),
    string(2, 'product'),
    ...initializers.map((constant) => field(5, initializerBytes(constant))),
    ...inputs.map((info) => field(11, valueBytes(info))),
    ...outputs.map((info) => field(12, valueBytes(info))),
  ]);
  const opset = (domain: string, version: number) => field(8, concat([...(domain ? [string(1, domain)] : []), integer(2, version)]));
  return concat([integer(1, irVersion), field(7, graph), opset('', opsetVersion), opset('com.microsoft', 1)]);
}

function nodeBytes(node: NodeSpec): Uint8Array {
  const ints = Object.entries(node.ints ?? {}).map(([name, value]) =>
    field(5, concat([string(1, name), integer(3, value), integer(20, 2)])),
  );
  const floats = Object.entries(node.floats ?? {}).map(([name, value]) =>
    field(5, concat([string(1, name), float(2, value), integer(20, 1)])),
  );
  return concat([
    ...node.inputs.map((name) => string(1, name)),
    ...node.outputs.map((name) => string(2, name)),
    string(4, node.op),
    ...ints,
    ...floats,
    ...(node.domain ? [string(7, node.domain)] : []),
  ]);
}

function valueBytes(info: ValueInfo): Uint8Array {
  const dims = info.dims.map((dim) => field(1, typeof dim === 'string' ? string(2, dim) : integer(1, dim)));
  const tensorType = concat([integer(1, float32Type), field(2, concat(dims))]);
  return concat([string(1, info.name), field(2, field(1, tensorType))]);
}

function initializerBytes({ name, dims, values }: Initializer): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return concat([...dims.map((dim) => integer(1, dim)), integer(2, float32Type), string(8, name), field(9, bytes)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

function field(number: number, payload: Uint8Array): Uint8Array {
  return concat([Uint8Array.from([...varint(number * 8 + 2), ...varint(payload.length)]), payload]);
}

function string(number: number, value: string): Uint8Array {
  return field(number, text.encode(value));
}

function integer(number: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(number * 8), ...varint(value)]);
}

function float(number: number, value: number): Uint8Array {
  return concat([Uint8Array.from(varint(number * 8 + 5)), new Uint8Array(new Float32Array([value]).buffer)]);
}

function concat(parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
