/**
 * Reading GGUF version 3 files: metadata and the tensor table at once, values tensor by tensor. Every offset, size and type is checked
 * against the file before a value is read.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { RoundoffError } from '#contract/errors.ts';
import { fileError } from '../../data/json-file.ts';
import { decodeGguf } from './blocks.ts';
import {
  alignUp,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorType,
  type GgufValue,
  type GgufValueType,
  ggufAlignment,
  ggufTensorBytes,
  ggufTensorTypes,
  ggufValueTypes,
  ggufVersion,
} from './types.ts';

export interface GgufEntry {
  name: string;
  type: GgufTensorType;
  /** Row-major, as [out, in]. */
  shape: number[];
  /** Bytes from the start of the file. */
  offset: number;
  sizeBytes: number;
}

const restore = 'Export the file again, or restore it from its source.';

/** An open GGUF file. Close it when done. */
export class GgufFile {
  readonly path: string;
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  private readonly handle: FileHandle;

  constructor(path: string, handle: FileHandle, { metadata, tensors }: GgufHead) {
    this.path = path;
    this.handle = handle;
    this.metadata = metadata;
    this.tensors = tensors;
  }

  /** The value of a key that is not an array; undefined when there is none. */
  scalar(key: string): GgufScalar | undefined {
    const value = this.metadata.get(key);
    return value && value.type !== 'array' ? value.value : undefined;
  }

  /** The values of an array; undefined when there is none. */
  array(key: string): readonly GgufScalar[] | undefined {
    const value = this.metadata.get(key);
    return value?.type === 'array' ? value.values : undefined;
  }

