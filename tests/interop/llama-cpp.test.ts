import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { exportCheckpoint } from '../../src-main/engine/formats/export.ts';
import { writeGgufModel } from '../../src-main/engine/formats/exporters/gguf.ts';
import { loadGgufModel } from '../../src-main/engine/formats/gguf/model.ts';
import { readModelConfig } from '../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../src-main/engine/model/init.ts';
import { loadTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import { addTokenizer } from '../unit/engine/formats/gguf/tokenizers.ts';
import { tinyConfigs } from '../unit/engine/rollouts/tiny-models.ts';
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
/** What Abacus, a Qwen3, has not: biases, scaled rotary frequencies, Llama's row order, separate embeddings. */
const sizes = { hiddenSize: 64, intermediateSize: 96, headDim: 16, heads: 4, kvHeads: 2 };
const architectures = [
  { name: 'qwen2', config: { ...tinyConfigs['qwen2, odd group, attention bias'], ...sizes } },
  { name: 'llama', config: { ...tinyConfigs['llama, scaled RoPE, output bias'], ...sizes } },
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

beforeAll(async () => {
  await selectBackend('wasm');
});

const reason = setup.llamaDir === null ? ` (${setup.llamaReason})` : '';

describe.skipIf(reason)(`llama.cpp${reason}`, () => {
  it.each(rows)('answers as we do: $format of $quantization', { timeout: 300_000 }, async ({ format, quantization, allowed }) => {
    const sourceDir = await abacus(quantization);
    const dir = newFolder('gguf');
    const { files } = await exportCheckpoint(dir, { sourceDir, format, modelName: 'abacus' });
    expect(files.map(({ name }) => name)).toEqual([`abacus-${format.slice(5).toUpperCase()}.gguf`]);
    const file = path.join(dir, files[0]!.name);
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

  it.each(architectures)('computes the $name architecture as we do', async ({ config }) => {
    const model = createRandomModel(config, 5, { deviation: 0.2 });
    for (const [name, tensor] of [...model.parameters].filter(([, { shape }]) => shape.length === 1)) {
      const around = name.endsWith('.bias') ? 0 : 1;
      const noise = new RandomStream(5, name).normals(tensor.size, 0.3);
      model.setParameter(
        name,
        noise.map((value) => value + around),
        tensor.shape,
      );
    }
    const dir = newFolder(config.architecture);
    mkdirSync(dir);
    addTokenizer(dir);
    const source = { config, dir, readFloats: (name: string) => model.parameter(name).data<'float32'>() };
    const { path: file } = await writeGgufModel(source, dir, 'gguf-f16', { name: 'random' });
    model.dispose();
    const reloaded = await loadGgufModel(file, config);
    const ours = await answersOf(reloaded, [
      [5, 9, 30, 17],
      [40, 6, 11, 28, 7, 33, 12],
    ]);
    reloaded.dispose();
    const finished = runLlama({ model: file, ...ours, logits: undefined });
    const response = readAnswer<LlamaResponse>(finished, 'response.json');
    const comparison = compareAnswers(ours, { ...response, logits: readFloats(finished.dir, 'logits.f32') });
    record('gguf-f16', `random ${config.architecture}`, 'node-llama-cpp', comparison);
    expect(comparison.unexplained).toEqual([]);
    expect(comparison.largestDifference).toBeLessThan(0.05);
  });
});
