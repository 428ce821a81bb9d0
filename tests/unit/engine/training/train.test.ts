import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { type StepMetrics, type TrainingSettings, type TrainOptions, train } from '../../../../src-main/engine/training/index.ts';
import { testBackend } from '../../../support/test-backend.ts';
import { countingData, tinyConfig, tinySettings } from './tiny.ts';

let dir: string;
beforeAll(async () => {
  await selectBackend(testBackend);
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'roundoff-training-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function run(settings: Partial<TrainingSettings>, options: TrainOptions = {}) {
  const model = createRandomModel(tinyConfig, 11);
  const metrics: StepMetrics[] = [];
  const onStep = (step: StepMetrics) => {
    metrics.push(step);
    options.onStep?.(step);
  };
  try {
    const progress = await train(model, countingData(64), { ...tinySettings, ...settings }, { ...options, onStep });
    return { progress, metrics, weights: await snapshot(model) };
  } finally {
    model.dispose();
  }
}

async function snapshot(model: LanguageModel): Promise<Record<string, number[]>> {
  const values = [...model.parameters].map(async ([name, tensor]): Promise<[string, number[]]> => [name, [...(await tensor.data())]]);
  return Object.fromEntries(await Promise.all(values));
}

test('a tiny model learns to count', async () => {
  const { metrics } = await run({
    steps: 150,
    accumulation: 1,
    schedule: { kind: 'cosine', peak: 0.02, warmupSteps: 10, floorShare: 0.05 },
  });
  expect(metrics[0]!.loss).toBeGreaterThan(2.2);
  expect(metrics.at(-1)!.loss).toBeLessThan(0.05);
});

test('every step reports loss, learning rate, gradient norm and tokens', async () => {
  const { metrics, progress } = await run({});
  expect(metrics.map((step) => step.step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(metrics.map((step) => step.learningRate)[1]).toBe(0.01);
  for (const step of metrics) {
    expect(step.gradientNorm).toBeGreaterThan(0);
    expect(step.tokensPerSecond).toBeGreaterThan(0);
  }
  expect(progress).toEqual({ step: 6, tokens: metrics.reduce((sum, step) => sum + step.tokens, 0), best: null, last: expect.any(Object) });
  expect(progress.last.loss).toEqual({ sum: metrics.at(-1)!.loss, count: 1 });
});

test('two micro-batches of four take the step of one batch of eight', async () => {
  const whole = await run({ steps: 1, batchSize: 8, accumulation: 1, batchesPerWindow: 1 });
  const parts = await run({ steps: 1, batchSize: 4, accumulation: 2, batchesPerWindow: 1 });
  expect(parts.metrics[0]!.loss).toBeCloseTo(whole.metrics[0]!.loss, 5);
  expect(parts.metrics[0]!.gradientNorm).toBeCloseTo(whole.metrics[0]!.gradientNorm, 4);
});

test('hears between steps what arrives meanwhile, without a checkpoint to wait at', async () => {
  const controller = new AbortController();
  const steps: number[] = [];
  const onStep = ({ step }: StepMetrics) => {
    steps.push(step);
    // As a message from another process would come: as an event of its own.
    if (step === 2) setTimeout(() => controller.abort(), 0);
  };
  await expect(run({ steps: 400 }, { signal: controller.signal, onStep })).rejects.toMatchObject({ code: 'cancelled' });
  expect(steps.length).toBeLessThan(400);
});

test('a run that was cancelled and continued equals an undisturbed one bit for bit', async () => {
  const undisturbed = await run({});
  const controller = new AbortController();
  const cancelAtThree = (step: StepMetrics) => step.step === 3 && controller.abort();
  await expect(run({}, { checkpointDir: dir, signal: controller.signal, onStep: cancelAtThree })).rejects.toMatchObject({
    code: 'cancelled',
  });
  const continued = await run({}, { checkpointDir: dir });
  expect(continued.metrics.map((step) => step.step)).toEqual([4, 5, 6]);
  expect(continued.weights).toEqual(undisturbed.weights);
  expect(continued.progress).toEqual(undisturbed.progress);
});

test('a checkpoint of other settings is refused', async () => {
  await run({ steps: 1 }, { checkpointDir: dir });
  await expect(run({ steps: 1, seed: 4 }, { checkpointDir: dir })).rejects.toMatchObject({
    code: 'bad-input',
    message: expect.stringContaining('other settings: seed was 3, now 4'),
  });
});

test('weights after an optimizer step differ from the initial ones everywhere', async () => {
  const initial = createRandomModel(tinyConfig, 11);
  const before = await snapshot(initial);
  initial.dispose();
  const { weights } = await run({ steps: 1 });
  for (const [name, values] of Object.entries(weights)) expect(values, name).not.toEqual(before[name]);
});

test('bad settings are all named at once', async () => {
  await expect(run({ steps: 0, beta2: 1, maxGradientNorm: 0 })).rejects.toMatchObject({
    code: 'recipe-invalid',
    problems: [expect.stringContaining('steps'), expect.stringContaining('beta2'), expect.stringContaining('maxGradientNorm')],
  });
});

test('a loss that is no longer finite stops the run', async () => {
  const schedule = { kind: 'constant', peak: 1e30, warmupSteps: 0, floorShare: 1 } as const;
  await expect(run({ steps: 5, schedule })).rejects.toMatchObject({ code: 'numeric' });
});

test('training leaves no tensors behind', async () => {
  await run({ steps: 1 });
  const before = tf.memory().numTensors;
  await run({ steps: 3 });
  expect(tf.memory().numTensors).toBe(before);
});
