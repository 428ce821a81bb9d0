/**
 * The training loop: gradients over a step's micro-batches, clipping by the global norm, AdamW, a schedule, evaluation now and then, and
 * checkpoints from which a run continues as if it had never stopped (bit for bit on `wasm`).
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { clipByGlobalNorm } from '../ops/index.ts';
import { beginning, loadCheckpoint, saveCheckpoint, type TrainingProgress } from './checkpoint.ts';
import { type AdamWConstants, Optimizer } from './optimizer.ts';
import { type LearningRateSchedule, learningRateAt } from './schedule.ts';
import type { MicroBatch, TrainingTask } from './task.ts';
import type { RateGroup, Trainee } from './trainee.ts';

export interface LoopSettings extends AdamWConstants {
  /** Optimizer steps. */
  steps: number;
  /** Of the weights; other groups follow it in proportion. */
  schedule: LearningRateSchedule;
  /** Peak rates of the other groups. */
  peaks?: Partial<Record<RateGroup, number>>;
  /** Largest global gradient norm; larger gradients are scaled down to it. */
  maxGradientNorm: number;
  seed: number;
  /** Steps between checkpoints; 0 writes one at the end only. */
  checkpointEvery: number;
}

export interface StepMetrics {
  /** Optimizer step, from 1. */
  step: number;
  /** In nats for sft and kd. */
  loss: number;
  learningRate: number;
  /** Global norm before clipping. */
  gradientNorm: number;
  tokens: number;
  tokensPerSecond: number;
  /** What the task and the probes add, by name. */
  more: Record<string, number>;
}

export interface LoopOptions {
  /** Folder of the checkpoint; a run found there is continued. Without it nothing is written. */
  checkpointDir?: string;
  /** Everything that must be equal for a run to be continued; a difference is refused and shown. */
  resumeKey: unknown;
  signal?: AbortSignal;
  /** Variance of the gradient across micro-batches at every step. */
  probes?: boolean;
  /** Called once, where an earlier execution's checkpoint is continued. */
  onResume?(step: number): void;
  /** Called after every optimizer step. */
  onStep?(metrics: StepMetrics): void;
  /** Called before a checkpoint is written: steps before it are not made again, so what is known of them must be out of this process. */
  beforeSave?(): void;
  /** Accuracy of the trainee as it is, every `evaluateEvery` steps and after the last one. */
  evaluate?(step: number): Promise<number>;
  evaluateEvery?: number;
}

/**
 * Trains in place. A cancelled run writes a checkpoint first, where it can be continued, and then throws `cancelled`.
 * Throws `numeric` when the loss or a gradient is no longer finite: it names the tensor, and the last checkpoint stays good.
 * @returns the progress at the end, equal for continued and undisturbed runs
 */
export async function runTraining(
  trainee: Trainee,
  task: TrainingTask,
  settings: LoopSettings,
  options: LoopOptions,
): Promise<TrainingProgress> {
  const optimizer = new Optimizer(trainee.parameters, settings);
  try {
    return await runSteps(trainee, task, settings, optimizer, options);
  } finally {
    optimizer.dispose();
  }
}

