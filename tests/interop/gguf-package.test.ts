import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { exportCheckpoint } from '../../src-main/engine/formats/export.ts';
import { openGguf } from '../../src-main/engine/formats/gguf/read.ts';
import { abacus, newFolder } from './ours.ts';
import { readAnswer, readFloats, runPython, withoutPython } from './setup.ts';

interface Answer {
  tensors: { name: string; shape: number[]; type: string }[];
  fields: Record<string, unknown>;
  tokens: string[];
}

const formats: ExportFormat[] = ['gguf-f16', 'gguf-q8_0', 'gguf-q4_0'];
const reason = withoutPython(['gguf']);

describe("llama.cpp's Python package", () => {
  it.skipIf(reason).each(formats)(`reads the tensors of a %s file as we do, bit for bit${reason ? ` (${reason})` : ''}`, async (format) => {
    await selectBackend('wasm');
    const dir = newFolder(format);
    const { files } = await exportCheckpoint(dir, { sourceDir: await abacus(null), format, modelName: 'abacus' });
    const file = path.join(dir, files[0]!.name);
    const finished = runPython('dequantize_gguf.py', { model: file });
    const answer = readAnswer<Answer>(finished, 'response.json');
    const values = readFloats(finished.dir, 'values.f32');
    const gguf = await openGguf(file);
    expect(answer.tensors).toEqual([...gguf.tensors.values()].map(({ name, shape, type }) => ({ name, shape, type })));
    expect(answer.fields).toMatchObject({ 'general.architecture': 'qwen3', 'qwen3.block_count': 4, 'qwen3.rope.freq_base': 10_000 });
    expect(answer.tokens).toEqual(gguf.array('tokenizer.ggml.tokens'));
    let start = 0;
    for (const { name, shape } of answer.tensors) {
      const length = shape.reduce((size, side) => size * side, 1);
      const theirs = values.subarray(start, start + length);
      const ours = await gguf.readFloats(name);
      expect(Buffer.from(ours.buffer).equals(Buffer.from(theirs.buffer, theirs.byteOffset, theirs.byteLength)), name).toBe(true);
      start += length;
    }
    expect(start).toBe(values.length);
    await gguf.close();
  });
});
