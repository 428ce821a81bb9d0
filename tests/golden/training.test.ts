/** The training loop against PyTorch: the same steps from the same weights, made by make-training-fixtures.py. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { type StepMetrics, train } from '../../src-main/engine/training/index.ts';
import { valuesOf } from '../support/test-backend.ts';
import { testBackends } from '../unit/engine/ops/op-check.ts';
import { fixturePath } from './fixtures.ts';

interface Reference {
  settings: { steps: number; peak: number; warmup: number; floor: number; decay: number; max_norm: number };
  sequences: number[][];
  steps: { loss: number; gradientNorm: number; learningRate: number }[];
  /** The first eight values of every parameter after the last step. */
  weights: Record<string, number[]>;
}

const reference = JSON.parse(readFileSync(fixturePath('training.json'), 'utf8')) as Reference;

test.each(testBackends)('losses, gradient norms, learning rates and weights equal those of torch on %s', async (backend) => {
  await selectBackend(backend);
  const { settings, sequences } = reference;
  const model = await loadModel(fixturePath('models', 'qwen3-tied'));
  const metrics: StepMetrics[] = [];
  const data = { count: sequences.length, example: (index: number) => ({ ids: sequences[index]!, lossStart: 3 }) };
  await train(
    model,
    data,
    {
      steps: settings.steps,
      batchSize: 4,
      accumulation: 2,
      batchesPerWindow: 2,
      schedule: { kind: 'cosine', peak: settings.peak, warmupSteps: settings.warmup, floorShare: settings.floor },
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: settings.decay,
      maxGradientNorm: settings.max_norm,
      seed: 1,
      checkpointEvery: 0,
    },
    { onStep: (step) => metrics.push(step) },
  );
  expect(metrics).toHaveLength(reference.steps.length);
  for (const [index, expected] of reference.steps.entries()) {
    expect(metrics[index]!.learningRate).toBeCloseTo(expected.learningRate, 12);
    expect(Math.abs(metrics[index]!.loss - expected.loss)).toBeLessThan(1e-4 * expected.loss);
    expect(Math.abs(metrics[index]!.gradientNorm - expected.gradientNorm)).toBeLessThan(1e-3 * expected.gradientNorm);
  }
  for (const [name, values] of Object.entries(reference.weights)) {
    const trained = await valuesOf(model.parameter(name));
    for (const [index, value] of values.entries()) expect(Math.abs(trained[index]! - value), `${name}[${index}]`).toBeLessThan(1e-4);
  }
  model.dispose();
});
