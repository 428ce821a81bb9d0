import { expect, test } from 'vitest';
import { BatchOrder, learningRateAt, type TrainingData } from '../../../../src-main/engine/training/index.ts';

/** Example n has n % 7 + 2 tokens, all equal to n. */
const data: TrainingData = { count: 50, example: (index) => ({ ids: new Array((index % 7) + 2).fill(index), lossStart: 1 }) };
const settings = { seed: 1, batchSize: 4, batchesPerWindow: 3 };
const idsOf = (order: BatchOrder, index: number) => order.batch(index).map((example) => example.ids[0]!);

test('an epoch visits every example at most once', () => {
  const order = new BatchOrder(data, settings);
  expect(order.batchesPerEpoch).toBe(12);
  const seen = Array.from({ length: 12 }, (_, index) => idsOf(order, index)).flat();
  expect(new Set(seen).size).toBe(48);
});

test('batch n is the same whichever batches were taken before', () => {
  const straight = new BatchOrder(data, settings);
  const inOrder = Array.from({ length: 30 }, (_, index) => idsOf(straight, index));
  const jumping = new BatchOrder(data, settings);
  for (const index of [29, 3, 14, 0, 12]) expect(idsOf(jumping, index)).toEqual(inOrder[index]);
  expect(inOrder.slice(0, 12)).not.toEqual(inOrder.slice(12, 24));
});

test('another seed gives another order', () => {
  const other = new BatchOrder(data, { ...settings, seed: 2 });
  expect(idsOf(other, 0)).not.toEqual(idsOf(new BatchOrder(data, settings), 0));
});

test('a window groups sequences of similar length', () => {
  const spread = (batchesPerWindow: number) => {
    const order = new BatchOrder(data, { ...settings, batchesPerWindow });
    const lengths = Array.from({ length: 12 }, (_, index) => order.batch(index).map((example) => example.ids.length));
    return lengths.reduce((sum, batch) => sum + Math.max(...batch) - Math.min(...batch), 0);
  };
  expect(spread(12)).toBeLessThan(spread(1) / 2);
});

test('schedules warm up to the peak and end at the floor', () => {
  const schedule = { peak: 2, warmupSteps: 4, floorShare: 0.1 };
  for (const kind of ['constant', 'linear', 'cosine'] as const) {
    expect(learningRateAt({ ...schedule, kind }, 0, 104)).toBe(0.5);
    expect(learningRateAt({ ...schedule, kind }, 4, 104)).toBe(2);
  }
  expect(learningRateAt({ ...schedule, kind: 'constant' }, 104, 104)).toBe(2);
  expect(learningRateAt({ ...schedule, kind: 'linear' }, 54, 104)).toBeCloseTo(1.1, 12);
  expect(learningRateAt({ ...schedule, kind: 'cosine' }, 54, 104)).toBeCloseTo(1.1, 12);
  expect(learningRateAt({ ...schedule, kind: 'cosine' }, 104, 104)).toBeCloseTo(0.2, 12);
});
