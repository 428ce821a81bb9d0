import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { copyModel } from '../../../../src-main/engine/model/copy-model.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { lossAndGradients, WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { RlTask } from '../../../../src-main/engine/training/tasks/rl.ts';
import type { RlProblem } from '../../../../src-main/engine/training/training-data.ts';
import { type RlObjective, rlSchema } from '../../../../src-preload/contract/training.ts';
import { testBackend } from '../../../support/test-backend.ts';
import { testBackends } from '../ops/op-check.ts';
import { tinyConfig } from './tiny.ts';

/** Sequences end by length alone, so groups have equal lengths; the answer is the last token. */
const endless = { ...tinyConfig, eosTokenIds: [] };
const tokenizer = { decode: (ids: number[]) => `\\boxed{${ids.at(-1)! % 3}}` } as unknown as ModelTokenizer;
const problems: RlProblem[] = Array.from({ length: 6 }, (_, index) => ({
  id: `p${index}`,
  gold: String(index % 3),
  promptIds: Array.from({ length: 2 + (index % 3) }, (_, place) => 2 + ((index + place) % 9)),
}));

function setUp(settings: Partial<RlObjective> & object, options: { batchSize?: number; seed?: number; eos?: number[] } = {}) {
  const model = createRandomModel({ ...endless, eosTokenIds: options.eos ?? [] }, 2, { deviation: 0.4 });
  const trainee = new WeightsTrainee(model, { ownsModel: true });
  const objective = rlSchema.parse({ kind: 'rl', promptsPerStep: 2, groupSize: 4, maxNewTokens: 5, ...settings });
  const log: string[] = [];
  const make = (reference: Awaited<ReturnType<typeof copyModel>> | null = null) =>
    new RlTask({
      ...{ objective, problems, tokenizer, batchSize: options.batchSize ?? 8, padTokenId: 0, seed: options.seed ?? 1, reference },
      onLog: (message) => log.push(message),
    });
  return { model, trainee, objective, make, log };
}

/** Loss of a step and the largest absolute gradient of all parameters. */
async function learn(task: RlTask, trainee: WeightsTrainee, step = 0) {
  let loss = 0;
  let gradients: Float32Array[] = [];
  const micro = await task.microBatches(step, trainee);
  for (const part of micro) {
    const { loss: value, gradients: own } = lossAndGradients(trainee, part, null);
    loss += (await value.data())[0]!;
    const values = await Promise.all(own.map((gradient) => gradient.data<'float32'>()));
    gradients = values.map((slopes, index) => slopes.map((slope, place) => slope + (gradients[index]?.[place] ?? 0)));
    tf.dispose([value, ...own]);
    part.dispose();
  }
  const metrics = await task.metrics();
  const largest = Math.max(...gradients.map((values) => values.reduce((most, slope) => Math.max(most, Math.abs(slope)), 0)));
  return { loss, gradients, largest, metrics, microBatches: micro.length };
}

describe.each(testBackends)('RlTask on %s', (backend) => {
  it('has loss 0 and a gradient at the first step on policy, and leaves no tensor behind', async () => {
    await selectBackend(backend);
    const { trainee, make } = setUp({ promptsPerStep: 1, maxNewTokens: 3 });
    const task = make();
    const warm = await learn(task, trainee);
    const before = tf.memory().numTensors;
    const { loss, largest, metrics } = await learn(task, trainee, 1);
    expect(tf.memory().numTensors).toBe(before);
    for (const value of [warm.loss, loss]) expect(Math.abs(value)).toBeLessThan(1e-6);
    expect(Math.max(largest, warm.largest)).toBeGreaterThan(1e-3);
    expect(metrics).toMatchObject({ 'ratio-mean': 1, 'ratio-min': 1, 'ratio-max': 1, 'clip-low': 0, 'clip-high': 0, truncated: 1 });
    expect(metrics['length-mean']).toBe(3);
    expect(Math.abs(metrics['sampler-divergence']!)).toBeLessThan(1e-5);
    await task.dispose();
    trainee.dispose();
  });
});

