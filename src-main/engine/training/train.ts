/**
 * The training loop: batches in seeded order, masked cross-entropy, gradient accumulation, clipping by the global norm, AdamW, a schedule,
 * and checkpoints from which a run continues as if it had never stopped (bit for bit on `wasm`).
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { clipByGlobalNorm } from '../ops/index.ts';
import { BatchOrder } from './batch-order.ts';
import { loadCheckpoint, saveCheckpoint, type TrainingProgress } from './checkpoint.ts';
import { countTargets, disposeBatch, packBatch, type TrainingData, type TrainingExample } from './examples.ts';
import { lossAndGradients } from './gradients.ts';
import { Optimizer } from './optimizer.ts';
import { learningRateAt } from './schedule.ts';
import { checkTrainingSettings, type TrainingSettings } from './settings.ts';

export interface StepMetrics {
  /** Optimizer step, from 1. */
  step: number;
  /** Mean cross-entropy of the step's targets, in nats. */
  loss: number;
  learningRate: number;
  /** Global norm before clipping. */
  gradientNorm: number;
  tokens: number;
  tokensPerSecond: number;
}

export interface TrainOptions {
  /** Folder of the checkpoint; a run found there is continued. Without it nothing is written. */
  checkpointDir?: string;
  signal?: AbortSignal;
  /** Called after every optimizer step. */
  onStep?(metrics: StepMetrics): void;
}

/**
 * Trains all parameters of a dense model in place. A cancelled run writes a checkpoint first and then throws `cancelled`.
 * Throws `recipe-invalid` on bad settings and `numeric` when the loss is no longer finite.
 * @returns the progress at the end, equal for continued and undisturbed runs
 */
export async function train(
  model: LanguageModel,
  data: TrainingData,
  settings: TrainingSettings,
  options: TrainOptions = {},
): Promise<TrainingProgress> {
  checkTrainingSettings(settings);
  const optimizer = new Optimizer(model, settings);
  try {
    return await runSteps(model, data, settings, optimizer, options);
  } finally {
    optimizer.dispose();
  }
}

async function runSteps(
  model: LanguageModel,
  data: TrainingData,
  settings: TrainingSettings,
  optimizer: Optimizer,
  { checkpointDir, signal, onStep }: TrainOptions,
): Promise<TrainingProgress> {
  const order = new BatchOrder(data, settings);
  const save = async (progress: TrainingProgress) => {
    if (checkpointDir) await saveCheckpoint(checkpointDir, optimizer, settings, progress);
  };
  const progress = (checkpointDir && (await loadCheckpoint(checkpointDir, optimizer, settings))) || { step: 0, tokens: 0 };
  while (progress.step < settings.steps) {
    if (signal?.aborted) await save(progress);
    throwIfCancelled(signal, 'Training');
    const startedAt = performance.now();
    const microBatches = Array.from({ length: settings.accumulation }, (_, micro) =>
      order.batch(progress.step * settings.accumulation + micro),
    );
    const learningRate = learningRateAt(settings.schedule, progress.step, settings.steps);
    const measured = await optimizerStep(model, microBatches, settings, optimizer, { step: progress.step + 1, learningRate });
    progress.step++;
    progress.tokens += measured.tokens;
    onStep?.({
      ...measured,
      step: progress.step,
      learningRate,
      tokensPerSecond: (1000 * measured.tokens) / (performance.now() - startedAt),
    });
    const isDue = settings.checkpointEvery > 0 && progress.step % settings.checkpointEvery === 0;
    if (isDue || progress.step === settings.steps) await save(progress);
  }
  return progress;
}

async function optimizerStep(
  model: LanguageModel,
  microBatches: TrainingExample[][],
  settings: TrainingSettings,
  optimizer: Optimizer,
  { step, learningRate }: { step: number; learningRate: number },
): Promise<{ loss: number; gradientNorm: number; tokens: number }> {
  const { loss, gradients, tokens } = accumulate(model, microBatches, optimizer.parameters);
  const clipped = clipByGlobalNorm(gradients, settings.maxGradientNorm);
  try {
    const [lossValue, gradientNorm] = [(await loss.data())[0]!, (await clipped.norm.data())[0]!];
    if (!Number.isFinite(lossValue) || !Number.isFinite(gradientNorm))
      throw new RoundoffError(
        'numeric',
        `The loss is ${lossValue} and the gradient norm ${gradientNorm} at step ${step}.`,
        'Lower the learning rate or the gradient norm limit; the last checkpoint is still good.',
      );
    optimizer.update(gradients, step, learningRate, clipped.scale);
    return { loss: lossValue, gradientNorm, tokens };
  } finally {
    tf.dispose([loss, ...gradients, clipped.norm, clipped.scale]);
  }
}

/** Loss and gradients over all micro-batches, as if they were one batch: each target weighs the same. */
function accumulate(model: LanguageModel, microBatches: TrainingExample[][], parameters: tf.Variable[]) {
  const targets = microBatches.map(countTargets);
  const allTargets = targets.reduce((sum, count) => sum + count, 0);
  let total: { loss: tf.Scalar; gradients: tf.Tensor[] } | null = null;
  let tokens = 0;
  for (const [index, examples] of microBatches.entries()) {
    if (targets[index] === 0) continue;
    const batch = packBatch(examples, model.config.padTokenId ?? 0);
    const part = lossAndGradients(model, parameters, batch, targets[index]! / allTargets);
    disposeBatch(batch);
    tokens += batch.tokens;
    total = total ? addAndDispose(total, part) : part;
  }
  if (!total)
    throw new RoundoffError(
      'dataset-invalid',
      'No token of the batch counts in the loss.',
      'Give every example at least one response token.',
    );
  return { ...total, tokens };
}

function addAndDispose(a: { loss: tf.Scalar; gradients: tf.Tensor[] }, b: { loss: tf.Scalar; gradients: tf.Tensor[] }) {
  const sum = (x: tf.Tensor, y: tf.Tensor) => {
    const result = tf.add(x, y);
    tf.dispose([x, y]);
    return result;
  };
  return { loss: sum(a.loss, b.loss) as tf.Scalar, gradients: a.gradients.map((gradient, index) => sum(gradient, b.gradients[index]!)) };
}
