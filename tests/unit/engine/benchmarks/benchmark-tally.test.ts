import { describe, expect, it } from 'vitest';
import { BenchmarkTally } from '../../../../src-main/engine/benchmarks/benchmark-tally.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { accuracyInterval, marginOf } from '../../../../src-main/engine/statistics/index.ts';

describe('BenchmarkTally', () => {
  it('counts a problem when all its completions and all problems before it have ended', () => {
    const tally = new BenchmarkTally({ name: 'sums', problemIds: ['c', 'a', 'b'], seeds: 2 });
    expect(tally.progress()).toEqual({
      ...{ benchmark: 'sums', done: 0, total: 6, problems: 0, of: 3, accuracy: null, meanTokens: null, stopped: false },
    });
    tally.record('a', true, 10);
    tally.record('a', true, 30);
    tally.record('c', false, 20);
    expect(tally.progress()).toMatchObject({ done: 3, problems: 0, accuracy: null, meanTokens: 20 });
    tally.record('c', true, 20);
    expect(tally.progress()).toMatchObject({ done: 4, problems: 2 });
    expect(tally.progress().accuracy).toEqual(
      accuracyInterval([
        { correct: 1, samples: 2 },
        { correct: 2, samples: 2 },
      ]),
    );
    tally.record('b', false, 0);
    tally.record('b', false, 0);
    expect(tally.progress()).toMatchObject({ done: 6, problems: 3, accuracy: { value: 0.5 } });
  });

  it('says the same over k problems whatever ends first, with an interval that shrinks', () => {
    const random = new RandomStream(3, 'tally');
    const ids = Array.from({ length: 200 }, (_, index) => String(index));
    const outcomes = ids.flatMap((id) => [0, 1].map(() => ({ id, correct: random.uniform() < 0.6 })));
    const curve = (order: typeof outcomes) => {
      const tally = new BenchmarkTally({ name: 'sums', problemIds: ids, seeds: 2 });
      const points = new Map<number, { value: number; width: number }>();
      for (const { id, correct } of order) {
        tally.record(id, correct, 1);
        const { problems, accuracy } = tally.progress();
        if (accuracy) points.set(problems, { value: accuracy.value, width: accuracy.high - accuracy.low });
      }
      return points;
    };
    const inOrder = curve(outcomes);
    const shuffled = curve(random.shuffle(outcomes));
    expect(inOrder.size).toBe(200);
    for (const [problems, point] of shuffled) expect(inOrder.get(problems)).toEqual(point);
    expect(inOrder.get(200)!.width).toBeLessThan(0.5 * inOrder.get(25)!.width);
  });

  it('is not drawn to short completions, as the share of what has ended is', () => {
    // Right answers are short: half of the problems take 1 step and are right, half take 10 and are wrong; four run at a time.
    const random = new RandomStream(4, 'short first');
    let ended = 0;
    let prefix = 0;
    const rounds = 400;
    for (let round = 0; round < rounds; round++) {
      const problems = Array.from({ length: 60 }, (_, index) => ({ id: String(index), correct: random.uniform() < 0.5 }));
      const ends = schedule(
        problems.map(({ correct }) => (correct ? 1 : 10)),
        4,
      );
      const tally = new BenchmarkTally({ name: 'sums', problemIds: problems.map(({ id }) => id), seeds: 1 });
      const byEnd = problems.map((problem, index) => ({ ...problem, at: ends[index]! })).sort((a, b) => a.at - b.at);
      // What is seen when the first twenty of the order are complete.
      let right = 0;
      let seen = 0;
      for (const { id, correct } of byEnd) {
        tally.record(id, correct, 1);
        seen++;
        if (correct) right++;
        if (tally.progress().problems < 20) continue;
        const complete = problems.slice(0, 20);
        expect(tally.progress().problems).toBeGreaterThanOrEqual(20);
        prefix += complete.filter((problem) => problem.correct).length / 20 / rounds;
        ended += right / seen / rounds;
        break;
      }
    }
    expect(Math.abs(prefix - 0.5)).toBeLessThan(0.02);
    expect(Math.abs(ended - 0.5)).toBeLessThan(0.1);
  });
});

describe('BenchmarkTally with a wanted precision', () => {
  const ids = Array.from({ length: 60 }, (_, index) => `p${index}`);
  const precision = { points: 12, lookEvery: 10, leastProblems: 20 };
  const random = new RandomStream(5, 'precision');
  const outcomes = ids.flatMap((id) => [1, 2].map(() => ({ id, correct: random.uniform() < 0.8 })));
  const scores = (count: number) =>
    ids.slice(0, count).map((id) => {
      const own = outcomes.filter((outcome) => outcome.id === id);
      return { correct: own.filter(({ correct }) => correct).length, samples: own.length };
    });
  const margin = (count: number) => marginOf(accuracyInterval(scores(count)));
  const run = (order: typeof outcomes, change: Partial<typeof precision> = {}) => {
    const tally = new BenchmarkTally({ name: 'sums', problemIds: ids, seeds: 2, precision: { ...precision, ...change } });
    const made: string[] = [];
    for (const { id, correct } of order) {
      if (!tally.counts(id)) continue;
      tally.record(id, correct, 5);
      made.push(id);
    }
    return { tally, made };
  };

  it('stops at the first look whose interval is narrow enough, whatever ended first', () => {
    const looks = [20, 30, 40, 50];
    const at = looks.find((count) => margin(count) <= 0.12)!;
    expect(at).toBeGreaterThan(20);
    for (let attempt = 0; attempt < 20; attempt++) {
      const { tally, made } = run(attempt === 0 ? outcomes : random.shuffle(outcomes));
      expect(tally.stop).toEqual({ benchmark: 'sums', problems: at, of: 60, margin: margin(at) });
      expect(tally.progress()).toMatchObject({ done: 2 * at, total: 2 * at, problems: at, of: 60, stopped: true, meanTokens: 5 });
      expect(tally.progress().accuracy).toEqual(accuracyInterval(scores(at)));
      const beyond = new Set(made.filter((id) => ids.indexOf(id) >= at));
      expect(tally.surplus().sort()).toEqual([...beyond].sort());
    }
  });

  it('looks at no other numbers of problems, and not at the last', () => {
    expect(run(outcomes, { points: 50 }).tally.stop!.problems).toBe(20);
    expect(run(outcomes, { points: 50, leastProblems: 33 }).tally.stop!.problems).toBe(33);
    expect(run(outcomes, { points: 50, leastProblems: 60 }).tally.stop).toBeNull();
    expect(run(outcomes, { points: 0.1 }).tally.progress()).toMatchObject({ done: 120, total: 120, stopped: false });
  });
});

/** When each of these tasks ends with so many running at a time, each beginning as a place gets free. */
function schedule(lengths: readonly number[], places: number): number[] {
  const free = new Array<number>(places).fill(0);
  return lengths.map((length) => {
    const place = free.indexOf(Math.min(...free));
    free[place]! += length;
    return free[place]!;
  });
}
