/**
 * Writes the few ONNX messages a one-node graph needs, as protobuf bytes. ONNX Runtime only runs graphs, so a matrix product is handed to it
 * as a model of one `Gemm` or `FusedMatMul` node. Field numbers: onnx/onnx `onnx.proto`.
 */
const text = new TextEncoder();

/** Dimensions that are strings are symbolic: they take any size at run time. */
export interface ValueInfo {
  name: string;
  dims: (string | number)[];
  /** float32 unless given. */
  type?: ElementType;
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

/** `TensorProto.DataType` of the element types in use. */
export const elementTypes = { float32: 1, float64: 11 } as const;
export type ElementType = keyof typeof elementTypes;

const opsetVersion = 17;
const irVersion = 8;

/** Bytes in pieces, joined once at the end, so that large constants are copied once. */
type Pieces = Uint8Array[];

/** A model with one node. */
export function singleNodeModel(node: NodeSpec, inputs: ValueInfo[], outputs: ValueInfo[], initializers: Initializer[] = []): Uint8Array {
  const graph = [
    field(1, nodePieces(node)),
    string(2, 'product'),
    ...initializers.map((constant) => field(5, initializerPieces(constant))),
    ...inputs.map((info) => field(11, valuePieces(info))),
    ...outputs.map((info) => field(12, valuePieces(info))),
  ].flat();
  const opset = (domain: string, version: number) => field(8, [...(domain ? string(1, domain) : []), ...integer(2, version)]);
  return join([...integer(1, irVersion), ...field(7, graph), ...opset('', opsetVersion), ...opset('com.microsoft', 1)]);
}

function nodePieces(node: NodeSpec): Pieces {
  const ints = Object.entries(node.ints ?? {}).map(([name, value]) =>
    field(5, [...string(1, name), ...integer(3, value), ...integer(20, 2)]),
  );
  const floats = Object.entries(node.floats ?? {}).map(([name, value]) =>
    field(5, [...string(1, name), ...float(2, value), ...integer(20, 1)]),
  );
  return [
    ...node.inputs.map((name) => string(1, name)),
    ...node.outputs.map((name) => string(2, name)),
    string(4, node.op),
    ...ints,
    ...floats,
    node.domain ? string(7, node.domain) : [],
  ].flat();
}

function valuePieces(info: ValueInfo): Pieces {
  const dims = info.dims.flatMap((dim) => field(1, typeof dim === 'string' ? string(2, dim) : integer(1, dim)));
  const tensorType = [...integer(1, elementTypes[info.type ?? 'float32']), ...field(2, dims)];
  return [...string(1, info.name), ...field(2, field(1, tensorType))];
}

function initializerPieces({ name, dims, values }: Initializer): Pieces {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return [...dims.flatMap((dim) => integer(1, dim)), ...integer(2, elementTypes.float32), ...string(8, name), ...field(9, [bytes])];
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

function field(number: number, payload: Pieces): Pieces {
  return [Uint8Array.from([...varint(number * 8 + 2), ...varint(sizeOf(payload))]), ...payload];
}

function string(number: number, value: string): Pieces {
  return field(number, [text.encode(value)]);
}

function integer(number: number, value: number): Pieces {
  return [Uint8Array.from([...varint(number * 8), ...varint(value)])];
}

function float(number: number, value: number): Pieces {
  return [Uint8Array.from(varint(number * 8 + 5)), new Uint8Array(new Float32Array([value]).buffer)];
}

function sizeOf(pieces: Pieces): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function join(pieces: Pieces): Uint8Array {
  const bytes = new Uint8Array(sizeOf(pieces));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
