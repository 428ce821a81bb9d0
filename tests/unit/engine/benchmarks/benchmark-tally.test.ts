import { describe, expect, it } from 'vitest';
import { BenchmarkTally } from '../../../../src-main/engine/benchmarks/benchmark-tally.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { accuracyInterval } from '../../../../src-main/engine/statistics/index.ts';

describe('BenchmarkTally', () => {
  it('counts a problem when all its completions and all problems before it have ended', () => {
    const tally = new BenchmarkTally('sums', ['c', 'a', 'b'], 2);
    expect(tally.progress()).toEqual({ benchmark: 'sums', done: 0, total: 6, problems: 0, of: 3, accuracy: null, meanTokens: null });
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
      const tally = new BenchmarkTally('sums', ids, 2);
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
      const tally = new BenchmarkTally(
        'sums',
        problems.map(({ id }) => id),
        1,
      );
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

/** When each of these tasks ends with so many running at a time, each beginning as a place gets free. */
function schedule(lengths: readonly number[], places: number): number[] {
  const free = new Array<number>(places).fill(0);
  return lengths.map((length) => {
    const place = free.indexOf(Math.min(...free));
    free[place]! += length;
    return free[place]!;
  });
}
