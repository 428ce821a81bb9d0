import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, type TensorToWrite, writeSafetensors } from '../../../../src-main/engine/formats/safetensors.ts';
import { patchJson, temporaryFolder } from '../model-folder.ts';

const values = Float32Array.of(1, -2.5, 3.25, 0.1, -0, 1e-3);
const tensors: TensorToWrite[] = [
  { name: 'a.f16', dtype: 'F16', shape: [2, 3], values },
  { name: 'b.f32', dtype: 'F32', shape: [2, 3], values: async () => values },
  { name: 'c.bf16', dtype: 'BF16', shape: [6], values: () => values },
  { name: 'd.i32', dtype: 'I32', shape: [2], values: Int32Array.of(-7, 2 ** 30) },
  { name: 'e.u8', dtype: 'U8', shape: [3], values: Uint8Array.of(1, 2, 255) },
  { name: 'f.empty', dtype: 'F32', shape: [0, 4], values: new Float32Array(0) },
];

async function writtenModel(): Promise<string> {
  const dir = await temporaryFolder();
  await writeSafetensors(join(dir, 'model.safetensors'), tensors, { metadata: { made: 'here' } });
  return dir;
}

/** A safetensors file with this header and `dataBytes` bytes of data; `length` lies about the header's length. */
async function fileWithHeader(header: unknown, dataBytes: number, length?: bigint): Promise<string> {
  const dir = await temporaryFolder();
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  await writeFile(join(dir, 'model.safetensors'), bytes);
  return dir;
}

describe('a written file', () => {
  it('reads back every type', async () => {
    const checkpoint = await openCheckpoint(await writtenModel());
    expect(await checkpoint.readFloats('b.f32')).toEqual(values);
    expect([...(await checkpoint.readFloats('a.f16'))]).toEqual([1, -2.5, 3.25, 0.0999755859375, -0, 0.0010004043579101562]);
    expect([...(await checkpoint.readFloats('c.bf16'))]).toEqual([1, -2.5, 3.25, 0.10009765625, -0, 0.00099945068359375]);
    expect([...(await checkpoint.readInts('d.i32'))]).toEqual([-7, 2 ** 30]);
    expect([...(await checkpoint.readBytes('e.u8'))]).toEqual([1, 2, 255]);
    expect(await checkpoint.readFloats('f.empty')).toEqual(new Float32Array(0));
    expect(checkpoint.metadata).toEqual({ format: 'pt', made: 'here' });
    expect(checkpoint.entry('a.f16').shape).toEqual([2, 3]);
    await checkpoint.close();
  });

  it('reads in pieces', async () => {
    const checkpoint = await openCheckpoint(await writtenModel());
    const pieces: number[][] = [];
    for await (const piece of checkpoint.chunks('b.f32', 4)) pieces.push([...piece]);
    expect(pieces).toEqual([[...values.subarray(0, 4)], [...values.subarray(4)]]);
    await checkpoint.close();
  });

  it('does not depend on the order of the tensors, and keeps data aligned', async () => {
    const dir = await temporaryFolder();
    const first = await writeSafetensors(join(dir, 'a.safetensors'), tensors);
    const second = await writeSafetensors(join(dir, 'b.safetensors'), [...tensors].reverse());
    expect(second.sha256).toBe(first.sha256);
    const headerBytes = new DataView((await readFile(join(dir, 'a.safetensors'))).buffer).getUint32(0, true);
    expect(headerBytes % 8).toBe(0);
  });

  it('refuses values beyond 16-bit range and of the wrong count, leaving no file', async () => {
    const dir = await temporaryFolder();
    const path = join(dir, 'model.safetensors');
    const large: TensorToWrite = { name: 'x', dtype: 'F16', shape: [1], values: Float32Array.of(1e6) };
    await expect(writeSafetensors(path, [large])).rejects.toMatchObject({ code: 'numeric' });
    await expect(writeSafetensors(path, [{ ...large, dtype: 'F32', shape: [2] }])).rejects.toThrow(/1 values for shape \[2\]/);
    expect(await readdir(dir)).toEqual([]);
  });

  it('names a missing tensor and an unreadable type', async () => {
    const checkpoint = await openCheckpoint(await writtenModel());
    await expect(checkpoint.readFloats('none')).rejects.toMatchObject({
      code: 'model-invalid',
      message: expect.stringContaining('no tensor none'),
    });
    await expect(checkpoint.readFloats('d.i32')).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('stored as I32'),
    });
    await checkpoint.close();
  });
});