async function runSteps(
  trainee: Trainee,
  task: TrainingTask,
  settings: LoopSettings,
  optimizer: Optimizer,
  options: LoopOptions,
): Promise<TrainingProgress> {
  const { checkpointDir, resumeKey, signal, onStep, evaluate, evaluateEvery = 0 } = options;
  const save = async (progress: TrainingProgress) => {
    if (!checkpointDir) return;
    options.beforeSave?.();
    await saveCheckpoint(checkpointDir, optimizer, resumeKey, progress);
  };
  const progress = (checkpointDir && (await loadCheckpoint(checkpointDir, optimizer, resumeKey))) || beginning();
  if (progress.step > 0) options.onResume?.(progress.step);
  while (progress.step < settings.steps) {
    // Computing on the processor never waits, so that without this no message (to cancel, or that main is gone) would be heard between checkpoints.
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted && task.canResumeAt(progress.step)) await save(progress);
    throwIfCancelled(signal, 'Training');
    const startedAt = performance.now();
    await trainee.beginStep(progress.step);
    const microBatches = await task.microBatches(progress.step, trainee, signal);
    const learningRate = learningRateAt(settings.schedule, progress.step, settings.steps);
    const measured = await optimizerStep(trainee, microBatches, settings, optimizer, {
      step: progress.step + 1,
      learningRate,
      probes: options.probes ?? false,
    });
    progress.step++;
    progress.tokens += measured.tokens;
    const more = { ...(await task.metrics()), ...measured.probes };
    const { loss, gradientNorm, tokens } = measured;
    if (progress.step > settings.steps - Math.ceil(settings.steps / 10))
      addFigures(progress.last, { loss, 'gradient-norm': gradientNorm, ...more });
    const tokensPerSecond = (1000 * tokens) / (performance.now() - startedAt);
    onStep?.({ step: progress.step, loss, learningRate, gradientNorm, tokens, tokensPerSecond, more });
    const isLast = progress.step === settings.steps;
    if (evaluate && (isLast || (evaluateEvery > 0 && progress.step % evaluateEvery === 0))) {
      await trainee.beginStep(progress.step);
      const accuracy = await evaluate(progress.step);
      if (!progress.best || accuracy > progress.best.accuracy) {
        progress.best = { step: progress.step, accuracy };
        if (checkpointDir) await saveCheckpoint(`${checkpointDir}-best`, optimizer, resumeKey, progress);
      }
    }
    const isDue = settings.checkpointEvery > 0 && progress.step % settings.checkpointEvery === 0;
    if ((isDue && task.canResumeAt(progress.step)) || isLast) await save(progress);
  }
  await trainee.beginStep(progress.step);
  return progress;
}

function addFigures(sums: TrainingProgress['last'], figures: Record<string, number>): void {
  for (const [name, value] of Object.entries(figures)) {
    const known = sums[name] ?? { sum: 0, count: 0 };
    sums[name] = { sum: known.sum + value, count: known.count + 1 };
  }
}

interface StepContext {
  /** From 1. */
  step: number;
  learningRate: number;
  probes: boolean;
}

async function optimizerStep(
  trainee: Trainee,
  microBatches: MicroBatch[],
  settings: LoopSettings,
  optimizer: Optimizer,
  { step, learningRate, probes }: StepContext,
): Promise<{ loss: number; gradientNorm: number; tokens: number; probes: Record<string, number> }> {
  const { loss, gradients, tokens, squaredNorms } = await accumulate(trainee, microBatches, settings.seed, step, probes);
  const clipped = clipByGlobalNorm(gradients, settings.maxGradientNorm);
  try {
    const [lossValue, gradientNorm] = [(await loss.data())[0]!, (await clipped.norm.data())[0]!];
    if (!Number.isFinite(lossValue) || !Number.isFinite(gradientNorm)) throw await notFinite(step, lossValue, gradients, optimizer);
    optimizer.update(gradients, step, ratesAt(settings, learningRate), clipped.scale);
    return { loss: lossValue, gradientNorm, tokens, probes: probes ? gradientProbes(squaredNorms, gradientNorm) : {} };
  } finally {
    tf.dispose([loss, ...gradients, clipped.norm, clipped.scale]);
  }
}

function ratesAt({ schedule, peaks = {} }: LoopSettings, learningRate: number): Record<RateGroup, number> {
  const share = learningRate / schedule.peak;
  return { weights: learningRate, transforms: (peaks.transforms ?? 0) * share, clips: (peaks.clips ?? 0) * share };
}

