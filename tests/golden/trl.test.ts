/** Policy learning against TRL, distillation and AdamW against PyTorch: losses, advantages, gradients and figures made by make-trl-fixtures.py. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { adamW, createMoments, linearKl, linearPolicy, type TokenStatistics } from '../../src-main/engine/ops/index.ts';
import { groupAdvantages } from '../../src-main/engine/training/rl/advantages.ts';
import {
  eachToken,
  type LearningBatch,
  learningBatches,
  packLearning,
  policyRows,
} from '../../src-main/engine/training/rl/learning-batch.ts';
import { PolicyMetrics, rolloutMetrics } from '../../src-main/engine/training/rl/policy-metrics.ts';
import type { Completion } from '../../src-main/engine/training/rl/rollout.ts';
import { type RlObjective, rlSchema } from '../../src-preload/contract/training.ts';
import { valuesOf } from '../support/test-backend.ts';
import { testBackends } from '../unit/engine/ops/op-check.ts';
import { fixturePath } from './fixtures.ts';

interface Case {
  lossType: RlObjective['lossType'];
  scaleRewards: RlObjective['scaleRewards'];
  beta: number;
  clipLow: number;
  clipHigh: number;
  old: boolean;
  maskTruncated: boolean;
  importance: RlObjective['importance'] | null;
  /** Micro-batches. */
  accumulation: number;
  loss: number;
  advantages: number[];
  /** In the logits, [completions, tokens, vocab]. */
  gradient: number[];
  metrics: Record<string, number>;
}

interface Reference {
  temperature: number;
  groupSize: number;
  maxNewTokens: number;
  vocab: number;
  completions: number[][];
  rewards: number[];
  logits: number[][][];
  old: number[][];
  reference: number[][];
  sampled: number[][];
  cases: Case[];
  advantages: ({ rewards: number[]; groupSize: number; rloo: number[] } & Record<RlObjective['scaleRewards'], number[]>)[];
  distillation: {
    hidden: number[][];
    head: number[][];
    teacherHidden: number[][];
    teacherHead: number[][];
    mask: number[];
    entries: { temperature: number; mix: number; loss: number; dHidden: number[][]; dHead: number[][] }[];
  };
  adamw: { start: number[]; gradients: number[][]; after: number[][] };
}

const reference = JSON.parse(readFileSync(fixturePath('trl.json'), 'utf8')) as Reference;
const promptIds = [2, 3, 4];
const endToken = 1;

function objectiveOf({ lossType, scaleRewards, beta, clipLow, clipHigh, old, maskTruncated, importance }: Case): RlObjective {
  const { temperature, groupSize, maxNewTokens } = reference;
  return rlSchema.parse({
    kind: 'rl',
    ...{ lossType, scaleRewards, beta, clipLow, clipHigh, maskTruncated, temperature, groupSize, maxNewTokens },
    promptsPerStep: 2,
    updatesPerRollout: old ? 2 : 1,
    ...(importance ? { importance } : {}),
  });
}

const completions = reference.completions.map((tokenIds, index): Completion => {
  const isCut = tokenIds.at(-1) !== endToken;
  const sampledLogProbabilities = reference.sampled[index]!.slice(0, tokenIds.length);
  const problem = { id: String(Math.floor(index / reference.groupSize)), promptIds, gold: '' };
  const reward = reference.rewards[index]!;
  return { problem, tokenIds, sampledLogProbabilities, finishReason: isCut ? 'length' : 'stop', verdict: 'incorrect', reward };
});

/** Our loss and its gradient in the logits of each completion's tokens: the output layer is the identity, so hidden states are logits. */
async function learn(batches: LearningBatch[], objective: RlObjective) {
  const { vocab, maxNewTokens } = reference;
  const head = tf.eye(vocab) as tf.Tensor2D;
  const metrics = new PolicyMetrics(objective);
  const gradient = new Float64Array(completions.length * maxNewTokens * vocab);
  let loss = 0;
  let first = 0;
  for (const batch of batches) {
    const packed = packLearning(batch, 0);
    const hidden = new Float32Array(packed.mask.size * vocab);
    eachToken(batch, (_, index, token, row) => hidden.set(reference.logits[first + index]![token]!, row * vocab));
    const told: TokenStatistics[] = [];
    const policy = (x: tf.Tensor) =>
      linearPolicy(x as tf.Tensor2D, head, packed.targets, policyRows(batch, objective), objective, {
        onTokens: (said) => told.push(said),
      });
    const { value, grad } = tf.valueAndGrad(policy)(tf.tensor2d(hidden, [packed.mask.size, vocab]));
    loss += (await valuesOf(value))[0]!;
    const slopes = await valuesOf(grad);
    metrics.add(batch, await valuesOf(told[0]!.logProbabilities), await valuesOf(told[0]!.entropies));
    eachToken(batch, (_, index, token, row) => {
      for (let j = 0; j < vocab; j++) gradient[((first + index) * maxNewTokens + token) * vocab + j] = slopes[row * vocab + j]!;
    });
    first += batch.sequences.length;
  }
  return { loss, gradient, metrics: metrics.read() };
}

