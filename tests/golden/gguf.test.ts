import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeGguf, encodeGguf } from '../../src-main/engine/formats/gguf/blocks.ts';
import { openGguf } from '../../src-main/engine/formats/gguf/read.ts';
import { permuteHeads, unpermuteHeads } from '../../src-main/engine/formats/gguf/tensors.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { fixturePath } from './fixtures.ts';

/** What make-gguf-fixtures.py wrote. */
const fixture = JSON.parse(readFileSync(fixturePath('gguf.json'), 'utf8')) as {
  shape: [number, number];
  weights: string;
  types: Record<'F16' | 'Q8_0' | 'Q4_0', { bytes: string; values: string }>;
  permuted: { heads: number; rows: number; values: string; expected: string };
  file: string;
};
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'));
const floats = (text: string) => new Float32Array(bytes(text).buffer);
const folder = temporaryFolder('gguf-golden');

describe.each(['F16', 'Q8_0', 'Q4_0'] as const)('%s', (type) => {
  const golden = fixture.types[type];

  it("encodes to the bytes of llama.cpp's Python package", () => {
    expect(Buffer.from(encodeGguf(type, floats(fixture.weights))).equals(Buffer.from(golden.bytes, 'base64'))).toBe(true);
  });

  it('decodes to its values, bit for bit', () => {
    expect(decodeGguf(type, bytes(golden.bytes))).toEqual(floats(golden.values));
  });
});

describe('the row order of queries and keys in Llama models', () => {
  const { heads, rows, values, expected } = fixture.permuted;

  it('is that of the conversion script, and is undone on reading', () => {
    expect(permuteHeads(floats(values), rows, heads)).toEqual(floats(expected));
    expect(unpermuteHeads(floats(expected), rows, heads)).toEqual(floats(values));
  });
});

it('reads a file that the Python package wrote', async () => {
  const file = path.join(folder, 'small.gguf');
  writeFileSync(file, bytes(fixture.file));
  const gguf = await openGguf(file);
  expect(gguf.scalar('general.architecture')).toBe('llama');
  expect(gguf.scalar('llama.block_count')).toBe(3);
  expect(gguf.scalar('llama.attention.layer_norm_rms_epsilon')).toBe(Math.fround(1e-5));
  expect(gguf.scalar('tokenizer.ggml.add_bos_token')).toBe(true);
  expect(gguf.array('tokenizer.ggml.tokens')).toEqual(['a', 'Ġb', 'é', '日本']);
  expect(gguf.array('tokenizer.ggml.token_type')).toEqual([1, 1, 3, 4]);
  expect(gguf.scalar('test.uint64')).toBe(2n ** 40n + 1n);
  expect(gguf.scalar('test.int8')).toBe(-5);
  expect(gguf.scalar('test.float64')).toBe(0.1);
  expect(gguf.array('test.floats')).toEqual([0.5, -1.25]);
  expect([...gguf.tensors.values()].map(({ name, type, shape }) => [name, type, shape])).toEqual([
    ['norm', 'F32', [5]],
    ['half', 'F16', [3, 96]],
    ['eight', 'Q8_0', fixture.shape],
    ['four', 'Q4_0', fixture.shape],
  ]);
  expect(await gguf.readFloats('norm')).toEqual(Float32Array.of(0, 1, 2, 3, 4));
  expect(await gguf.readFloats('half')).toEqual(floats(fixture.types.F16.values).subarray(0, 3 * 96));
  expect(await gguf.readFloats('eight')).toEqual(floats(fixture.types.Q8_0.values));
  expect(await gguf.readFloats('four')).toEqual(floats(fixture.types.Q4_0.values));
  await gguf.close();
});
