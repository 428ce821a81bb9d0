/** Rewards, advantages, aggregation, importance weights and the order of problems: worked examples and invariants. */
import { describe, expect, it } from 'vitest';
import { groupAdvantages } from '../../../../src-main/engine/training/rl/advantages.ts';
import { tokenWeights } from '../../../../src-main/engine/training/rl/aggregation.ts';
import { importanceWeights } from '../../../../src-main/engine/training/rl/importance.ts';
import { ProblemOrder } from '../../../../src-main/engine/training/rl/problem-order.ts';
import { rewardOf } from '../../../../src-main/engine/training/rl/rewards.ts';
import { verify } from '../../../../src-main/engine/verifiers/index.ts';
import { type RlObjective, rlSchema } from '../../../../src-preload/contract/training.ts';

const objectiveOf = (settings: object): RlObjective => rlSchema.parse({ kind: 'rl', promptsPerStep: 2, maxNewTokens: 128, ...settings });

describe('advantages', () => {
  const rewards = [1.1, 0.1, 0.1, 0, 0, 0, 0, 0];

  it('are those of the worked example', () => {
    const { values: grpo } = groupAdvantages(rewards, 8, { advantage: 'group-mean', scaleRewards: 'group' });
    const { values: plain } = groupAdvantages(rewards, 8, { advantage: 'group-mean', scaleRewards: 'none' });
    const expected = [2.4568, -0.1638, -0.1638, -0.4258, -0.4258, -0.4258, -0.4258, -0.4258];
    for (const [index, value] of grpo.entries()) expect(value).toBeCloseTo(expected[index]!, 4);
    for (const [index, value] of plain.entries()) expect(value).toBeCloseTo([0.9375, -0.0625, -0.0625][index] ?? -0.1625, 12);
  });

  it('add up to 0 in every group, whatever they are scaled by', () => {
    const several = [...rewards, 0, 1.1, 1.1, 0.1, 0, 0, 0, 1.1];
    for (const advantage of ['group-mean', 'rloo'] as const) {
      for (const scaleRewards of ['group', 'batch', 'none'] as const) {
        const { values } = groupAdvantages(several, 8, { advantage, scaleRewards });
        for (const start of [0, 8]) expect(values.slice(start, start + 8).reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 10);
      }
    }
  });

  it('are 0 where all rewards of a group are equal, which is counted', () => {
    for (const scaleRewards of ['group', 'batch', 'none'] as const) {
      const { values, zeroDeviationShare } = groupAdvantages([0.1, 0.1, 0.1, 0.1, 1.1, 0, 0, 0], 4, {
        advantage: 'group-mean',
        scaleRewards,
      });
      expect(Array.from(values.slice(0, 4), Math.abs)).toEqual([0, 0, 0, 0]);
      expect(zeroDeviationShare).toBe(0.5);
    }
  });

  it('of RLOO leave a completion out of its own baseline', () => {
    const { values } = groupAdvantages([1, 0, 0, 0.5], 4, { advantage: 'rloo', scaleRewards: 'none' });
    expect(values[0]).toBeCloseTo(1 - 0.5 / 3, 12);
    expect(values[3]).toBeCloseTo(0.5 - 1 / 3, 12);
  });
});

describe('aggregation', () => {
  const two = [
    [
      { length: 10, counts: true },
      { length: 100, counts: true },
    ],
  ];

  it('weighs tokens of short completions more with grpo, all alike with dr-grpo and dapo', () => {
    const [grpo] = tokenWeights(two, objectiveOf({ lossType: 'grpo' }));
    expect(grpo).toEqual([1 / 10 / 2, 1 / 100 / 2]);
    const [drGrpo] = tokenWeights(two, objectiveOf({ lossType: 'dr-grpo' }));
    expect(drGrpo).toEqual([1 / 256, 1 / 256]);
    const [dapo] = tokenWeights(two, objectiveOf({ lossType: 'dapo' }));
    expect(dapo).toEqual([1 / 110, 1 / 110]);
  });

  it('does not depend on how a rollout is cut, but for bnpo', () => {
    const lengths = [3, 5, 8, 9].map((length) => ({ length, counts: length !== 8 }));
    for (const lossType of ['grpo', 'dapo', 'dr-grpo'] as const) {
      const whole = tokenWeights([lengths], objectiveOf({ lossType })).flat();
      const cut = tokenWeights([lengths.slice(0, 2), lengths.slice(2)], objectiveOf({ lossType })).flat();
      expect(cut).toEqual(whole);
      expect(whole[2]).toBe(0);
    }
    const bnpo = tokenWeights([lengths.slice(0, 2), lengths.slice(2)], objectiveOf({ lossType: 'bnpo' }));
    expect(bnpo).toEqual([
      [0.5 / 8, 0.5 / 8],
      [0, 0.5 / 9],
    ]);
  });

  it('gives a rollout whose completions all are left out no weight', () => {
    for (const lossType of ['grpo', 'bnpo', 'dapo', 'dr-grpo'] as const)
      expect(tokenWeights([[{ length: 4, counts: false }]], objectiveOf({ lossType }))).toEqual([[0]]);
  });
});

