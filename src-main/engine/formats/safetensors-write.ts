/**
 * Writing safetensors files: header first, then tensor after tensor as it is produced, never the whole file in memory.
 * Tensors are ordered by element size (largest first), then by name, and the header is padded to 8 bytes, so data stays aligned.
 */

import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { type ByteSink, type WrittenFile, writeFileAtomically } from './atomic-file.ts';
import { encodeBfloats, encodeHalves } from './float16.ts';
import { dtypeBytes, type TensorDtype } from './safetensors-header.ts';

export interface TensorToWrite {
  name: string;
  dtype: TensorDtype;
  shape: readonly number[];
  /**
   * The values, or a function that fetches them when their turn comes: float32 for F32, F16 and BF16; int32 for I32. Bytes are written
   * as they are, for any type; they may also come piece by piece.
   */
  values: TensorValues | (() => TensorSource | Promise<TensorSource>);
}
export type TensorValues = Float32Array | Int32Array | Uint8Array;
export type TensorSource = TensorValues | AsyncIterable<Uint8Array>;

/** Writes a safetensors file atomically and returns its size and sha256. */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  options: { metadata?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<WrittenFile> {
  const ordered = [...tensors].sort((a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.name < b.name ? -1 : 1));
  return writeFileAtomically(path, async (write) => {
    await write(encodeHeader(ordered, options.metadata ?? {}));
    for (const tensor of ordered) {
      throwIfCancelled(options.signal, `Writing ${path}`);
      const values = typeof tensor.values === 'function' ? await tensor.values() : tensor.values;
      if (Symbol.asyncIterator in values) await writePieces(tensor, values, write);
      else await write(encodeValues(tensor, values));
    }
  });
}

/** Bytes of a tensor's data. */
export function tensorBytes(tensor: { dtype: TensorDtype; shape: readonly number[] }): number {
  return tensor.shape.reduce((size, length) => size * length, dtypeBytes[tensor.dtype]);
}

function encodeHeader(tensors: readonly TensorToWrite[], metadata: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt', ...metadata } };
  let offset = 0;
  for (const tensor of tensors) {
    if (Object.hasOwn(header, tensor.name)) throw new Error(`tensor ${tensor.name} is written twice`);
    const end = offset + tensorBytes(tensor);
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

async function writePieces(tensor: TensorToWrite, pieces: AsyncIterable<Uint8Array>, write: ByteSink): Promise<void> {
  let sizeBytes = 0;
  for await (const piece of pieces) {
    sizeBytes += piece.byteLength;
    await write(piece);
  }
  if (sizeBytes !== tensorBytes(tensor))
    throw new Error(`tensor ${tensor.name}: ${sizeBytes} bytes for shape [${tensor.shape.join(', ')}]`);
}

function encodeValues(tensor: TensorToWrite, values: TensorValues): Uint8Array {
  const encoded = encodeAs(tensor.dtype, values);
  if (encoded.byteLength !== tensorBytes(tensor))
    throw new Error(`tensor ${tensor.name}: ${values.length} values for shape [${tensor.shape.join(', ')}]`);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

function encodeAs(dtype: TensorDtype, values: TensorValues): TensorValues | Uint16Array {
  const isFloat = values instanceof Float32Array;
  if (values instanceof Uint8Array || (dtype === 'F32' && isFloat)) return values;
  if (dtype === 'F16' && isFloat) return refuseOverflow(values, encodeHalves(values));
  if (dtype === 'BF16' && isFloat) return encodeBfloats(values);
  if (dtype === 'I32' && values instanceof Int32Array) return values;
  throw new TypeError(`${values.constructor.name} cannot be written as ${dtype}`);
}

function refuseOverflow(values: Float32Array, halves: Uint16Array): Uint16Array {
  const index = halves.findIndex((half) => (half & 0x7fff) === 0x7c00);
  if (index >= 0 && Number.isFinite(values[index]!))
    throw new RoundoffError(
      'numeric',
      `The value ${values[index]} does not fit a 16-bit float (up to 65504).`,
      'Store the tensor as BF16 or F32.',
    );
  return halves;
}
