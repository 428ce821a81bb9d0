/**
 * Simulated benchmarks with known accuracy, each stopped at the first look at which its interval is narrow enough: how often the interval
 * at the stop covers the truth, and by how much the accuracy there is off.
 */
import { describe, expect, it } from 'vitest';
import { BenchmarkTally } from '../../../../src-main/engine/benchmarks/benchmark-tally.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { precisionSchema } from '../../../../src-preload/contract/protocol.ts';

const studies = 300;
const problems = 1000;
const problemIds = Array.from({ length: problems }, (_, index) => String(index));

interface Truth {
  seeds: number;
  points: number;
  accuracy: number;
  /** Draws a problem's probability of a right answer. */
  draw(random: RandomStream): number;
}

/** One in five problems never solved, three in ten always, the rest evenly between. */
const mixed = (random: RandomStream) => {
  const draw = random.uniform();
  return draw < 0.3 ? 1 : draw < 0.5 ? 0 : random.uniform();
};

function simulate(name: string, { seeds, points, accuracy, draw }: Truth) {
  const random = new RandomStream(11, 'precision', name);
  const outcome = { covered: 0, stopped: 0, problems: 0, error: 0 };
  for (let study = 0; study < studies; study++) {
    const tally = new BenchmarkTally({ name, problemIds, seeds, precision: precisionSchema.parse({ points }) });
    for (let index = 0; index < problems && !tally.stop; index++) {
      const probability = draw(random);
      for (let seed = 0; seed < seeds; seed++) tally.record(String(index), random.uniform() < probability, 1);
    }
    const { accuracy: interval, problems: count } = tally.progress();
    if (interval!.low <= accuracy && accuracy <= interval!.high) outcome.covered += 1 / studies;
    if (tally.stop) outcome.stopped += 1 / studies;
    outcome.problems += count / studies;
    outcome.error += (interval!.value - accuracy) / studies;
  }
  return outcome;
}

describe('stopping at a wanted precision', () => {
  it.each<[string, Truth]>([
    ['one seed, ninety per cent', { seeds: 1, points: 3, accuracy: 0.9, draw: () => 0.9 }],
    ['three seeds, mixed problems', { seeds: 3, points: 4, accuracy: 0.55, draw: mixed }],
    ['three seeds, an easy benchmark', { seeds: 3, points: 2, accuracy: 0.97, draw: () => 0.97 }],
  ])('keeps the coverage of the interval, %s', (name, truth) => {
    const { covered, stopped, problems: used, error } = simulate(name, truth);
    expect(stopped).toBeGreaterThan(0.95);
    expect(used).toBeLessThan(0.7 * problems);
    expect(covered).toBeGreaterThan(0.925);
    expect(Math.abs(error)).toBeLessThan(0.005);
  });
});