describe.each(testBackends)('policy learning on %s', (backend) => {
  beforeAll(() => selectBackend(backend));

  const arranged = [true, false].flatMap((packs) => reference.cases.map((entry) => ({ entry, packs })));

  test.each(
    arranged.map(({ entry, packs }) => {
      const options = [
        ...(entry.old ? ['ratios, KL and clips'] : []),
        ...(entry.maskTruncated ? ['masked'] : []),
        ...(entry.importance ? [entry.importance.kind] : []),
        packs ? 'packed' : 'padded',
      ];
      return [`${entry.lossType}, scaled by ${entry.scaleRewards} ${options.join(', ')}`, entry, packs] as const;
    }),
  )('%s: advantages, loss and gradient equal those of TRL', async (_, expected, packs) => {
    const objective = objectiveOf(expected);
    const cut = learningBatches(completions, completions.length / expected.accumulation, objective);
    const batches = cut.map((batch) => ({ ...batch, packs }));
    const sequences = batches.flatMap(({ sequences }) => sequences);
    expect(sequences.map(({ completion }) => completion)).toEqual(completions);
    for (const [index, sequence] of sequences.entries()) {
      const length = sequence.completion.tokenIds.length;
      expect(Math.abs(sequence.advantage - expected.advantages[index]!)).toBeLessThan(1e-6);
      if (expected.old) sequence.old = Float64Array.from(reference.old[index]!.slice(0, length));
      if (expected.beta > 0) sequence.reference = Float64Array.from(reference.reference[index]!.slice(0, length));
    }
    const { loss, gradient, metrics } = await learn(batches, objective);
    expect(Math.abs(loss - expected.loss)).toBeLessThan(2e-6);
    const largest = Math.max(...expected.gradient.map(Math.abs));
    for (const [place, value] of expected.gradient.entries())
      expect(Math.abs(gradient[place]! - value), `gradient ${place}`).toBeLessThan(4e-6 * (largest + 0.1));
    if (expected.accumulation > 1) return;
    expect(metrics.entropy).toBeCloseTo(expected.metrics.entropy!, 5);
    expect(metrics['clip-low']).toBeCloseTo(expected.metrics['clip_ratio/low_mean']!, 5);
    expect(metrics['clip-high']).toBeCloseTo(expected.metrics['clip_ratio/high_mean']!, 5);
    if (expected.beta > 0) expect(metrics.kl).toBeCloseTo(expected.metrics.kl!, 5);
    const figures = rolloutMetrics(
      { completions, elapsedMs: 1 },
      groupAdvantages(reference.rewards, reference.groupSize, objective).zeroDeviationShare,
    );
    expect(figures['reward-mean']).toBeCloseTo(expected.metrics.reward!, 6);
    expect(figures['reward-std']).toBeCloseTo(expected.metrics.reward_std!, 6);
    expect(figures['zero-std-groups']).toBeCloseTo(expected.metrics.frac_reward_zero_std!, 6);
  });

  test.each(reference.advantages)('advantages of rewards $rewards', ({ rewards, groupSize, rloo, ...scaled }) => {
    for (const scaleRewards of ['group', 'batch', 'none'] as const) {
      const { values } = groupAdvantages(rewards, groupSize, { advantage: 'group-mean', scaleRewards });
      for (const [index, value] of values.entries()) expect(Math.abs(value - scaled[scaleRewards][index]!)).toBeLessThan(2e-6);
    }
    const { values } = groupAdvantages(rewards, groupSize, { advantage: 'rloo', scaleRewards: 'none' });
    for (const [index, value] of values.entries()) expect(Math.abs(value - rloo[index]!)).toBeLessThan(1e-6);
  });
});

describe.each(testBackends)('on %s', (backend) => {
  beforeAll(() => selectBackend(backend));

  test.each(reference.distillation.entries)(
    'distillation at temperature $temperature with mix $mix equals that of torch',
    async (expected) => {
      const { hidden, head, teacherHidden, teacherHead, mask } = reference.distillation;
      const counted = mask.reduce((sum, value) => sum + value, 0);
      const teacher = { hidden: tf.tensor2d(teacherHidden), head: tf.tensor2d(teacherHead) };
      const shares = tf.tensor1d(mask.map((value) => value / counted));
      const { temperature, mix } = expected;
      const { value, grads } = tf.valueAndGrads((x, w) =>
        linearKl(x as tf.Tensor2D, w as tf.Tensor2D, teacher, { shares, temperature, mix }),
      )([tf.tensor2d(hidden), tf.tensor2d(head)]);
      expect((await valuesOf(value))[0]).toBeCloseTo(expected.loss, 5);
      for (const [index, wanted] of [expected.dHidden, expected.dHead].entries()) {
        const values = await valuesOf(grads[index]!);
        for (const [place, slope] of wanted.flat().entries()) expect(Math.abs(values[place]! - slope)).toBeLessThan(2e-6);
      }
    },
  );

  test('steps of AdamW equal those of torch', async () => {
    const { start, gradients, after } = reference.adamw;
    const variable = tf.variable(tf.tensor1d(start));
    const moments = createMoments(variable);
    for (const [index, gradient] of gradients.entries()) {
      adamW(variable, tf.tensor1d(gradient), moments, {
        ...{ learningRate: 3e-3, step: index + 1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
        gradientScale: tf.scalar(1),
      });
      const values = await valuesOf(variable);
      for (const [place, value] of after[index]!.entries()) expect(Math.abs(values[place]! - value)).toBeLessThan(1e-6);
    }
  });
});
