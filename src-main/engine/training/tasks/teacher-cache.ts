/**
 * The teacher's most probable tokens on disk, computed once per example and reused in later epochs and after an interruption. Each step that
 * needs new examples adds one file, which appears whole or not at all; a folder made by another teacher or for other data is refused.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { writeWholeFile } from '../../formats/atomic-file.ts';
import type { TrainingData } from '../examples.ts';
import type { TopLogits } from './teacher.ts';

/** What the logits depend on; of another key a folder is not used. */
export interface TeacherKey {
  /** sha256 of the teacher's files. */
  teacher: string;
  /** sha256 of all examples. */
  data: string;
  k: number;
}

interface Place {
  file: string;
  /** Byte offset in the file. */
  offset: number;
  rows: number;
}

interface FileHeader {
  key: TeacherKey;
  examples: { index: number; rows: number }[];
}

const keyFile = 'teacher.json';

export class TeacherCache {
  private readonly dir: string;
  private readonly key: TeacherKey;
  private readonly places: Map<number, Place>;

  private constructor(dir: string, key: TeacherKey, places: Map<number, Place>) {
    this.dir = dir;
    this.key = key;
    this.places = places;
  }

  /** Finds what is there. Throws `bad-input` for a folder of another teacher, other data or another k, `disk-full`, `read-only`. */
  static async open(dir: string, key: TeacherKey): Promise<TeacherCache> {
    await mkdir(dir, { recursive: true });
    const names = (await readdir(dir)).sort();
    if (names.includes(keyFile)) refuseOther(dir, await readFile(join(dir, keyFile), 'utf8'), key);
    else await writeWholeFile(join(dir, keyFile), canonicalJson(key));
    const places = new Map<number, Place>();
    for (const name of names.filter((name) => name.endsWith('.bin'))) {
      const file = join(dir, name);
      const { header, end } = await readHeader(file);
      let offset = end;
      for (const { index, rows } of header.examples) {
        places.set(index, { file, offset, rows });
        offset += 8 * rows * key.k;
      }
    }
    return new TeacherCache(dir, key, places);
  }

  has(index: number): boolean {
    return this.places.has(index);
  }

  /** Of an example that is there. */
  async read(index: number): Promise<TopLogits> {
    const { file, offset, rows } = this.places.get(index)!;
    const handle = await open(file);
    try {
      const count = rows * this.key.k;
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(8 * count), 0, 8 * count, offset);
      if (bytesRead !== 8 * count) throw damaged(file);
      return { indices: new Int32Array(buffer.buffer, 0, count), logits: new Float32Array(buffer.buffer, 4 * count, count) };
    } finally {
      await handle.close();
    }
  }

  /** Adds examples that are not there yet. */
  async add(entries: readonly ({ index: number } & TopLogits)[]): Promise<void> {
    if (entries.length === 0) return;
    const examples = entries.map(({ index, logits }) => ({ index, rows: logits.length / this.key.k }));
    const header = Buffer.from(JSON.stringify({ key: this.key, examples } satisfies FileHeader));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    const file = join(this.dir, `${String(this.places.size).padStart(9, '0')}.bin`);
    const bytes = entries.flatMap(({ indices, logits }) => [bytesOf(indices), bytesOf(logits)]);
    await writeWholeFile(file, Buffer.concat([length, header, ...bytes]));
    let offset = 4 + header.length;
    for (const { index, rows } of examples) {
      this.places.set(index, { file, offset, rows });
      offset += 8 * rows * this.key.k;
    }
  }
}

/** sha256 over the tokens of all examples. */
export function hashExamples(data: TrainingData): string {
  const hash = createHash('sha256');
  for (let index = 0; index < data.count; index++) {
    const { ids, lossStart } = data.example(index);
    hash.update(Int32Array.of(ids.length, lossStart)).update(Int32Array.from(ids));
  }
  return hash.digest('hex');
}

async function readHeader(file: string): Promise<{ header: FileHeader; end: number }> {
  const handle = await open(file);
  try {
    const { buffer: length } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const size = length.readUInt32LE();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 4);
    if (bytesRead !== size) throw damaged(file);
    return { header: JSON.parse(buffer.toString()) as FileHeader, end: 4 + size };
  } finally {
    await handle.close();
  }
}

function refuseOther(dir: string, written: string, key: TeacherKey): void {
  if (written === canonicalJson(key)) return;
  const before = JSON.parse(written) as TeacherKey;
  const names = { teacher: 'another teacher', data: 'other data', k: `the top ${before.k} tokens instead of ${key.k}` };
  const different = (Object.keys(names) as (keyof TeacherKey)[]).filter((part) => before[part] !== key[part]);
  throw new RoundoffError(
    'bad-input',
    `The teacher's logits kept in ${dir} are of ${different.map((part) => names[part]).join(' and of ')}.`,
    'Delete the folder to compute them anew, or continue with what they were made from.',
  );
}

function damaged(file: string): RoundoffError {
  return new RoundoffError('bad-input', `${file} is shorter than it says.`, 'Delete the folder to compute the teacher’s logits anew.');
}

function bytesOf(values: Int32Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
