import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import {
  accuracyInterval,
  averageDrop,
  averageIntervals,
  clusteredVariance,
  detectableDifference,
  disagreement,
  independentDisagreement,
  mcNemarTest,
  type ProblemPair,
  pairedDifference,
  passAtK,
  powerOf,
  requiredGrowth,
  requiredProblems,
  studentCdf,
  studentQuantile95,
} from '../../../../src-main/engine/statistics/index.ts';

const repeat = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);
const right = { correct: 1, samples: 1 };
const wrong = { correct: 0, samples: 1 };
const pair = (gained: number, lost: number, pairs = 1): ProblemPair => ({ pairs, gained, lost });

describe("Student's t", () => {
  it.each([
    [1, 12.7062],
    [2, 4.30265],
    [3, 3.18245],
    [9, 2.26216],
    [30, 2.04227],
    [99, 1.98422],
    [100_000, 1.95999],
  ])('has the tabulated 95 %% quantile for %i degrees of freedom', (degrees, quantile) => {
    expect(studentQuantile95(degrees)).toBeCloseTo(quantile, 4);
  });

  it('has a symmetric cumulative probability', () => {
    expect(studentCdf(0, 7)).toBeCloseTo(0.5, 12);
    expect(studentCdf(1, 1)).toBeCloseTo(0.75, 12);
    expect(studentCdf(1.3, 5) + studentCdf(-1.3, 5)).toBeCloseTo(1, 12);
    expect(() => studentCdf(1, 0)).toThrow(/degrees of freedom/);
  });
});

describe('accuracyInterval', () => {
  it('matches a computation by hand with clustered seeds', () => {
    const problems = [2, 2, 1, 0].map((correct) => ({ correct, samples: 2 }));
    expect(clusteredVariance(problems)).toBeCloseTo(0.6875 / 12, 12);
    const { value, low, high } = accuracyInterval(problems);
    // Independent variance .625·.375/8, design effect 1.9556 on 2 problems with a wrong answer, averaged with 2 of effect 2:
    // 1.9778, so 4.0449 effective samples; Student's t for 3 degrees of freedom 3.18245.
    expect(value).toBe(0.625);
    expect(low).toBeCloseTo(0.11679, 4);
    expect(high).toBeCloseTo(0.95456, 4);
  });

  it('is the Wilson interval for one seed', () => {
    const { value, low, high } = accuracyInterval([...repeat(50, right), ...repeat(50, wrong)]);
    expect(value).toBe(0.5);
    expect(low).toBeCloseTo(0.40268, 4);
    expect(high).toBeCloseTo(0.59732, 4);
  });

  it('treats seeds that always agree as one, and independent ones as more samples', () => {
    const single = accuracyInterval([...repeat(60, right), ...repeat(40, wrong)]);
    const agreeing = accuracyInterval([...repeat(60, { correct: 3, samples: 3 }), ...repeat(40, { correct: 0, samples: 3 })]);
    expect(agreeing).toEqual(single);
    const spread = accuracyInterval(Array.from({ length: 100 }, (_, index) => ({ correct: index % 10 < 8 ? 2 : 1, samples: 3 })));
    expect(spread.value).toBeCloseTo(0.6, 12);
    expect(spread.high - spread.low).toBeLessThan(single.high - single.low);
  });

  it('widens smoothly as the last wrong answer goes', () => {
    const oneWrong = accuracyInterval([...repeat(99, { correct: 3, samples: 3 }), { correct: 2, samples: 3 }]);
    const allRight = accuracyInterval(repeat(100, { correct: 3, samples: 3 }));
    expect(oneWrong.low).toBeLessThan(allRight.low + 0.01);
    expect(oneWrong.low).toBeGreaterThan(allRight.low - 0.01);
  });

  it('keeps a width and stays in [0, 1] at both ends', () => {
    const all = accuracyInterval(repeat(100, { correct: 3, samples: 3 }));
    expect(all).toMatchObject({ value: 1, high: 1 });
    expect(all.low).toBeCloseTo(1 / (1 + 1.98422 ** 2 / 100), 5);
    const none = accuracyInterval(repeat(100, { correct: 0, samples: 3 }));
    expect(none.high).toBeCloseTo(1 - all.low, 12);
    expect(none).toMatchObject({ value: 0, low: 0 });
    const one = accuracyInterval([right]);
    expect(one.low).toBeLessThan(0.1);
  });

  it('accepts problems with different numbers of samples and refuses none', () => {
    expect(accuracyInterval([{ correct: 2, samples: 3 }, right]).value).toBe(0.75);
    expect(() => accuracyInterval([])).toThrow(/no samples/);
  });
});