describe('importance weights', () => {
  const [old, sampled] = [
    [-1, -2, -0.5],
    [-1.5, -1, -0.5],
  ];

  it('are ratios cut at the cap, or their product unless it exceeds the cap', () => {
    const truncated = importanceWeights(old, sampled, { kind: 'token-truncate', cap: 1.2 });
    expect(Array.from(truncated)).toEqual([1.2, Math.exp(-1), 1]);
    const product = Math.exp(-0.5);
    expect(Array.from(importanceWeights(old, sampled, { kind: 'sequence-mask', cap: 1.2 }))).toEqual([product, product, product]);
    expect(Array.from(importanceWeights(sampled, old, { kind: 'sequence-mask', cap: 1.2 }))).toEqual([0, 0, 0]);
    expect(Array.from(importanceWeights(old, sampled, { kind: 'none', cap: 1.2 }))).toEqual([1, 1, 1]);
  });

  it('are 1 where the sampler is the policy', () => {
    for (const kind of ['token-truncate', 'sequence-mask'] as const)
      expect(Array.from(importanceWeights(old, old, { kind, cap: 2 }))).toEqual([1, 1, 1]);
  });
});

describe('rewards', () => {
  const judge = (completion: string, reward: object = {}, finishReason: 'stop' | 'length' = 'stop') => {
    const { verdict } = verify({ gold: '12', completion, finishReason });
    return rewardOf({ completion, finishReason, verdict }, objectiveOf({ reward }).reward);
  };

  it('are 0, 0.1 and 1.1', () => {
    expect(judge('so \\boxed{12}')).toBeCloseTo(1.1, 12);
    expect(judge('\\boxed{12} no, \\boxed{13}')).toBe(0.1);
    expect(judge('it is 12')).toBe(0);
    expect(judge('it is \\fbox{12}')).toBe(0);
    expect(judge('\\boxed 12')).toBe(0);
    expect(judge('I cannot tell')).toBe(0);
  });

  it('of cut completions are what is said of them', () => {
    expect(judge('\\boxed{12} and', {}, 'length')).toBeCloseTo(1.1, 12);
    expect(judge('\\boxed{12} and', { truncated: -0.5 }, 'length')).toBe(-0.5);
    expect(judge('\\boxed{12}', { truncated: -0.5 })).toBeCloseTo(1.1, 12);
  });

  it('by verdict overrule everything', () => {
    const byVerdict = { correct: 2, incorrect: -1, unparsed: -2, truncated: -3 };
    expect(judge('\\boxed{12}', { byVerdict, truncated: 7 })).toBe(2);
    expect(judge('\\boxed{1}', { byVerdict })).toBe(-1);
    expect(judge('no', { byVerdict })).toBe(-2);
    expect(judge('12 + ', { byVerdict }, 'length')).toBe(-3);
  });
});

describe('ProblemOrder', () => {
  it('takes every problem once per epoch, in a fresh order each, and any rollout without those before it', () => {
    const order = new ProblemOrder(10, 5, 4);
    const rollouts = Array.from({ length: 6 }, (_, rollout) => order.problems(rollout));
    for (const epoch of [0, 2, 4])
      expect([...rollouts[epoch]!, ...rollouts[epoch + 1]!].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(rollouts.slice(0, 2)).not.toEqual(rollouts.slice(2, 4));
    expect(new ProblemOrder(10, 5, 4).problems(5)).toEqual(rollouts[5]);
    expect(new ProblemOrder(10, 5, 5).problems(5)).not.toEqual(rollouts[5]);
  });

  it('leaves out the rest of an epoch, and refuses too few problems', () => {
    const order = new ProblemOrder(7, 3, 1);
    expect(new Set([...order.problems(0), ...order.problems(1)]).size).toBe(6);
    expect(order.problems(2)).toHaveLength(3);
    expect(() => new ProblemOrder(2, 3, 1)).toThrow('only 2');
  });
});
