import { describe, expect, it } from 'vitest';
import { contrast, type Group } from '../../../src-main/findings/contrast.ts';
import { curveChange, curveDifference } from '../../../src-main/findings/curves.ts';

/** [benchmark][seed][problem] → a group. */
function group(benchmarks: number[][][]): Group {
  const seeds = benchmarks[0]!.length;
  return Array.from(
    { length: seeds },
    (_, seed) =>
      new Map(
        benchmarks.map((rows, index) => [`benchmark-${index}`, new Map(rows[seed]!.map((value, problem) => [`p${problem}`, value]))]),
      ),
  );
}

const zero = (like: number[][][]) => group(like.map((rows) => [rows[0]!.map(() => 0)]));

describe('contrast', () => {
  it('is a paired t interval with one benchmark and one seed (figures of SciPy)', () => {
    const values = [[[0, 1, 0.5, -0.5, 1, 0, 0.25, 0.75]]];
    const { value, low, high } = contrast([
      { group: group(values), weight: 1 },
      { group: zero(values), weight: -1 },
    ]);
    expect(value).toBeCloseTo(0.375, 12);
    expect(low).toBeCloseTo(-0.07187197955905245, 9);
    expect(high).toBeCloseTo(0.8218719795590524, 9);
  });

  it('adds the variance between seeds, with the degrees of freedom of Welch and Satterthwaite (figures of SciPy)', () => {
    const values = [
      [
        [0.5, 1, 0, 0.5],
        [1, 1, 0, 0],
      ],
      [
        [0, 0.5, 0.5, 1, 1],
        [0.5, 0.5, 0, 1, 0.5],
      ],
    ];
    const { value, low, high } = contrast([
      { group: group(values), weight: 1 },
      { group: zero(values), weight: -1 },
    ]);
    expect(value).toBeCloseTo(0.525, 12);
    expect(low).toBeCloseTo(0.17105847981651973, 9);
    expect(high).toBeCloseTo(0.8789415201834803, 9);
  });

  it('lets what all groups share cancel: a variant minus itself is zero with certainty', () => {
    const own = group([
      [
        [0, 1, 1],
        [1, 1, 0],
      ],
    ]);
    expect(
      contrast([
        { group: own, weight: 1 },
        { group: own, weight: -1 },
      ]),
    ).toEqual({ value: 0, low: 0, high: 0 });
  });

  it('refuses groups of different seeds or problems', () => {
    const three = group([[[1], [1], [1]]]);
    const two = group([[[1], [1]]]);
    const terms = (other: Group) => [
      { group: three, weight: 1 },
      { group: other, weight: -1 },
    ];
    expect(() => contrast(terms(two))).toThrow(/2 runs beside 3/);
    const other: Group = [new Map([['benchmark-0', new Map([['p9', 1]])]])];
    expect(() => contrast(terms(other))).toThrow(/problem p0 of benchmark-0/);
  });
});

describe('curves', () => {
  const curve = (values: number[]) => new Map(values.map((value, index) => [index + 1, value]));

  it('are compared at the steps both have, in the range asked for', () => {
    const a = [curve([1, 1, 1, 1, 5, 5, 5, 5])];
    const b = [curve([0, 0, 0, 0, 0, 0, 0, 0])];
    expect(curveDifference(a, b).value).toBe(3);
    expect(curveDifference(a, b, [0, 0.5])).toEqual({ value: 1, low: 1, high: 1 });
  });

  it('have wider intervals when seeds disagree', () => {
    const flat = [curve(Array(20).fill(0)), curve(Array(20).fill(0))];
    const agreeing = curveDifference([curve(Array(20).fill(1)), curve(Array(20).fill(1))], flat);
    const disagreeing = curveDifference([curve(Array(20).fill(0.5)), curve(Array(20).fill(1.5))], flat);
    expect(agreeing).toEqual({ value: 1, low: 1, high: 1 });
    expect(disagreeing.value).toBe(1);
    expect(disagreeing.low).toBeLessThan(-4);
  });

  it('change by the mean of their last tenth minus that of their first', () => {
    const falling = curve(Array.from({ length: 20 }, (_, index) => 20 - index));
    expect(curveChange([falling]).value).toBe(-18);
  });
});