describe('averageIntervals', () => {
  it('squares and adds the distances', () => {
    const average = averageIntervals([
      { value: 0.5, low: 0.4, high: 0.6 },
      { value: 0.7, low: 0.6, high: 0.9 },
    ]);
    expect(average.value).toBeCloseTo(0.6, 12);
    expect(average.low).toBeCloseTo(0.6 - Math.sqrt(0.02) / 2, 12);
    expect(average.high).toBeCloseTo(0.6 + Math.sqrt(0.05) / 2, 12);
    expect(() => averageIntervals([])).toThrow(/no benchmarks/);
  });
});

describe('pairedDifference', () => {
  it('matches a computation by hand', () => {
    const difference = pairedDifference([pair(1, 0), ...repeat(3, pair(0, 1)), ...repeat(6, pair(0, 0))]);
    expect(difference).toMatchObject({ value: -0.2, gained: 1, lost: 3, verdict: 'not distinguishable' });
    expect(difference.low).toBeCloseTo(-0.57391, 4);
    expect(difference.high).toBeCloseTo(0.24057, 4);
  });

  it('does not claim certainty when nothing differs', () => {
    const same = pairedDifference(repeat(100, pair(0, 0, 3)));
    expect(same).toMatchObject({ value: 0, verdict: 'not distinguishable', gained: 0, lost: 0 });
    expect(same.high).toBeCloseTo(1.98422 / 102, 5);
    expect(same.low).toBe(-same.high);
  });

  it('says worse and better, mirrored', () => {
    const worse = pairedDifference([...repeat(30, pair(0, 1)), ...repeat(70, pair(0, 0))]);
    const better = pairedDifference([...repeat(30, pair(1, 0)), ...repeat(70, pair(0, 0))]);
    expect(worse).toMatchObject({ verdict: 'worse', value: -0.3, lost: 30 });
    expect(better).toMatchObject({ verdict: 'better', value: 0.3, gained: 30 });
    expect(better.low).toBeCloseTo(-worse.high, 12);
    expect(pairedDifference(repeat(50, pair(0, 1))).low).toBe(-1);
    expect(() => pairedDifference([])).toThrow(/no pairs/);
  });

  it('averages drops with the sign of a loss', () => {
    const first = pairedDifference([...repeat(30, pair(0, 1)), ...repeat(70, pair(0, 0))]);
    const second = pairedDifference([...repeat(10, pair(0, 1)), ...repeat(90, pair(0, 0))]);
    const drop = averageDrop([first, second]);
    expect(drop.value).toBeCloseTo(0.2, 12);
    expect(drop).toMatchObject({ verdict: 'worse', gained: 0, lost: 40 });
    expect(drop.low).toBeGreaterThan(0);
    expect(drop.low).toBeLessThan(0.2);
    expect(averageDrop([pairedDifference(repeat(9, pair(0, 0)))])).toMatchObject({ value: 0, verdict: 'not distinguishable' });
  });
});

