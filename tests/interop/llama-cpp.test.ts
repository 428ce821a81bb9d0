import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { exportCheckpoint } from '../../src-main/engine/formats/export.ts';
import { loadGgufModel } from '../../src-main/engine/formats/gguf/model.ts';
import { readModelConfig } from '../../src-main/engine/model/config.ts';
import { loadTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import { compareAnswers, record } from './compare.ts';
import { abacus, abacusDir, answersOf, newFolder, promptIds, type Quantization } from './ours.ts';
import { readAnswer, readFloats, runLlama, setup } from './setup.ts';

/**
 * Allowed differences of a logit. llama.cpp rounds what the matrices are multiplied with, too: to half precision in an F16 file, to 8 bits per
 * block in the others, and keys and values to half precision.
 */
const rows: { format: ExportFormat; quantization: Quantization | null; allowed: number }[] = [
  { format: 'gguf-f16', quantization: null, allowed: 0.05 },
  { format: 'gguf-q8_0', quantization: null, allowed: 1 },
  { format: 'gguf-q4_0', quantization: null, allowed: 1 },
  { format: 'gguf-f16', quantization: { method: 'gptq', scheme: 'W4G128' }, allowed: 0.05 },
  { format: 'gguf-q8_0', quantization: { method: 'gptq', scheme: 'W4G128' }, allowed: 1 },
];
const texts = [
  '345+278=?',
  'What is gcd(84, 36)? \\boxed{12}',
  'Ann has 12 apples.\nTom has 7.',
  '<|user|>7*8=?<|end|><|assistant|><think>',
];

interface LlamaResponse {
  completions: number[][];
  tokenized: number[][];
  texts: string[];
}

describe.skipIf(setup.llamaDir === null)('llama.cpp', () => {
  it.each(rows)('answers as we do: $format of $quantization', { timeout: 300_000 }, async ({ format, quantization, allowed }) => {
    const sourceDir = await abacus(quantization);
    const dir = newFolder('gguf');
    const { files } = await exportCheckpoint(dir, { sourceDir, format, modelName: 'abacus' });
    expect(files.map(({ name }) => name)).toEqual([`abacus-${format.slice(5).toUpperCase()}.gguf`]);
    const file = path.join(dir, files[0]!.name);
    await selectBackend('wasm');
    const model = await loadGgufModel(file, await readModelConfig(sourceDir));
    const ours = await answersOf(model, await promptIds());
    model.dispose();
    const finished = runLlama({ model: file, ...ours, logits: undefined, texts });
    const response = readAnswer<LlamaResponse>(finished, 'response.json');
    const comparison = compareAnswers(ours, { ...response, logits: readFloats(finished.dir, 'logits.f32') });
    record(format, quantization ? `${quantization.method} ${quantization.scheme}` : 'as it is', 'node-llama-cpp', comparison);
    const tokenizer = await loadTokenizer(abacusDir);
    expect(response.tokenized).toEqual(texts.map((text) => tokenizer.encode(text, { addSpecialTokens: false })));
    expect(response.texts).toEqual(texts);
    expect(comparison.unexplained).toEqual([]);
    expect(comparison.largestDifference).toBeLessThan(allowed);
  });
});
