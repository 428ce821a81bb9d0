/**
 * Calibration of one layer: transforms and clip factors are trained so that the quantized layer gives what the original one does, on the
 * original model's hidden states. The loss is the mean squared error divided by its own value, so that every step counts the same.
 * Source: FlatQuant (arXiv 2410.09426) and its code: AdamW, one cosine over all epochs, clip factors at a higher rate.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { FlatquantOptions } from '#contract/recipe.ts';
import { RandomStream } from '../../data/random-stream.ts';
import { learningRateAt } from '../../training/schedule.ts';
import type { Calibrator } from '../calibrator.ts';
import type { QuantizedLayer } from './quantized-layer.ts';
import { disposeTensors, type LayerTensors, leavesOf, type Trainables } from './trainables.ts';

/** The cosine ends here, as a share of the transforms' peak rate, for clip factors too. */
const floorShare = 1e-3;

/** Mean squared errors of the layer's outputs. */
export interface CalibrationCurve {
  /** Over all samples, before the first step and after the last. */
  start: number;
  end: number;
  /** Mean over each epoch's steps. */
  epochs: number[];
}

export interface CalibrationSettings {
  options: FlatquantOptions;
  /** `model.layers.N`, for errors and the order of samples. */
  prefix: string;
  onEpoch(epoch: number): void;
}

export async function calibrateLayer(
  layer: QuantizedLayer,
  trainables: Trainables,
  calibrator: Calibrator,
  { options, prefix, onEpoch }: CalibrationSettings,
): Promise<CalibrationCurve> {
  const all = Array.from({ length: calibrator.samples }, (_, index) => index);
  const batches = inBatches(all, options.batchSize);
  const stream = new RandomStream(options.seed, 'flatquant', prefix, 'order');
  const start = await meanError(layer, trainables, calibrator, batches);
  const epochs: number[] = [];
  // Samples that fill no batch wait for another epoch's order.
  const stepsPerEpoch = Math.max(1, Math.floor(all.length / options.batchSize));
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    onEpoch(epoch);
    const order = inBatches(stream.fork(`epoch ${epoch}`).shuffle(all), options.batchSize).slice(0, stepsPerEpoch);
    const sum = tf.tidy(() => tf.variable(tf.scalar(0), false));
    try {
      for (const [step, indices] of order.entries()) {
        const rates = ratesAt(options, epoch * stepsPerEpoch + step, options.epochs * stepsPerEpoch);
        await trainStep(layer, trainables, calibrator, indices, rates, sum);
      }
      epochs.push(requireFinite((await sum.data())[0]! / stepsPerEpoch, `${prefix}, epoch ${epoch + 1}`));
    } finally {
      sum.dispose();
    }
  }
  return { start, epochs, end: await meanError(layer, trainables, calibrator, batches) };
}

async function trainStep(
  layer: QuantizedLayer,
  trainables: Trainables,
  calibrator: Calibrator,
  indices: readonly number[],
  rates: { step: number; transforms: number; clips: number },
  sum: tf.Variable,
): Promise<void> {
  const { input, output } = await calibrator.gather(indices);
  const tensors = await trainables.tensors();
  const { value, grads } = lossAndGradients(layer, tensors, input, output);
  tf.tidy(() => sum.assign(tf.add(sum, value)));
  try {
    await trainables.update(grads, value, rates);
  } finally {
    tf.dispose([value, ...grads, input, output]);
    disposeTensors(tensors);
  }
}

/** Mean squared error of the quantized layer on `input` against `output`, and its gradients in the leaves. The caller disposes them. */
export function lossAndGradients(
  layer: QuantizedLayer,
  tensors: LayerTensors,
  input: tf.Tensor3D,
  output: tf.Tensor3D,
): { value: tf.Scalar; grads: tf.Tensor[] } {
  const { value, grads } = tf.engine().gradients(() => squaredError(layer.forward(input, tensors), output), leavesOf(tensors));
  return { value: value as tf.Scalar, grads };
}

function squaredError(actual: tf.Tensor, expected: tf.Tensor): tf.Scalar {
  return tf.mean(tf.square(tf.sub(actual, expected))) as tf.Scalar;
}

async function meanError(
  layer: QuantizedLayer,
  trainables: Trainables,
  calibrator: Calibrator,
  batches: readonly (readonly number[])[],
): Promise<number> {
  const tensors = await trainables.tensors();
  let sum = 0;
  let count = 0;
  try {
    for (const indices of batches) {
      const { input, output } = await calibrator.gather(indices);
      const error = tf.tidy(() => squaredError(layer.forward(input, tensors), output));
      tf.dispose([input, output]);
      sum += indices.length * (await error.data())[0]!;
      count += indices.length;
      error.dispose();
    }
  } finally {
    disposeTensors(tensors);
  }
  return sum / count;
}

function ratesAt({ learningRate, clipRateFactor }: FlatquantOptions, step: number, total: number) {
  const rate = (factor: number) =>
    learningRateAt({ kind: 'cosine', peak: factor * learningRate, warmupSteps: 0, floorShare: floorShare / factor }, step, total);
  return { step: step + 1, transforms: rate(1), clips: rate(clipRateFactor) };
}

function inBatches(indices: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, batch) => indices.slice(batch * size, (batch + 1) * size));
}

function requireFinite(loss: number, place: string): number {
  if (Number.isFinite(loss)) return loss;
  throw new RoundoffError(
    'numeric',
    `${place}: the calibration error is ${loss}.`,
    'Lower the learning rate; if it is so from the first epoch, inspect the model for values that are not numbers.',
  );
}