describe('RlTask', () => {
  it('has no gradient where all rewards are equal', async () => {
    await selectBackend(testBackend);
    const reward = { format: 0.1, correct: 0, truncated: null, byVerdict: null };
    const { trainee, make } = setUp({ reward });
    const task = make();
    const { loss, largest, metrics } = await learn(task, trainee);
    expect(Math.abs(loss)).toBe(0);
    expect(largest).toBe(0);
    expect(metrics).toMatchObject({ 'zero-std-groups': 1, 'reward-std': 0 });
    await task.dispose();
    trainee.dispose();
  });

  it('samples and learns the same for the same seed, step and weights, however the rollout is cut', async () => {
    await selectBackend(testBackend);
    const outcomes = [];
    for (const [batchSize, seed] of [
      [8, 1],
      [8, 1],
      [3, 1],
      [8, 2],
    ] as const) {
      const { trainee, make } = setUp({ lossType: 'dapo' }, { batchSize, seed });
      const task = make();
      outcomes.push(await learn(task, trainee, 1));
      await task.dispose();
      trainee.dispose();
    }
    const [first, again, cut, other] = outcomes as [(typeof outcomes)[0], (typeof outcomes)[0], (typeof outcomes)[0], (typeof outcomes)[0]];
    expect(again!.gradients).toEqual(first!.gradients);
    expect(cut!.microBatches).toBe(3);
    for (const [index, gradient] of cut!.gradients.entries())
      for (const [place, slope] of gradient.entries()) expect(Math.abs(slope - first!.gradients[index]![place]!)).toBeLessThan(1e-5);
    expect(cut!.metrics['reward-mean']).toBe(first!.metrics['reward-mean']);
    expect(other!.gradients).not.toEqual(first!.gradients);
  });

  it('learns several times from one rollout, then from the next one, and can be continued between rollouts only', async () => {
    await selectBackend(testBackend);
    const { model, trainee, make } = setUp({ updatesPerRollout: 2, clipLow: 0.01, clipHigh: 0.01 });
    const task = make();
    const first = await learn(task, trainee, 0);
    expect(first.metrics['ratio-mean']).toBeCloseTo(1, 6);
    // A step that moves the policy beyond the clip.
    for (const [index, { variable }] of trainee.parameters.entries())
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(tf.tensor(first.gradients[index]!, variable.shape), 0.05))));
    const second = await learn(task, trainee, 1);
    expect(second.metrics['reward-mean']).toBe(first.metrics['reward-mean']);
    expect(second.metrics['ratio-max']! - second.metrics['ratio-min']!).toBeGreaterThan(0.02);
    expect(second.metrics['clip-low']! + second.metrics['clip-high']!).toBeGreaterThan(0);
    expect([0, 1, 2, 3].map((step) => task.canResumeAt(step))).toEqual([true, false, true, false]);
    await task.dispose();
    expect(model.parameters.size).toBeGreaterThan(0);
    trainee.dispose();
  });

  it('weighs by π_old/μ where the sampler is a rounded copy, and by about 1 where it is the policy itself', async () => {
    await selectBackend(testBackend);
    const importance = { kind: 'token-truncate', cap: 2 } as const;
    const rolloutScheme = { bits: 2, symmetric: false, strategy: 'channel', groupSize: null } as const;
    for (const scheme of [null, rolloutScheme]) {
      const { trainee, make } = setUp({ importance, rolloutScheme: scheme });
      const task = make();
      const { metrics } = await learn(task, trainee);
      const distance = Math.abs(metrics['sampler-divergence']!);
      if (scheme) expect(distance).toBeGreaterThan(1e-3);
      else expect(distance).toBeLessThan(1e-5);
      if (!scheme) expect(metrics['importance-mean']).toBeCloseTo(1, 4);
      else expect(Math.abs(metrics['importance-mean']! - 1)).toBeGreaterThan(1e-3);
      await task.dispose();
      trainee.dispose();
    }
  });

  it('holds on to the policy at the start: no divergence at first, one that pulls back later', async () => {
    await selectBackend(testBackend);
    const { model, trainee, make } = setUp({ beta: 0.5, reward: { format: 0, correct: 0, truncated: null, byVerdict: null } });
    const task = make(await copyModel(model));
    const start = await learn(task, trainee, 0);
    expect(start.metrics.kl).toBeLessThan(1e-10);
    expect(start.largest).toBeLessThan(1e-5);
    for (const { variable } of trainee.parameters) tf.tidy(() => variable.assign(tf.mul(variable, 1.1)));
    const moved = await learn(task, trainee, 1);
    expect(moved.metrics.kl).toBeGreaterThan(1e-4);
    expect(moved.loss).toBeCloseTo(0.5 * moved.metrics.kl!, 5);
    expect(moved.largest).toBeGreaterThan(1e-3);
    await task.dispose();
    trainee.dispose();
  });

  it('learns and records the same whether groups without a difference are only looked at or differentiated too', async () => {
    await selectBackend(testBackend);
    // A held-on-to policy of next to no weight makes every completion count for the gradient. Lengths, and so weights, differ.
    const outcomes = [];
    for (const beta of [0, 1e-12]) {
      const { model, trainee, make } = setUp({ groupSize: 2, promptsPerStep: 6, maxNewTokens: 8, beta }, { batchSize: 12, eos: [5, 6] });
      const task = make(beta > 0 ? await copyModel(model) : null);
      const rows = (await task.microBatches(0, trainee)).map((part) => {
        const count = part.inputs.size;
        part.dispose();
        return count;
      });
      outcomes.push({ rows: rows[0]!, ...(await learn(task, trainee, 0)) });
      await task.dispose();
      trainee.dispose();
    }
    const [some, all] = outcomes as [(typeof outcomes)[0], (typeof outcomes)[0]];
    expect(some!.metrics['zero-std-groups']).toBeGreaterThan(0);
    expect(some!.metrics['zero-std-groups']).toBeLessThan(1);
    expect(some!.rows).toBeLessThan(all!.rows);
    expect(some!.largest).toBeGreaterThan(1e-3);
    for (const [index, gradient] of some!.gradients.entries())
      for (const [place, slope] of gradient.entries()) expect(Math.abs(slope - all!.gradients[index]![place]!)).toBeLessThan(1e-6);
    for (const name of ['entropy', 'sampler-divergence', 'ratio-mean', 'reward-mean'])
      expect(some!.metrics[name], name).toBeCloseTo(all!.metrics[name]!, 6);
  });

  it('leaves cut completions out when told to, and says when all of a step were', async () => {
    await selectBackend(testBackend);
    const { trainee, make, log } = setUp({ maskTruncated: true });
    const task = make();
    for (const step of [0, 1]) {
      const { loss, largest } = await learn(task, trainee, step);
      expect([Math.abs(loss), largest]).toEqual([0, 0]);
    }
    expect(log).toHaveLength(1);
    expect(log[0]).toContain('cut at the token limit');
    await task.dispose();
    trainee.dispose();
  });

  it('says once that nothing is learnt after 20 steps without any difference in reward', async () => {
    await selectBackend(testBackend);
    const reward = { format: 0.1, correct: 0, truncated: null, byVerdict: null };
    const { trainee, make, log } = setUp({ reward, promptsPerStep: 1, groupSize: 2, maxNewTokens: 2 });
    const task = make();
    for (let step = 0; step < 22; step++) {
      for (const micro of await task.microBatches(step, trainee)) micro.dispose();
      expect(log.filter((message) => message.includes('same reward'))).toHaveLength(step < 19 ? 0 : 1);
    }
    await task.dispose();
    trainee.dispose();
  });

  it('counts completions to the first end token, which belongs to them', async () => {
    await selectBackend(testBackend);
    const { trainee, make } = setUp({ maxNewTokens: 8, lossType: 'dr-grpo' }, { eos: [5, 6] });
    const task = make();
    const { metrics } = await learn(task, trainee);
    expect(metrics.truncated).toBeLessThan(1);
    expect(metrics['length-mean']).toBeLessThan(8);
    expect(Math.abs(metrics['sampler-divergence']!)).toBeLessThan(1e-5);
    await task.dispose();
    trainee.dispose();
  });
});