describe('a damaged file', () => {
  const good = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };

  it.each<[string, unknown, number, bigint | undefined, string]>([
    ['a header longer than the file', { a: good }, 8, 5000n, 'the header is truncated: 5000 bytes announced'],
    ['an absurd header length', { a: good }, 8, 2n ** 60n, "above the format's limit"],
    ['no JSON', '{"a": ', 8, undefined, 'the header is not valid JSON'],
    ['a list as header', [1], 8, undefined, 'the header is not a JSON object'],
    ['an unknown type', { a: { ...good, dtype: 'F12' } }, 8, undefined, 'tensor a: unknown data type "F12"'],
    ['a broken entry', { a: 7 }, 0, undefined, 'tensor a: unknown data type null'],
    ['a negative shape', { a: { ...good, shape: [-2] } }, 8, undefined, 'not lists of whole numbers'],
    [
      'offsets that do not fit the shape',
      { a: { ...good, shape: [3] } },
      8,
      undefined,
      'gives 8 bytes of data, but F32 of shape [3] takes 12',
    ],
    ['data beyond the end', { a: good }, 4, undefined, 'ends at byte 8 of the data section, which has 4'],
    [
      'overlapping tensors',
      { a: good, b: { ...good, data_offsets: [4, 12] } },
      12,
      undefined,
      'tensor b: its data overlaps tensor a by 4 bytes',
    ],
    ['a gap', { a: good, b: { ...good, data_offsets: [12, 20] } }, 20, undefined, '4 bytes between tensor a and its data'],
    ['bytes after the end', { a: good }, 20, undefined, '12 bytes after the last tensor'],
    ['metadata that is no text', { a: good, __metadata__: { n: 1 } }, 8, undefined, '__metadata__'],
  ])('with %s is named', async (_, header, dataBytes, length, message) => {
    const error = await openCheckpoint(await fileWithHeader(header, dataBytes, length)).catch((thrown) => thrown);
    expect(error).toMatchObject({ name: 'RoundoffError', code: 'model-invalid', hint: expect.stringMatching(/Download|Store/) });
    expect(error.problems.join('\n')).toContain('model.safetensors');
    expect(error.problems.join('\n')).toContain(message);
  });

  it('that is cut off is named, wherever the cut is', async () => {
    const size = (await readFile(join(await writtenModel(), 'model.safetensors'))).length;
    for (const length of [0, 5, 8, 60, size - 1]) {
      const dir = await writtenModel();
      await truncate(join(dir, 'model.safetensors'), length);
      await expect(openCheckpoint(dir)).rejects.toMatchObject({
        code: 'model-invalid',
        message: expect.stringContaining('model.safetensors'),
      });
    }
  });

  it('lists every problem at once', async () => {
    const header = { a: { dtype: 'F12', shape: [2], data_offsets: [0, 8] }, b: { dtype: 'F32', shape: [9], data_offsets: [0, 8] } };
    const error = await openCheckpoint(await fileWithHeader(header, 8)).catch((thrown) => thrown);
    expect(error.problems).toHaveLength(2);
    expect(error.message).toContain('(and 1 more)');
  });
});

describe('a sharded checkpoint', () => {
  async function sharded(): Promise<string> {
    const dir = await temporaryFolder();
    await writeSafetensors(join(dir, 'one.safetensors'), tensors.slice(0, 2));
    await writeSafetensors(join(dir, 'two.safetensors'), tensors.slice(2));
    const weightMap = Object.fromEntries(tensors.map((tensor, index) => [tensor.name, index < 2 ? 'one.safetensors' : 'two.safetensors']));
    await writeFile(join(dir, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));
    return dir;
  }

  it('reads tensors from all shards', async () => {
    const checkpoint = await openCheckpoint(await sharded());
    expect(checkpoint.files.map((file) => file.name)).toEqual(['one.safetensors', 'two.safetensors']);
    expect(await checkpoint.readFloats('b.f32')).toEqual(values);
    expect([...(await checkpoint.readInts('d.i32'))]).toEqual([-7, 2 ** 30]);
    await checkpoint.close();
  });

  it('names missing shards, misplaced tensors and tensors found twice', async () => {
    const dir = await sharded();
    const index = join(dir, 'model.safetensors.index.json');
    const { weight_map: weightMap } = JSON.parse(await readFile(index, 'utf8'));
    await writeSafetensors(join(dir, 'three.safetensors'), tensors.slice(0, 1));
    const extra = { 'a.f16': 'three.safetensors', 'b.f32': 'two.safetensors', x: 'one.safetensors', z: 'four.safetensors' };
    await patchJson(index, { weight_map: { ...weightMap, ...extra } });
    const { problems } = await openCheckpoint(dir).catch((thrown) => thrown);
    expect(problems.join('\n')).toContain(
      'four.safetensors: this shard, named in model.safetensors.index.json, is missing. Download the missing file',
    );
    expect(problems.join('\n')).toContain(
      'two.safetensors, tensor b.f32: model.safetensors.index.json places it in this file, but it is not there.',
    );
    expect(problems.join('\n')).toContain('tensor a.f16: it is also in');
    expect(problems.join('\n')).toContain('one.safetensors, tensor x');
  });

  it.each([
    ['a path outside the folder', { weight_map: { a: '../secret.safetensors' } }],
    ['no map', { weight_map: [] }],
  ])('refuses an index with %s', async (_, changes) => {
    const dir = await sharded();
    await patchJson(join(dir, 'model.safetensors.index.json'), changes);
    await expect(openCheckpoint(dir)).rejects.toMatchObject({ message: expect.stringContaining('weight_map is not a map') });
  });

  it('refuses an index that is no JSON', async () => {
    const dir = await sharded();
    await writeFile(join(dir, 'model.safetensors.index.json'), '{');
    await expect(openCheckpoint(dir)).rejects.toMatchObject({ code: 'model-invalid', message: expect.stringContaining('not valid JSON') });
  });
});

describe('a folder without weights', () => {
  it('says what is missing, and how to convert pickled weights', async () => {
    const dir = await temporaryFolder();
    await expect(openCheckpoint(dir)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('no model.safetensors'),
    });
    await writeFile(join(dir, 'pytorch_model.bin'), 'x');
    await expect(openCheckpoint(dir)).rejects.toMatchObject({ hint: expect.stringContaining('save_pretrained') });
    await mkdir(join(dir, 'model.safetensors'));
    await expect(openCheckpoint(dir)).rejects.toMatchObject({ code: 'not-found' });
  });
});
