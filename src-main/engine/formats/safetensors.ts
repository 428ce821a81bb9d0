/**
 * A checkpoint of safetensors files (one `model.safetensors`, or shards under `model.safetensors.index.json`), opened once and read
 * tensor by tensor, so that memory never holds more than the tensor at hand. Values come as float32 from F32, F16 and BF16.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { isJsonObject, readOptionalJsonObject } from '../data/json-file.ts';
import { decodeBfloats, decodeHalves } from './float16.ts';
import { ProblemList } from './problems.ts';
import { dtypeBytes, readSafetensorsHeader, type TensorEntry } from './safetensors-header.ts';

export type { TensorDtype, TensorEntry } from './safetensors-header.ts';
export type { TensorToWrite } from './safetensors-write.ts';
export { writeSafetensors } from './safetensors-write.ts';

export const weightsFile = 'model.safetensors';
export const weightsIndexFile = 'model.safetensors.index.json';

/** The name of shard `number`, from 1, of `count`, as Hugging Face writes it. */
export function shardName(number: number, count: number): string {
  return `model-${String(number).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.safetensors`;
}

/** An open checkpoint. Close it when done. */
export class Checkpoint {
  readonly dir: string;
  readonly files: { name: string; sizeBytes: number }[] = [];
  readonly tensors = new Map<string, TensorEntry>();
  readonly metadata: Record<string, string> = {};
  private readonly handles = new Map<string, FileHandle>();

  constructor(dir: string) {
    this.dir = dir;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** The entry of a tensor. Throws `model-invalid` when there is none. */
  entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry) return entry;
    throw new RoundoffError(
      'model-invalid',
      `${this.dir} has no tensor ${name}.`,
      'Download the model again, complete with all its files.',
    );
  }

  /** The values of a floating-point tensor as float32, in row-major order. */
  async readFloats(name: string): Promise<Float32Array> {
    const entry = this.entry(name);
    return decodeFloats(entry, await this.readRange(entry, 0, entry.sizeBytes));
  }

  /** A tensor's bytes as stored, of any type. */
  readBytes(name: string): Promise<Uint8Array> {
    const entry = this.entry(name);
    return this.readRange(entry, 0, entry.sizeBytes);
  }

  /** The values of an I32 tensor. */
  async readInts(name: string): Promise<Int32Array> {
    const entry = this.entry(name);
    if (entry.dtype !== 'I32') throw wrongDtype(entry, 'I32');
    return new Int32Array((await this.readRange(entry, 0, entry.sizeBytes)).buffer);
  }

  /** A floating-point tensor in pieces of at most `elements` values, so that even huge tensors can be scanned in little memory. */
  async *chunks(name: string, elements = 1 << 22): AsyncGenerator<Float32Array> {
    const entry = this.entry(name);
    const step = elements * dtypeBytes[entry.dtype];
    for (let start = 0; start < entry.sizeBytes; start += step)
      yield decodeFloats(entry, await this.readRange(entry, start, Math.min(step, entry.sizeBytes - start)));
  }

  /** A tensor's bytes as stored, in pieces of at most `pieceBytes`. */
  async *byteChunks(name: string, pieceBytes = 1 << 24): AsyncGenerator<Uint8Array> {
    const entry = this.entry(name);
    for (let start = 0; start < entry.sizeBytes; start += pieceBytes)
      yield await this.readRange(entry, start, Math.min(pieceBytes, entry.sizeBytes - start));
  }

  /** Row `row` of a floating-point matrix as float32. */
  async readRow(name: string, row: number): Promise<Float32Array> {
    const entry = this.entry(name);
    const rowBytes = entry.shape[1]! * dtypeBytes[entry.dtype];
    return decodeFloats(entry, await this.readRange(entry, row * rowBytes, rowBytes));
  }

  async close(): Promise<void> {
    for (const handle of this.handles.values()) await handle.close();
    this.handles.clear();
  }

  private async readRange(entry: TensorEntry, start: number, length: number): Promise<Uint8Array> {
    const handle = this.handles.get(entry.path) ?? (await open(entry.path, 'r'));
    this.handles.set(entry.path, handle);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 28), entry.offset + start + done);
      if (bytesRead === 0)
        throw new RoundoffError(
          'model-invalid',
          `${entry.path} ended inside tensor ${entry.name}; it changed while it was read.`,
          'Wait until the file is complete, then try again.',
        );
      done += bytesRead;
    }
    return bytes;
  }
}

/** Opens the checkpoint in `dir`. Throws one `model-invalid` error that lists everything wrong with its files. */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const problems = new ProblemList();
  const checkpoint = await scanCheckpoint(dir, problems);
  problems.throwErrors(dir);
  return checkpoint;
}

