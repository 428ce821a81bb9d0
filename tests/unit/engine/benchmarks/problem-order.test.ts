import { describe, expect, it } from 'vitest';
import { generationOrder, type PlacedProblem, seededOrder } from '../../../../src-main/engine/benchmarks/problem-order.ts';

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
    const order = generationOrder(problems, 5);
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
