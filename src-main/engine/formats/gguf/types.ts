/**
 * The vocabulary of GGUF version 3 (ggml-org/ggml, docs/gguf.md): how tensors are stored, and the values a file's metadata may hold.
 */

export const ggufVersion = 3;
/** Tensor data starts at, and every tensor is padded to, a multiple of this many bytes. */
export const ggufAlignment = 32;

/** Ids of the tensor types written and read here, and how many values and bytes a block of each takes. */
export const ggufTensorTypes = {
  F32: { id: 0, blockValues: 1, blockBytes: 4 },
  F16: { id: 1, blockValues: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockValues: 32, blockBytes: 18 },
  Q8_0: { id: 8, blockValues: 32, blockBytes: 34 },
} as const;
export type GgufTensorType = keyof typeof ggufTensorTypes;

/** `general.file_type` of a file whose matrices are mostly of this type. */
export const ggufFileTypes = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 7 } as const satisfies Record<GgufTensorType, number>;

export const ggufValueTypes = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;
export type GgufValueType = keyof typeof ggufValueTypes;
export type GgufScalar = number | bigint | boolean | string;

export type GgufValue =
  | { type: Exclude<GgufValueType, 'array'>; value: GgufScalar }
  | { type: 'array'; of: Exclude<GgufValueType, 'array'>; values: readonly GgufScalar[] };

/** Keys in the order they are written. */
export type GgufMetadata = Map<string, GgufValue>;

/** Bytes of `values` stored as `type`; a whole number of blocks. */
export function ggufTensorBytes(type: GgufTensorType, values: number): number {
  const { blockValues, blockBytes } = ggufTensorTypes[type];
  return (values / blockValues) * blockBytes;
}

export function alignUp(offset: number): number {
  return Math.ceil(offset / ggufAlignment) * ggufAlignment;
}