/** Like `openCheckpoint`, but what is wrong goes to `problems` and whatever is sound is returned. */
export async function scanCheckpoint(dir: string, problems: ProblemList): Promise<Checkpoint> {
  const checkpoint = new Checkpoint(dir);
  const isSingle = await isFile(join(dir, weightsFile));
  const index = isSingle ? null : await readIndex(dir, problems);
  if (isSingle) await addFile(checkpoint, weightsFile, problems);
  else if (index) await addShards(checkpoint, index, problems);
  return checkpoint;
}

/** Opens the named files of a folder that are not its weights. */
export async function openFiles(dir: string, files: readonly string[], problems: ProblemList): Promise<Checkpoint> {
  const checkpoint = new Checkpoint(dir);
  for (const file of files) await addFile(checkpoint, file, problems);
  return checkpoint;
}

async function readIndex(dir: string, problems: ProblemList): Promise<Map<string, string> | null> {
  try {
    const json = await readOptionalJsonObject(join(dir, weightsIndexFile), {
      code: 'model-invalid',
      hint: 'Download the index file again.',
    });
    if (json) return parseWeightMap(json.weight_map, problems);
    const converted = 'Convert the weights to safetensors with transformers: model.save_pretrained(folder).';
    const hasPickle = (await isFile(join(dir, 'pytorch_model.bin'))) || (await isFile(join(dir, 'pytorch_model.bin.index.json')));
    const hint = hasPickle ? converted : `Choose the folder that holds config.json and ${weightsFile}.`;
    problems.error(
      dir,
      `no ${weightsFile} and no ${weightsIndexFile}${hasPickle ? ', only pickled PyTorch weights' : ''}.`,
      hint,
      'not-found',
    );
  } catch (error) {
    problems.caught(weightsIndexFile, error);
  }
  return null;
}

function parseWeightMap(value: unknown, problems: ProblemList): Map<string, string> | null {
  const isPlainName = (file: unknown) =>
    typeof file === 'string' && file === basename(file) && !file.includes('\\') && file.endsWith('.safetensors');
  if (isJsonObject(value) && Object.values(value).every(isPlainName)) return new Map(Object.entries(value as Record<string, string>));
  problems.error(
    weightsIndexFile,
    'its weight_map is not a map from tensor names to .safetensors file names.',
    'Download the index file again.',
  );
  return null;
}

async function addShards(checkpoint: Checkpoint, weightMap: Map<string, string>, problems: ProblemList): Promise<void> {
  const sound = new Set<string>();
  for (const file of [...new Set(weightMap.values())].sort()) {
    if (await addFile(checkpoint, file, problems)) sound.add(file);
  }
  for (const [name, file] of weightMap) {
    const entry = checkpoint.tensors.get(name);
    if (sound.has(file) && (!entry || basename(entry.path) !== file))
      problems.error(
        `${file}, tensor ${name}`,
        `${weightsIndexFile} places it in this file, but it is not there.`,
        'Download the shard and the index again, from the same revision.',
      );
  }
}

/** Adds one file's tensors; true when its header is sound. */
async function addFile(checkpoint: Checkpoint, file: string, problems: ProblemList): Promise<boolean> {
  const path = join(checkpoint.dir, file);
  const own = new ProblemList();
  try {
    const header = await readSafetensorsHeader(path, own);
    checkpoint.files.push({ name: file, sizeBytes: header.sizeBytes });
    Object.assign(checkpoint.metadata, header.metadata);
    for (const tensor of header.tensors) {
      const other = checkpoint.tensors.get(tensor.name);
      if (other)
        own.error(
          `${file}, tensor ${tensor.name}`,
          `it is also in ${basename(other.path)}.`,
          'Download both shards again, from the same revision.',
        );
      checkpoint.tensors.set(tensor.name, tensor);
    }
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    const isMissing = error.code === 'not-found';
    own.error(
      file,
      isMissing ? `this shard, named in ${weightsIndexFile}, is missing.` : error.message,
      isMissing ? 'Download the missing file into the folder.' : error.hint,
      error.code,
    );
  }
  problems.append(own);
  return !own.hasErrors;
}

function decodeFloats(entry: TensorEntry, bytes: Uint8Array): Float32Array {
  if (entry.dtype === 'F32') return new Float32Array(bytes.buffer);
  if (entry.dtype === 'F16') return decodeHalves(new Uint16Array(bytes.buffer));
  if (entry.dtype === 'BF16') return decodeBfloats(new Uint16Array(bytes.buffer));
  throw wrongDtype(entry, 'F32, F16 or BF16');
}

function wrongDtype(entry: TensorEntry, expected: string): RoundoffError {
  return new RoundoffError(
    'unsupported',
    `${entry.path}: tensor ${entry.name} is stored as ${entry.dtype}; ${expected} is expected here.`,
    'Use the original F32, F16 or BF16 weights of the model.',
  );
}

async function isFile(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  return info?.isFile() ?? false;
}
