/** What work on the GPU is said to need beside the buffers that were counted, for small models; and that the models people come with fit. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { TrainSummary } from '#contract/worker.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { gpu } from '../../src-main/engine/backends/webgpu/device.ts';
import type { ModelConfig } from '../../src-main/engine/model/config.ts';
import { frozenStorage, loadModel } from '../../src-main/engine/model/load.ts';
import { parameterCount } from '../../src-main/engine/model/parameters.ts';
import { floatForms, readStoredForms } from '../../src-main/engine/model/stored-forms.ts';
import { estimateGeneration } from '../../src-main/engine/rollouts/generation-memory.ts';
import { createGenerator } from '../../src-main/engine/rollouts/generator.ts';
import { affordableSlots } from '../../src-main/engine/rollouts/slots.ts';
import { vocabularySize } from '../../src-main/engine/sample/vocabulary.ts';
import { gpuMemoryEstimates } from '../../src-main/engine/training/gpu-memory-tasks.ts';
import { probeBackends } from '../../src-main/runs/probe-backends.ts';
import { workerEntry } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('gpu-memory');
const trainChild = path.resolve(import.meta.dirname, '../support/train-child.ts');
const quantizeChild = path.resolve(import.meta.dirname, '../support/quantize-child.ts');
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

const run = async (script: string, options: object) => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(options)], { maxBuffer: 1e8 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Pick<TrainSummary, 'peakGpuMemoryBytes' | 'estimatedGpuMemoryBytes'>;
};

function expectClose(name: string, { peakGpuMemoryBytes: peak, estimatedGpuMemoryBytes: estimate }: Awaited<ReturnType<typeof run>>): void {
  console.info(`${name}: ${(peak! / 1e6).toFixed(1)} MB at most, ${(estimate! / 1e6).toFixed(1)} MB estimated`);
  expect(estimate! / peak!).toBeGreaterThan(0.8);
  expect(estimate! / peak!).toBeLessThan(1.2);
}

const w4 = { bits: 4, symmetric: false, strategy: 'group', groupSize: 32 };
const w4a4kv4 = { ...w4, symmetric: true, strategy: 'channel', groupSize: null, activationBits: 4, kvBits: 4 };
const rounded = { kind: 'quantized', scheme: w4a4kv4 };
const narrow = { hidden_size: 96, intermediate_size: 288 };
const rl = { kind: 'rl', promptsPerStep: 2, groupSize: 4, maxNewTokens: 48 };

describe.skipIf(!webgpu?.available)('the GPU memory that training takes', () => {
  it.each([
    ['all weights', narrow, {}, 8],
    ['a wider model', { hidden_size: 192, intermediate_size: 576, num_hidden_layers: 3 }, {}, 20],
    ['many heads and a long sequence', { ...narrow, ...manyHeads }, {}, 50],
    ['a batch of examples', { ...narrow, num_attention_heads: 4 }, { batchSize: 4 }, 12],
    ['recomputing', { hidden_size: 96, intermediate_size: 384, num_hidden_layers: 6 }, { activationCheckpointing: true }, 20],
    ['an adapter', { hidden_size: 128, intermediate_size: 384 }, { trains: { kind: 'lora' } }, 20],
    ['distillation into weights and activations that are rounded', narrow, { objective: { kind: 'kd' }, trains: rounded }, 12],
    ['rollouts of an adapter beside a reference', narrow, { objective: { ...rl, beta: 0.1 }, trains: { kind: 'lora' } }, 12],
  ])('is estimated within a fifth for %s', { timeout: 600_000 }, async (name, sizes, change, steps) => {
    const sourceDir = path.join(folder, name.replaceAll(' ', '-'));
    await writeTinyModel(sourceDir, 7, { ...attention, max_position_embeddings: contextLength, ...sizes });
    const stage = { ...common, ...change };
    const data = writeExamples(`${sourceDir}.jsonl`, Math.max(2, stage.batchSize), steps);
    const options = { sourceDir, outDir: `${sourceDir}-out`, stage: { ...stage, data }, backend: 'webgpu' };
    expectClose(name, await run(trainChild, options));
  });
});

describe.skipIf(!webgpu?.available)('the GPU memory that quantization takes', () => {
  const narrowInside = { hidden_size: 64, intermediate_size: 512, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 32 };
  const manyQueries = { hidden_size: 128, intermediate_size: 128, num_attention_heads: 16, num_key_value_heads: 4, head_dim: 16 };
  const learning = { epochs: 1, batchSize: 4 };

  it.each([
    ['gptq', manyQueries, w4, {}, 32],
    ['awq', narrowInside, w4, {}, 8],
    ['quarot', manyQueries, w4a4kv4, {}, 8],
    ['flatquant', narrowInside, w4a4kv4, learning, 8],
  ])('is estimated within a fifth for %s', { timeout: 600_000 }, async (method, sizes, scheme, change, samples) => {
    const sourceDir = path.join(folder, `${method}-${sizes.hidden_size}`);
    await writeTinyModel(sourceDir, 7, sizes);
    const calibration = { path: 'random tokens', samples, sequenceLength: 128, seed: 0 };
    const stage = { type: 'quantize', method, scheme, calibration, options: change };
    const outDir = `${sourceDir}-out`;
    expectClose(method, await run(quantizeChild, { sourceDir, outDir, stage, vocabSize: vocabularySize, backend: 'webgpu' }));
    if (method !== 'flatquant') return;
    const trains = { kind: 'flatquant', transformRate: 1e-3, clipRate: 1e-2 };
    const data = writeExamples(`${sourceDir}.jsonl`, 1, 12);
    const training = { ...common, objective: { kind: 'kd' }, trains, data };
    expectClose(
      'learnt transforms',
      await run(trainChild, { sourceDir: outDir, baseDir: sourceDir, outDir: `${outDir}-2`, stage: training, backend: 'webgpu' }),
    );
  });
});

describe.skipIf(!webgpu?.available)('the GPU memory that generation takes', () => {
  it.each([
    ['one sequence', 1],
    ['many sequences', 20],
  ])('is that of the decode engine and the model for %s', { timeout: 300_000 }, async (name, slots) => {
    await selectBackend('webgpu');
    const dir = path.join(folder, 'generation');
    await writeTinyModel(dir, 7, { hidden_size: 128, intermediate_size: 384 });
    const { memory } = gpu();
    memory.resetPeak();
    const held = memory.usedBytes;
    const model = await loadModel(dir, { storage: frozenStorage() });
    const capacity = 150;
    const generator = createGenerator(model, { slots, capacity });
    const requests = Array.from({ length: slots }, (_, index) => ({ key: `${index}`, promptIds: [5, 6, 7], seed: 1, stream: `${index}` }));
    const sampling = { temperature: 1, topP: 1, topK: 0, maxNewTokens: 4, stopTokenIds: [] };
    await generator.run(requests, sampling, { onResult: () => undefined });
    const room = { budgetBytes: null, bindingBytes: 2 ** 30 };
    const { bytes, slots: estimated } = estimateGeneration(await readStoredForms(dir, model.config), { capacity, requests: slots }, room);
    expect([generator.implementation, estimated]).toEqual(['gpu', slots]);
    expectClose(name, { peakGpuMemoryBytes: memory.peakBytes - held, estimatedGpuMemoryBytes: bytes });
    await generator.dispose();
    model.dispose();
  });

  it('is kept to what the GPU has room for by fewer slots, which the log says', { timeout: 300_000 }, async () => {
    await selectBackend('webgpu');
    const dir = path.join(folder, 'slots');
    await writeTinyModel(dir, 7, { hidden_size: 128, intermediate_size: 384 });
    const model = await loadModel(dir, { storage: frozenStorage() });
    const logged: string[] = [];
    const given = { capacity: 190, requests: 64, onLog: (message: string) => logged.push(message) };
    expect([await affordableSlots(model, given), logged]).toEqual([64, []]);
    const { budgetBytes } = gpu().memory;
    const slots = await affordableSlots(model, { ...given, reservedBytes: budgetBytes! * 0.95 - 6e6 });
    expect(slots).toBeGreaterThan(1);
    expect(slots).toBeLessThan(64);
    expect(logged).toEqual([
      `The GPU's memory has room for ${slots} sequences of 190 tokens side by side, not for 64: generation takes longer.`,
    ]);
    const none = affordableSlots(model, { ...given, reservedBytes: budgetBytes! });
    await expect(none).rejects.toThrow(/^Generating a single sequence of 190 tokens takes about .* may hold/);
    model.dispose();
  });
});