describe('mcNemarTest', () => {
  const split = (gained: number, lost: number) => [...repeat(gained, pair(1, 0)), ...repeat(lost, pair(0, 1)), pair(0, 0)];
  it.each([
    [0, 0, 1],
    [5, 5, 1],
    [1, 8, 0.0390625],
    [8, 1, 0.0390625],
    [0, 10, 2 / 1024],
  ])('%i gained and %i lost give p = %f', (gained, lost, p) => {
    expect(mcNemarTest(split(gained, lost)).pValue).toBeCloseTo(p, 10);
  });

  it('does not count seeds of one problem as independent', () => {
    expect(mcNemarTest(repeat(5, pair(0, 3, 3))).pValue).toBeCloseTo(2 / 32, 12);
    expect(mcNemarTest(repeat(15, pair(0, 1))).pValue).toBeCloseTo(2 / 2 ** 15, 12);
  });

  it('survives many pairs', () => {
    expect(mcNemarTest(split(4000, 5000)).pValue).toBeLessThan(1e-20);
    expect(mcNemarTest(split(4990, 5010)).pValue).toBeGreaterThan(0.8);
  });
});

describe('passAtK', () => {
  it('is the accuracy for k = 1 and widens for few problems', () => {
    const problems = [2, 2, 1, 0].map((correct) => ({ correct, samples: 2 }));
    expect(passAtK(problems, 1).value).toBe(0.625);
    expect(passAtK(problems, 2).value).toBe(0.75);
    const many = repeat(30, problems).flat();
    expect(passAtK(many, 2).high - passAtK(many, 2).low).toBeLessThan(passAtK(problems, 2).high - passAtK(problems, 2).low);
  });
});

describe('resolution', () => {
  const part = (problems: number, spread: number) => ({ problems, spread });

  it('of an average over alike benchmarks is that of all their problems together', () => {
    const apart = detectableDifference([part(100, 0.2), part(100, 0.2)])!;
    expect(apart).toBeCloseTo(detectableDifference([part(200, 0.2)])!, 9);
    expect(detectableDifference([part(100, 0.2), part(100, 0.02)])!).toBeLessThan(apart);
    expect(detectableDifference([part(100, 0.2)], { power: 0.95 })!).toBeGreaterThan(detectableDifference([part(100, 0.2)])!);
  });

  it('grows to the wanted difference with the problems it asks for', () => {
    const parts = [part(80, 0.15), part(200, 0.1)];
    const growth = requiredGrowth(parts, 0.03);
    const grown = parts.map(({ problems, spread }) => part(problems * growth, spread));
    expect(detectableDifference(grown)).toBeCloseTo(0.03, 9);
    expect(powerOf(grown, 0.03)).toBeCloseTo(0.8, 9);
  });

  it('keeps its promise in simulated studies', () => {
    const random = new RandomStream(11, 'resolution');
    const [spread, difference] = [0.2, 0.1];
    const problems = requiredProblems(difference, spread);
    let found = 0;
    for (let study = 0; study < 600; study++) {
      const pairs = Array.from({ length: problems }, () => {
        const draw = random.uniform();
        return draw < (spread + difference) / 2 ? pair(1, 0) : draw < spread ? pair(0, 1) : pair(0, 0);
      });
      if (pairedDifference(pairs).verdict === 'better') found += 1;
    }
    expect(found / 600).toBeGreaterThan(0.74);
    expect(found / 600).toBeLessThan(0.86);
  });
});

describe('disagreement', () => {
  it('shrinks with seeds that average out and never vanishes', () => {
    expect(disagreement(repeat(98, pair(0, 0)))).toBeCloseTo(0.01, 12);
    expect(disagreement([...repeat(10, pair(1, 0, 2)), ...repeat(88, pair(0, 0, 2))])).toBeCloseTo(0.035 - 0.05 ** 2, 12);
    expect(independentDisagreement(0.8, 0.7)).toBeCloseTo(0.38, 12);
    expect(detectableDifference([{ problems: 3, spread: 0.5 }])).toBeNull();
    expect(detectableDifference([])).toBeNull();
    expect(() => requiredProblems(0, 0.1)).toThrow(/cannot be planned/);
    expect(() => requiredProblems(0.1, 1.2)).toThrow(/nothing to plan by/);
  });
});