  /** A tensor's values as float32, row-major. Throws `model-invalid` when there is no such tensor. */
  async readFloats(name: string): Promise<Float32Array> {
    const entry = this.tensors.get(name);
    if (!entry) throw invalid(this.path, `it has no tensor ${name}.`);
    return decodeGguf(entry.type, await readBytes(this.path, this.handle, entry.offset, entry.sizeBytes));
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** Opens a GGUF file. Throws `not-found`, or `model-invalid` saying what is wrong with it. */
export async function openGguf(path: string): Promise<GgufFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    throw fileError(path, error);
  }
  try {
    const { size } = await handle.stat();
    return new GgufFile(path, handle, await readHead(path, handle, size));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

interface GgufHead {
  metadata: GgufMetadata;
  tensors: Map<string, GgufEntry>;
}

/** The head's length is not stored, so a growing part of the file is tried until it is complete. */
async function readHead(path: string, handle: FileHandle, fileBytes: number): Promise<GgufHead> {
  for (let length = Math.min(1 << 20, fileBytes); ; length = Math.min(4 * length, fileBytes)) {
    try {
      return parseHead(path, await readBytes(path, handle, 0, length), fileBytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      if (length === fileBytes) throw invalid(path, 'it ends inside its header.');
    }
  }
}

/** Throws RangeError when `bytes` end before the head does. */
function parseHead(path: string, bytes: Uint8Array, fileBytes: number): GgufHead {
  const head = new HeadReader(path, bytes);
  if (head.text(4) !== 'GGUF') throw invalid(path, 'it does not start with "GGUF".');
  const version = Number(head.scalar('uint32'));
  if (version !== ggufVersion) throw invalid(path, `its version is ${version}; version ${ggufVersion} is read here.`);
  const tensorCount = head.count();
  const keyCount = head.count();
  const metadata: GgufMetadata = new Map();
  for (let i = 0; i < keyCount; i++) {
    const key = head.string();
    metadata.set(key, head.value());
  }
  const infos: GgufEntry[] = [];
  for (let i = 0; i < tensorCount; i++) infos.push(head.tensor());
  const dataStart = alignUp(head.position);
  const tensors = new Map(infos.map((entry) => [entry.name, { ...entry, offset: dataStart + entry.offset }]));
  if (tensors.size !== infos.length) throw invalid(path, 'a tensor is listed twice.');
  for (const { name, offset, sizeBytes } of tensors.values()) {
    if (offset % ggufAlignment !== 0) throw invalid(path, `tensor ${name} does not start at a multiple of ${ggufAlignment} bytes.`);
    if (offset + sizeBytes > fileBytes) throw invalid(path, `it ends inside tensor ${name}.`);
  }
  return { metadata, tensors };
}

class HeadReader {
  position = 0;
  private readonly path: string;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  text(length: number): string {
    if (this.position + length > this.bytes.length) throw new RangeError('beyond the end');
    const text = new TextDecoder().decode(this.bytes.subarray(this.position, this.position + length));
    this.position += length;
    return text;
  }

  string(): string {
    return this.text(this.count());
  }

  count(): number {
    return Number(this.scalar('uint64'));
  }

  value(): GgufValue {
    const type = this.valueType();
    if (type !== 'array') return { type, value: this.scalar(type) };
    const of = this.valueType();
    if (of === 'array') throw invalid(this.path, 'it holds an array of arrays.');
    const length = this.count();
    const values: GgufScalar[] = [];
    for (let i = 0; i < length; i++) values.push(this.scalar(of));
    return { type, of, values };
  }

  scalar(type: Exclude<GgufValueType, 'array'>): GgufScalar {
    if (type === 'string') return this.string();
    const { bytes, read } = readers[type];
    const value = read(this.view, this.position);
    this.position += bytes;
    return value;
  }

  tensor(): GgufEntry {
    const name = this.string();
    const dimensions = Number(this.scalar('uint32'));
    if (dimensions > 4) throw invalid(this.path, `tensor ${name} has ${dimensions} dimensions.`);
    const shape = Array.from({ length: dimensions }, () => this.count()).reverse();
    const id = this.scalar('uint32');
    const known = Object.entries(ggufTensorTypes).find(([, type]) => type.id === id);
    if (!known) throw invalid(this.path, `tensor ${name} is of type ${id}, which is not read here.`);
    const type = known[0] as GgufTensorType;
    const values = shape.reduce((size, length) => size * length, 1);
    if ((shape.at(-1) ?? 0) % known[1].blockValues !== 0) throw invalid(this.path, `rows of ${name} are not whole blocks of ${type}.`);
    return { name, type, shape, offset: this.count(), sizeBytes: ggufTensorBytes(type, values) };
  }

  private valueType(): GgufValueType {
    const id = this.scalar('uint32');
    const known = Object.entries(ggufValueTypes).find(([, value]) => value === id);
    if (!known) throw invalid(this.path, `it holds a value of the unknown type ${id}.`);
    return known[0] as GgufValueType;
  }
}

type NumberReader = { bytes: number; read: (view: DataView, at: number) => GgufScalar };
const readers: Record<Exclude<GgufValueType, 'array' | 'string'>, NumberReader> = {
  uint8: { bytes: 1, read: (view, at) => view.getUint8(at) },
  int8: { bytes: 1, read: (view, at) => view.getInt8(at) },
  uint16: { bytes: 2, read: (view, at) => view.getUint16(at, true) },
  int16: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
  uint32: { bytes: 4, read: (view, at) => view.getUint32(at, true) },
  int32: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  float32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  bool: { bytes: 1, read: (view, at) => view.getUint8(at) !== 0 },
  uint64: { bytes: 8, read: (view, at) => view.getBigUint64(at, true) },
  int64: { bytes: 8, read: (view, at) => view.getBigInt64(at, true) },
  float64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
};

async function readBytes(path: string, handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 28), offset + done);
    if (bytesRead === 0) throw invalid(path, 'it ended while it was read.');
    done += bytesRead;
  }
  return bytes;
}

function invalid(path: string, problem: string): RoundoffError {
  return new RoundoffError('model-invalid', `${path} is not a GGUF file that can be read: ${problem}`, restore);
}
