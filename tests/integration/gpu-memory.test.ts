/** What training on the GPU is said to need beside the buffers that were counted, for small models; and that the models people come with fit. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { TrainSummary } from '#contract/worker.ts';
import type { ModelConfig } from '../../src-main/engine/model/config.ts';
import { parameterCount } from '../../src-main/engine/model/parameters.ts';
import { floatForms } from '../../src-main/engine/model/stored-forms.ts';
import { gpuMemoryEstimates } from '../../src-main/engine/training/gpu-memory-tasks.ts';
import { probeBackends } from '../../src-main/runs/probe-backends.ts';
import { workerEntry } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('gpu-memory');
const child = path.resolve(import.meta.dirname, '../support/train-child.ts');
const { backends } = await probeBackends({ nodeFile: process.execPath, workerEntry });
const webgpu = backends.find(({ name }) => name === 'webgpu');
if (!webgpu?.available) console.info(`Measuring the GPU's memory is left out: ${webgpu?.reason}`);

const attention = { num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16 };
const manyHeads = { num_attention_heads: 16, num_key_value_heads: 8 };
const common = {
  ...{ type: 'train', objective: { kind: 'sft' }, trains: { kind: 'weights' }, steps: 2, batchSize: 1 },
  optimizer: { learningRate: 1e-4 },
};
const contextLength = 700;

/** `count` examples of one length, so that no sequence is shorter than the estimate takes it to be. */
function writeExamples(file: string, count: number, steps: number): object {
  const solution = Array.from({ length: steps }, (_, step) => `${step % 10}*8=32`).join(',');
  const row = JSON.stringify({ problem: '404*78=?', answer: '31512', solution: `<think>${solution}</think>\\boxed{31512}` });
  writeFileSync(file, `${row}\n`.repeat(count));
  return { path: file, limit: count, maxTokens: contextLength };
}

/** Shapes as published in the models' config.json. */
const qwen3 = (sizes: object): ModelConfig =>
  ({
    kvHeads: 8,
    headDim: 128,
    vocabSize: 151_936,
    contextLength: 40_960,
    qkNorm: true,
    attentionBias: false,
    outputBias: false,
    ...sizes,
  }) as ModelConfig;
const published = {
  '0.6B': qwen3({ hiddenSize: 1024, intermediateSize: 3072, layers: 28, heads: 16, tiedEmbeddings: true }),
  '4B': qwen3({ hiddenSize: 2560, intermediateSize: 9728, layers: 36, heads: 32, tiedEmbeddings: true }),
  '8B': qwen3({ hiddenSize: 4096, intermediateSize: 12_288, layers: 36, heads: 32, tiedEmbeddings: false }),
};

describe("the GPU's memory", () => {
  it.each([
    ['0.6B', 596, 'gpu-train', 16],
    ['4B', 4022, 'gpu-qlora', 16],
    ['8B', 8191, 'gpu-qlora', 24],
  ] as const)('holds Qwen3-%s with %s million parameters for %s in %s GB', (name, millions, task, gigabytes) => {
    const config = published[name];
    expect(Math.round(parameterCount(config) / 1e6)).toBe(millions);
    const { bytes } = gpuMemoryEstimates(floatForms(config)).find((estimate) => estimate.task === task)!;
    console.info(`Qwen3-${name}, ${task}: ${(bytes / 1e9).toFixed(1)} GB`);
    expect(bytes).toBeLessThanOrEqual(gigabytes * 1e9);
    expect(bytes).toBeGreaterThan(4 * gigabytes * 1e8);
  });
});

describe.skipIf(!webgpu?.available)('the GPU memory that training takes', () => {
  it.each([
    ['all weights', { hidden_size: 96, intermediate_size: 288 }, {}, 8],
    ['a wider model', { hidden_size: 192, intermediate_size: 576, num_hidden_layers: 3 }, {}, 20],
    ['many heads and a long sequence', { hidden_size: 96, intermediate_size: 288, ...manyHeads }, {}, 50],
    ['a batch of examples', { hidden_size: 96, intermediate_size: 288, num_attention_heads: 4 }, { batchSize: 4 }, 12],
    ['recomputing', { hidden_size: 96, intermediate_size: 384, num_hidden_layers: 6 }, { activationCheckpointing: true }, 20],
    ['an adapter', { hidden_size: 128, intermediate_size: 384 }, { trains: { kind: 'lora' } }, 20],
  ])('is estimated within a fifth for %s', { timeout: 600_000 }, async (name, sizes, change, steps) => {
    const sourceDir = path.join(folder, name.replaceAll(' ', '-'));
    await writeTinyModel(sourceDir, 7, { ...attention, max_position_embeddings: contextLength, ...sizes });
    const stage = { ...common, ...change };
    const options = {
      sourceDir,
      outDir: `${sourceDir}-out`,
      stage: { ...stage, data: writeExamples(`${sourceDir}.jsonl`, stage.batchSize, steps) },
      backend: 'webgpu',
    };
    const { stdout } = await promisify(execFile)(process.execPath, [child, JSON.stringify(options)], { maxBuffer: 1e8 });
    const { peakGpuMemoryBytes: peak, estimatedGpuMemoryBytes: estimate } = JSON.parse(stdout.trim().split('\n').at(-1)!) as TrainSummary;
    console.info(`${name}: ${(peak! / 1e6).toFixed(1)} MB at most, ${(estimate! / 1e6).toFixed(1)} MB estimated`);
    expect(estimate! / peak!).toBeGreaterThan(0.8);
    expect(estimate! / peak!).toBeLessThan(1.2);
  });
});
