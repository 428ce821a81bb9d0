import { describe, expect, it } from 'vitest';
import { generationOrder, type PlacedProblem, seededOrder } from '../../../../src-main/engine/benchmarks/problem-order.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';

interface Named extends PlacedProblem {
  name: string;
}

/** `of` problems whose lengths are theirs by `length`. */
const placed = (benchmark: string, of: number, length: (position: number) => number): Named[] =>
  Array.from({ length: of }, (_, position) => ({ name: `${benchmark}${position}`, position, of, expectedLength: length(position) }));

describe('seededOrder', () => {
  const problems = Array.from({ length: 200 }, (_, index) => index);

  it('depends on seed and benchmark alone and keeps every problem', () => {
    const order = seededOrder(problems, 42, 'sums');
    expect(order).toEqual(seededOrder([...problems], 42, 'sums'));
    expect([...order].sort((a, b) => a - b)).toEqual(problems);
    for (const other of [seededOrder(problems, 43, 'sums'), seededOrder(problems, 42, 'chains'), problems]) {
      expect(other.filter((item, place) => item === order[place]).length).toBeLessThan(10);
    }
  });
});

describe('generationOrder', () => {
  it('takes every problem once, the longest of a round first', () => {
    const problems = placed('a', 40, (position) => (position * 7) % 40);
    const order = generationOrder(problems, 5, 4);
    expect(new Set(order).size).toBe(40);
    // Four rounds of five, then the last four rounds as one.
    for (const [start, end] of [
      [0, 5],
      [5, 10],
      [10, 15],
      [15, 20],
      [20, 40],
    ] as const) {
      const round = order.slice(start, end);
      expect(round.map(({ position }) => position).sort((a, b) => a - b)).toEqual(
        Array.from({ length: end - start }, (_, index) => start + index),
      );
      const lengths = round.map(({ expectedLength }) => expectedLength);
      expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
    }
  });

  it('leaves fewer slots empty at the end where lengths are known', () => {
    // Lengths as reasoning models have them; what is expected is 40 % off in the mean.
    const random = new RandomStream(6, 'lengths');
    const lengths = new Map(Array.from({ length: 900 }, (_, index) => [`a${index}`, 2500 * Math.exp(0.9 * random.normal())]));
    const problems = placed('a', 900, () => 0).map((each) => ({
      ...each,
      expectedLength: lengths.get(each.name)! * Math.exp(0.4 * random.normal()),
    }));
    const steps = (order: readonly Named[]) => {
      const slots = new Array<number>(64).fill(0);
      for (const { name } of order) slots[slots.indexOf(Math.min(...slots))]! += lengths.get(name)!;
      return Math.max(...slots);
    };
    const ideal = [...lengths.values()].reduce((sum, length) => sum + length, 0) / 64;
    const unordered =
      steps(
        generationOrder(
          problems.map((each) => ({ ...each, expectedLength: 0 })),
          64,
        ),
      ) - ideal;
    expect(steps(generationOrder(problems, 64)) - ideal).toBeLessThan(0.5 * unordered);
  });

  it('lets benchmarks of different sizes advance together', () => {
    const order = generationOrder([...placed('a', 100, () => 1), ...placed('b', 25, () => 9)], 10);
    const first = order.slice(0, 50);
    expect(first.filter(({ name }) => name.startsWith('a'))).toHaveLength(40);
    expect(first.filter(({ name }) => name.startsWith('b'))).toHaveLength(10);
  });

  it('orders what is less than two rounds too', () => {
    expect(generationOrder([], 8)).toEqual([]);
    const few = generationOrder(
      placed('a', 3, (position) => position),
      8,
    );
    expect(few.map(({ name }) => name)).toEqual(['a0', 'a2', 'a1']);
  });
});
