/**
 * Simulated studies with known truth: how often the 95 % intervals cover it, and how often a difference is claimed where there
 * is none. Problems differ in difficulty, so answers of different seeds to one problem are alike.
 */
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import {
  accuracyInterval,
  averageDrop,
  averageIntervals,
  type ProblemPair,
  type ProblemScore,
  pairedDifference,
} from '../../../../src-main/engine/statistics/index.ts';

const studies = 1500;

/** Shares of problems always solved and never solved; the rest are solved with a probability uniform in [0, 1]. */
interface Difficulty {
  always: number;
  never: number;
}

const truth = ({ always, never }: Difficulty) => always + (1 - always - never) / 2;

function drawProbability(random: RandomStream, { always, never }: Difficulty): number {
  const draw = random.uniform();
  if (draw < always) return 1;
  return draw < always + never ? 0 : random.uniform();
}

function scores(random: RandomStream, difficulty: Difficulty, problems: number, seeds: number): ProblemScore[] {
  return Array.from({ length: problems }, () => {
    const probability = drawProbability(random, difficulty);
    let correct = 0;
    for (let seed = 0; seed < seeds; seed++) if (random.uniform() < probability) correct += 1;
    return { correct, samples: seeds };
  });
}

/** The second model solves each problem with `factor` times the first one's probability. */
function pairs(random: RandomStream, difficulty: Difficulty, factor: number, problems: number, seeds: number): ProblemPair[] {
  return Array.from({ length: problems }, () => {
    const probability = drawProbability(random, difficulty);
    const pair = { pairs: seeds, gained: 0, lost: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const before = random.uniform() < probability;
      const after = random.uniform() < probability * factor;
      if (after && !before) pair.gained += 1;
      if (before && !after) pair.lost += 1;
    }
    return pair;
  });
}

const share = (count: (random: RandomStream) => boolean, name: string) => {
  const random = new RandomStream(7, 'coverage', name);
  let hits = 0;
  for (let study = 0; study < studies; study++) if (count(random)) hits += 1;
  return hits / studies;
};
const covers = (interval: { low: number; high: number }, value: number) => interval.low <= value && value <= interval.high;

describe('coverage of the 95 % intervals in simulated studies', () => {
  it.each([
    ['middling', { always: 0.3, never: 0.2 }, 60],
    ['easy', { always: 0.9, never: 0.02 }, 100],
    ['hard', { always: 0, never: 0.9 }, 100],
    ['few problems', { always: 0.2, never: 0.4 }, 20],
  ] as const)('accuracy, %s', (name, difficulty, problems) => {
    const covered = share((random) => covers(accuracyInterval(scores(random, difficulty, problems, 3)), truth(difficulty)), name);
    expect(covered).toBeGreaterThan(0.935);
    expect(covered).toBeLessThan(0.985);
  });

  it('an interval that ignored the clustering would cover far less', () => {
    const difficulty = { always: 0.4, never: 0.4 };
    const unclustered = (problems: ProblemScore[]) =>
      accuracyInterval(
        problems.flatMap(({ correct, samples }) =>
          Array.from({ length: samples }, (_, index) => ({ correct: index < correct ? 1 : 0, samples: 1 })),
        ),
      );
    const covered = share((random) => covers(unclustered(scores(random, difficulty, 60, 3)), truth(difficulty)), 'unclustered');
    expect(covered).toBeLessThan(0.85);
  });

  it('average over benchmarks', () => {
    const difficulties = [0.1, 0.3, 0.5, 0.7, 0.95].map((always) => ({ always, never: 0.03 }));
    const mean = difficulties.reduce((sum, difficulty) => sum + truth(difficulty) / difficulties.length, 0);
    const average = (random: RandomStream) =>
      averageIntervals(difficulties.map((difficulty) => accuracyInterval(scores(random, difficulty, 50, 3))));
    const covered = share((random) => covers(average(random), mean), 'average');
    expect(covered).toBeGreaterThan(0.935);
    expect(covered).toBeLessThan(0.985);
  });

  it('paired difference and paired drop of averages', () => {
    const difficulty = { always: 0.3, never: 0.2 };
    const loss = truth(difficulty) * -0.15;
    const single = share((random) => covers(pairedDifference(pairs(random, difficulty, 0.85, 60, 3)), loss), 'paired');
    expect(single).toBeGreaterThan(0.93);
    expect(single).toBeLessThan(0.985);
    const drop = (random: RandomStream) => averageDrop([1, 2, 3].map(() => pairedDifference(pairs(random, difficulty, 0.85, 40, 3))));
    const averaged = share((random) => covers(drop(random), -loss), 'drop');
    expect(averaged).toBeGreaterThan(0.93);
    expect(averaged).toBeLessThan(0.985);
  });

  it('claims a difference between equal models in at most one study in twenty, with a margin', () => {
    for (const seeds of [1, 3]) {
      const claimed = share((random) => {
        return pairedDifference(pairs(random, { always: 0.3, never: 0.2 }, 1, 60, seeds)).verdict !== 'not distinguishable';
      }, `null ${seeds}`);
      expect(claimed).toBeLessThan(0.065);
      expect(claimed).toBeGreaterThan(0.015);
    }
  });
});