async function notFinite(step: number, loss: number, gradients: tf.Tensor[], optimizer: Optimizer): Promise<RoundoffError> {
  let culprit = 'no gradient';
  for (const [index, gradient] of gradients.entries()) {
    const values = await gradient.data();
    if (values.some((value) => !Number.isFinite(value))) {
      culprit = `the gradient of ${optimizer.entries[index]!.name}`;
      break;
    }
  }
  return new RoundoffError(
    'numeric',
    `At step ${step} the loss is ${loss}, and ${culprit} is not finite.`,
    'Lower the learning rate or the gradient norm limit; the last checkpoint is still good.',
  );
}

/** Loss and gradients over all micro-batches, whose losses are shares of the step's. */
async function accumulate(trainee: Trainee, microBatches: MicroBatch[], seed: number, step: number, probes: boolean) {
  let total: { loss: tf.Scalar; gradients: tf.Tensor[] } | null = null;
  let tokens = 0;
  const squaredNorms: number[] = [];
  for (const [index, micro] of microBatches.entries()) {
    const dropoutSeed = (seed * 1_000_003 + step * 1009 + index) % 2 ** 31;
    const part = lossAndGradients(trainee, micro, dropoutSeed);
    micro.dispose();
    tokens += micro.tokens;
    if (probes) {
      // The probes speak of the parameters; without them one conversion of the sum does.
      part.gradients = await trainee.parameterGradients(part.gradients);
      squaredNorms.push(await squaredNorm(part.gradients));
    }
    total = total ? addAndDispose(total, part) : part;
  }
  if (!total) throw new Error('a step needs at least one micro-batch');
  const gradients = probes ? total.gradients : await trainee.parameterGradients(total.gradients);
  return { loss: total.loss, gradients, tokens, squaredNorms };
}

/** The loss of a micro-batch and its gradients in the order of the trainee's leaves. The caller disposes all of them. */
export function lossAndGradients(
  trainee: Trainee,
  micro: MicroBatch,
  dropoutSeed: number | null,
): { loss: tf.Scalar; gradients: tf.Tensor[] } {
  const leaves = trainee.leaves();
  const head = trainee.headWeight();
  const options = { headGradient: leaves.includes(head) };
  const loss = () =>
    tf.tidy(() => {
      const hidden = tf.reshape(trainee.forward(micro.inputs, { dropoutSeed, lengths: micro.lengths }), [
        -1,
        trainee.config.hiddenSize,
      ]) as tf.Tensor2D;
      return micro.loss(hidden, head, options);
    });
  const { value, grads } = tf.engine().gradients(loss, [...leaves]);
  return { loss: value as tf.Scalar, gradients: grads };
}

async function squaredNorm(gradients: tf.Tensor[]): Promise<number> {
  const total = tf.tidy(() => gradients.map((gradient) => tf.sum(tf.square(gradient))).reduce((sum, square) => tf.add(sum, square)));
  const [value] = await total.data();
  total.dispose();
  return value!;
}

/** The shares gᵢ add up to g, so n micro-batches have the gradients n·gᵢ around the mean g: Σ‖n·gᵢ − g‖² / (n − 1), summed over all values. */
function gradientProbes(squaredNorms: number[], gradientNorm: number): Record<string, number> {
  const count = squaredNorms.length;
  if (count < 2) return {};
  const sum = squaredNorms.reduce((total, value) => total + value, 0);
  const variance = Math.max(0, count ** 2 * sum - count * gradientNorm ** 2) / (count - 1);
  return { 'gradient-variance': variance, 'gradient-noise': gradientNorm > 0 ? variance / gradientNorm ** 2 : 0 };
}

function addAndDispose(a: { loss: tf.Scalar; gradients: tf.Tensor[] }, b: { loss: tf.Scalar; gradients: tf.Tensor[] }) {
  const sum = (x: tf.Tensor, y: tf.Tensor) => {
    const result = tf.add(x, y);
    tf.dispose([x, y]);
    return result;
  };
  return { loss: sum(a.loss, b.loss) as tf.Scalar, gradients: a.gradients.map((gradient, index) => sum(gradient, b.gradients[index]!)) };
}
