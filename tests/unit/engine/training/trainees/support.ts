/** Small quantized model folders, train stages on them, and steps without the loop's files. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { type QuantizationMethod, quantizeStageSchema } from '#contract/recipe.ts';
import { formatScheme, parseScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { RandomStream } from '../../../../../src-main/engine/data/random-stream.ts';
import type { LanguageModel } from '../../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { linearCrossEntropy } from '../../../../../src-main/engine/ops/index.ts';
import { quantizeCheckpoint } from '../../../../../src-main/engine/quantizers/streaming/quantize-checkpoint.ts';
import { createTrainee } from '../../../../../src-main/engine/training/create-trainee.ts';
import { lossAndGradients, packBatch, runTraining, type Trainee } from '../../../../../src-main/engine/training/index.ts';
import type { MicroBatch, TrainingTask } from '../../../../../src-main/engine/training/task.ts';
import { type GoldenName, goldenModel } from '../../../../golden/fixtures.ts';
import { temporaryFolder } from '../../../../support/temporary-folder.ts';
import { valuesOf } from '../../../../support/test-backend.ts';

const temporary = temporaryFolder('trainees');

export function fresh(name = 'out'): string {
  return join(mkdtempSync(join(temporary, 'folder-')), name);
}

/** 6 samples of 16 tokens below 60. */
const samples = Array.from({ length: 6 }, (_, index) => Int32Array.from({ length: 16 }, (_, i) => (7 * i + 5 * index + i * i) % 60));

/** A golden model as the quantize stage of a run leaves it. */
export async function quantizedFolder(
  method: QuantizationMethod,
  scheme: string,
  options: object = {},
  { base = 'qwen3-tied', ...more }: { base?: GoldenName } & Record<string, unknown> = {},
): Promise<string> {
  const outDir = fresh(method);
  const calibration = { path: 'given', samples: 6, sequenceLength: 16, seed: 0 };
  const needsText = !['rtn', 'nf4', 'int8'].includes(method);
  const settings = { type: 'quantize', method, scheme: parseScheme(scheme), options, ...(needsText ? { calibration } : {}), ...more };
  const stage = quantizeStageSchema.parse(settings);
  const metadata = { method, scheme: formatScheme(stage.scheme), options: JSON.stringify(stage.options) };
  const sourceDir = goldenModel(base).dir;
  const tokenizer = () => Promise.reject(new Error('not needed'));
  await quantizeCheckpoint({ sourceDir, outDir, stage, seed: 1, samples, modelHash: 'test', metadata, tokenizer });
  return outDir;
}

type Settings = { trains: Record<string, unknown> & { scheme?: QuantizationScheme } } & Record<string, unknown>;

export function trainStage({ trains, ...more }: Settings): TrainStage {
  return trainStageSchema.parse({
    ...{ type: 'train', objective: { kind: 'sft' }, trains, data: { path: 'given' }, steps: 20, batchSize: 2 },
    optimizer: { learningRate: 0.003 },
    ...more,
  });
}

export function traineeOf(modelDir: string, settings: Settings, base: GoldenName = 'qwen3-tied', seed = 5): Promise<Trainee> {
  return createTrainee({ modelDir, baseDir: goldenModel(base).dir, stage: trainStage(settings), seed });
}

export const rows = [0, 1, 2].map((row) => ({
  ids: Array.from({ length: 9 + 2 * row }, (_, i) => 3 + ((5 * i + 11 * row + i * i) % 50)),
  lossStart: 3,
}));

export function microBatch(examples = rows): MicroBatch {
  const { inputs, targets, mask, tokens } = packBatch(examples, 0);
  return {
    ...{ inputs, tokens },
    loss: (hidden, head, options) => linearCrossEntropy(hidden, head, targets, { mask, ...options }),
    dispose: () => tf.dispose([inputs, targets, mask]),
  };
}

export const task: TrainingTask = {
  microBatches: async () => [microBatch(rows.slice(0, 2)), microBatch(rows.slice(2))].map(halved),
  metrics: async () => ({}),
  canResumeAt: () => true,
  dispose: () => {},
};

