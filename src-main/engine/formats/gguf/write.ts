/**
 * Writing GGUF files: header, metadata and tensor table first, then tensor after tensor as each is produced and encoded piece by piece,
 * so that memory holds one tensor at a time. The file appears whole or not at all.
 */
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import { type ByteSink, type WrittenFile, writeFileAtomically } from '../atomic-file.ts';
import { encodeGguf } from './blocks.ts';
import {
  alignUp,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorType,
  type GgufValue,
  type GgufValueType,
  ggufTensorBytes,
  ggufTensorTypes,
  ggufValueTypes,
  ggufVersion,
} from './types.ts';

export interface GgufTensor {
  name: string;
  type: GgufTensorType;
  /** Row-major, as [out, in]; the file lists the dimensions in reverse. Rows must be whole blocks of the type. */
  shape: readonly number[];
  /** Fetches the values when their turn comes. */
  values(): Float32Array | Promise<Float32Array>;
}

/** Values encoded at a time; a multiple of every block size. */
const pieceValues = 1 << 20;

/** Writes the file atomically. Throws `numeric` naming the tensor whose values are not finite or too large for a 16-bit float. */
export function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  options: { signal?: AbortSignal | undefined; onTensor?: (name: string) => void } = {},
): Promise<WrittenFile> {
  return writeFileAtomically(path, async (write) => {
    await write(encodeHead(metadata, tensors));
    for (const tensor of tensors) {
      throwIfCancelled(options.signal, `Writing ${path}`);
      await writeTensor(tensor, write);
      options.onTensor?.(tensor.name);
    }
  });
}

/** Values of a tensor. */
export function ggufTensorSize({ shape }: Pick<GgufTensor, 'shape'>): number {
  return shape.reduce((size, length) => size * length, 1);
}

async function writeTensor(tensor: GgufTensor, write: ByteSink): Promise<void> {
  const values = await tensor.values();
  const size = ggufTensorSize(tensor);
  if (values.length !== size) throw new Error(`tensor ${tensor.name}: ${values.length} values for shape [${tensor.shape.join(', ')}]`);
  for (let start = 0; start < size; start += pieceValues) {
    const piece = values.subarray(start, Math.min(size, start + pieceValues));
    checkFinite(tensor.name, piece);
    await write(namingTensor(tensor.name, () => encodeGguf(tensor.type, piece)));
  }
  const bytes = ggufTensorBytes(tensor.type, size);
  const padding = alignUp(bytes) - bytes;
  if (padding > 0) await write(new Uint8Array(padding));
}

function encodeHead(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const head = new HeadWriter();
  head.text('GGUF');
  head.number('uint32', ggufVersion);
  head.number('uint64', BigInt(tensors.length));
  head.number('uint64', BigInt(metadata.size));
  for (const [key, value] of metadata) {
    head.string(key);
    head.value(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    head.string(tensor.name);
    head.number('uint32', tensor.shape.length);
    for (const length of [...tensor.shape].reverse()) head.number('uint64', BigInt(length));
    head.number('uint32', ggufTensorTypes[tensor.type].id);
    head.number('uint64', BigInt(offset));
    offset += alignUp(ggufTensorBytes(tensor.type, ggufTensorSize(tensor)));
  }
  return head.aligned();
}

/** Little-endian bytes that grow. */
class HeadWriter {
  private bytes = new Uint8Array(1 << 16);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  /** Bytes so far, padded with zeros to the alignment. */
  aligned(): Uint8Array {
    this.reserve(alignUp(this.length) - this.length);
    return this.bytes.slice(0, alignUp(this.length));
  }

  text(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.reserve(encoded.length);
    this.bytes.set(encoded, this.length);
    this.length += encoded.length;
  }

  string(text: string): void {
    this.number('uint64', BigInt(new TextEncoder().encode(text).length));
    this.text(text);
  }

  value(value: GgufValue): void {
    this.number('uint32', ggufValueTypes[value.type]);
    if (value.type === 'array') {
      this.number('uint32', ggufValueTypes[value.of]);
      this.number('uint64', BigInt(value.values.length));
      for (const item of value.values) this.scalar(value.of, item);
    } else this.scalar(value.type, value.value);
  }

  number(type: Exclude<GgufValueType, 'array' | 'string' | 'bool'>, value: number | bigint): void {
    this.reserve(8);
    this.length += writers[type](this.view, this.length, value);
  }

  private scalar(type: Exclude<GgufValueType, 'array'>, value: GgufScalar): void {
    if (type === 'string') this.string(value as string);
    else if (type === 'bool') this.number('uint8', value ? 1 : 0);
    else this.number(type, value as number | bigint);
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(2 * (this.length + count));
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** Each writes one number and returns its size in bytes. */
type NumberWriter = (view: DataView, offset: number, value: number | bigint) => number;
const sized =
  (bytes: number, write: (view: DataView, offset: number, value: number) => void): NumberWriter =>
  (view, offset, value) => {
    write(view, offset, Number(value));
    return bytes;
  };
const sized64 =
  (write: (view: DataView, offset: number, value: bigint) => void): NumberWriter =>
  (view, offset, value) => {
    write(view, offset, BigInt(value));
    return 8;
  };
const writers: Record<Exclude<GgufValueType, 'array' | 'string' | 'bool'>, NumberWriter> = {
  uint8: sized(1, (view, at, value) => view.setUint8(at, value)),
  int8: sized(1, (view, at, value) => view.setInt8(at, value)),
  uint16: sized(2, (view, at, value) => view.setUint16(at, value, true)),
  int16: sized(2, (view, at, value) => view.setInt16(at, value, true)),
  uint32: sized(4, (view, at, value) => view.setUint32(at, value, true)),
  int32: sized(4, (view, at, value) => view.setInt32(at, value, true)),
  float32: sized(4, (view, at, value) => view.setFloat32(at, value, true)),
  float64: sized(8, (view, at, value) => view.setFloat64(at, value, true)),
  uint64: sized64((view, at, value) => view.setBigUint64(at, value, true)),
  int64: sized64((view, at, value) => view.setBigInt64(at, value, true)),
};

function checkFinite(name: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    if (values[i]! - values[i]! !== 0)
      throw new RoundoffError(
        'numeric',
        `${name} holds ${values[i]}, which is not a finite number.`,
        'The model is damaged; download or quantize it again.',
      );
}

function namingTensor<T>(name: string, encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    throw new RoundoffError(error.code, `${name}: ${error.message}`, error.hint, { cause: error });
  }
}
