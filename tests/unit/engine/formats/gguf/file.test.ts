import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openGguf } from '../../../../../src-main/engine/formats/gguf/read.ts';
import type { GgufMetadata } from '../../../../../src-main/engine/formats/gguf/types.ts';
import { type GgufTensor, writeGguf } from '../../../../../src-main/engine/formats/gguf/write.ts';
import { temporaryFolder } from '../../model-folder.ts';
import { normals } from '../../ops/op-check.ts';

const metadata: GgufMetadata = new Map([
  ['general.architecture', { type: 'string', value: 'qwen3' }],
  ['a.count', { type: 'uint32', value: 4_000_000_000 }],
  ['a.large', { type: 'uint64', value: 2n ** 50n + 1n }],
  ['a.negative', { type: 'int64', value: -3n }],
  ['a.real', { type: 'float32', value: 0.5 }],
  ['a.flag', { type: 'bool', value: true }],
  ['a.names', { type: 'array', of: 'string', values: ['', 'Ġthe', '日本'] }],
  ['a.kinds', { type: 'array', of: 'int32', values: [1, -1] }],
]);
const values = (count: number, seed: number) => Float32Array.from(normals(count, seed));
const tensors: GgufTensor[] = [
  { name: 'norm', type: 'F32', shape: [3], values: () => Float32Array.of(1, 2, 3) },
  { name: 'half', type: 'F16', shape: [3, 5], values: () => Float32Array.from({ length: 15 }, (_, i) => i / 2) },
  { name: 'eight', type: 'Q8_0', shape: [2, 64], values: async () => values(128, 1) },
  { name: 'four', type: 'Q4_0', shape: [3, 32], values: () => values(96, 2) },
];

async function written(): Promise<string> {
  const path = join(await temporaryFolder(), 'a.gguf');
  await writeGguf(path, metadata, tensors);
  return path;
}

describe('a GGUF file', () => {
  it('has the header, the reversed dimensions and the alignment of version 3', async () => {
    const bytes = readFileSync(await written());
    expect(bytes.subarray(0, 4).toString()).toBe('GGUF');
    expect([bytes.readUInt32LE(4), bytes.readBigUInt64LE(8), bytes.readBigUInt64LE(16)]).toEqual([3, 4n, 8n]);
    // Name length, name, two dimensions with the row's length first, type 8, offset: norm takes 12 bytes and half 30, each padded to 32.
    const at = bytes.indexOf('eight') + 5;
    expect(bytes.readBigUInt64LE(at - 13)).toBe(5n);
    expect(bytes.readUInt32LE(at)).toBe(2);
    expect([bytes.readBigUInt64LE(at + 4), bytes.readBigUInt64LE(at + 12)]).toEqual([64n, 2n]);
    expect([bytes.readUInt32LE(at + 20), bytes.readBigUInt64LE(at + 24)]).toEqual([8, 64n]);
    expect(bytes.length % 32).toBe(0);
  });

  it('is read back as it was written', async () => {
    const file = await openGguf(await written());
    expect([...file.metadata]).toEqual([...metadata]);
    expect([...file.tensors.values()].map(({ name, type, shape }) => ({ name, type, shape }))).toEqual(
      tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    );
    for (const { offset } of file.tensors.values()) expect(offset % 32).toBe(0);
    expect(await file.readFloats('norm')).toEqual(Float32Array.of(1, 2, 3));
    expect([...(await file.readFloats('half'))]).toEqual(Array.from({ length: 15 }, (_, i) => i / 2));
    const rounded = await file.readFloats('eight');
    expect(Math.max(...rounded.map((value, i) => Math.abs(value - values(128, 1)[i]!)))).toBeLessThan(0.02);
    await expect(file.readFloats('other')).rejects.toThrow(/no tensor other/);
    await file.close();
  });

  it('with a table longer than the first piece that is read is read whole', async () => {
    const path = join(await temporaryFolder(), 'long.gguf');
    const names = Array.from({ length: 90_000 }, (_, i) => `token number ${i}`);
    await writeGguf(path, new Map([['names', { type: 'array', of: 'string', values: names }]]), tensors);
    const file = await openGguf(path);
    expect(file.array('names')).toEqual(names);
    expect(await file.readFloats('norm')).toEqual(Float32Array.of(1, 2, 3));
    await file.close();
  });

  it('of which a value is not finite or too large is not left behind', async () => {
    const dir = await temporaryFolder();
    const bad = (value: number): GgufTensor => ({ name: 'bad', type: 'F16', shape: [2], values: () => Float32Array.of(1, value) });
    await expect(writeGguf(join(dir, 'a.gguf'), metadata, [tensors[0]!, bad(Number.NaN)])).rejects.toThrow(/bad holds NaN/);
    await expect(writeGguf(join(dir, 'a.gguf'), metadata, [tensors[0]!, bad(70_000)])).rejects.toThrow(/bad: .*70000/);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('that stops on a signal is not left behind', async () => {
    const dir = await temporaryFolder();
    const controller = new AbortController();
    const onTensor = () => controller.abort();
    await expect(writeGguf(join(dir, 'a.gguf'), metadata, tensors, { signal: controller.signal, onTensor })).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('a damaged GGUF file', () => {
  const changed = (change: (bytes: Buffer) => unknown) => (bytes: Buffer) => {
    change(bytes);
    return bytes;
  };
  it.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    ['of another kind', (bytes) => Buffer.concat([Buffer.from('PK'), bytes]), /start with "GGUF"/],
    ['of another version', changed((bytes) => bytes.writeUInt32LE(2, 4)), /version is 2/],
    ['cut in its header', (bytes) => bytes.subarray(0, 100), /inside its header/],
    ['cut in its data', (bytes) => bytes.subarray(0, bytes.length - 64), /inside tensor four/],
    ['of an unknown type', changed((bytes) => bytes.writeUInt32LE(77, bytes.indexOf('eight') + 25)), /type 77/],
    ['with a key count beyond its end', changed((bytes) => bytes.writeBigUInt64LE(2n ** 62n, 16)), /header|unknown type/],
    ['that is empty', () => Buffer.alloc(0), /inside its header/],
  ])('%s is refused', async (_, damage, message) => {
    const path = await written();
    writeFileSync(path, damage(readFileSync(path)));
    await expect(openGguf(path)).rejects.toMatchObject({ code: 'model-invalid', message: expect.stringMatching(message) });
  });

  it('that does not exist is not found', async () => {
    await expect(openGguf('/nowhere/a.gguf')).rejects.toMatchObject({ code: 'not-found' });
  });
});