function halved(micro: MicroBatch): MicroBatch {
  return { ...micro, loss: (hidden, head, options) => tf.mul(micro.loss(hidden, head, options), 0.5) as tf.Scalar };
}

/** Trains in place; returns the losses. */
export async function trainSteps(trainee: Trainee, steps: number, learningRate = 0.003): Promise<number[]> {
  const losses: number[] = [];
  const settings = {
    ...{ steps, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1, seed: 3, checkpointEvery: 0 },
    schedule: { kind: 'constant', peak: learningRate, warmupSteps: 0, floorShare: 0 } as const,
    peaks: { transforms: learningRate, clips: 10 * learningRate },
  };
  await runTraining(trainee, task, settings, { resumeKey: null, onStep: ({ loss }) => losses.push(loss) });
  return losses;
}

const ids = () =>
  tf.tensor2d(
    rows.slice(0, 2).flatMap(({ ids }) => ids.slice(0, 9)),
    [2, 9],
    'int32',
  );

export async function traineeLogits(trainee: Trainee, dropoutSeed: number | null = null): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const hidden = tf.reshape(trainee.forward(ids(), { dropoutSeed }), [-1, trainee.config.hiddenSize]) as tf.Tensor2D;
    return tf.matMul(hidden, trainee.headWeight(), false, true);
  });
  const values = await valuesOf(logits);
  logits.dispose();
  return values;
}

export async function modelLogits(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const hidden = tf.reshape(model.forward(ids()), [-1, model.config.hiddenSize]) as tf.Tensor2D;
    return tf.matMul(hidden, model.headWeight(), false, true);
  });
  const values = await valuesOf(logits);
  logits.dispose();
  return values;
}

export async function folderLogits(dir: string): Promise<Float32Array> {
  const model = await loadModel(dir);
  const logits = await modelLogits(model);
  model.dispose();
  return logits;
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - b[index]!)), 0);
}

export function expectSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  expect(largestDifference(actual, expected), what).toBe(0);
}

/** Gradients of the trainee's parameters on the test's rows, by name. */
export async function gradientsOf(trainee: Trainee, dropoutSeed: number | null = null): Promise<Map<string, Float32Array>> {
  const micro = microBatch();
  const { loss, gradients } = lossAndGradients(trainee, micro, dropoutSeed);
  micro.dispose();
  loss.dispose();
  const own = await trainee.parameterGradients(gradients);
  const values = await Promise.all(own.map(valuesOf));
  const result = new Map(trainee.parameters.map(({ name }, index) => [name, values[index]!]));
  tf.dispose(own);
  return result;
}

/**
 * The slope of the loss along a random direction of one parameter, by central differences.
 * @param refresh whether `beginStep` is called after the parameter has moved
 */
export async function measuredSlope(
  trainee: Trainee,
  name: string,
  { step = 2e-3, dropoutSeed = null, refresh = true }: { step?: number; dropoutSeed?: number | null; refresh?: boolean } = {},
): Promise<{ measured: number; direction: Float32Array }> {
  const { variable } = trainee.parameters.find((parameter) => parameter.name === name)!;
  const direction = new RandomStream(7, name).normals(variable.size);
  const original = await valuesOf(variable);
  const lossAt = async (amount: number) => {
    tf.tidy(() =>
      variable.assign(
        tf.tensor(
          original.map((value, i) => value + amount * direction[i]!),
          variable.shape,
        ),
      ),
    );
    if (refresh) await trainee.beginStep(0);
    const micro = microBatch();
    const loss = tf.tidy(() => {
      const hidden = tf.reshape(trainee.forward(micro.inputs, { dropoutSeed }), [-1, trainee.config.hiddenSize]) as tf.Tensor2D;
      return micro.loss(hidden, trainee.headWeight());
    });
    const value = (await loss.data())[0]!;
    loss.dispose();
    micro.dispose();
    return value;
  };
  const measured = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
  tf.tidy(() => variable.assign(tf.tensor(original, variable.shape)));
  if (refresh) await trainee.beginStep(0);
  return { measured, direction };
}

export function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}
