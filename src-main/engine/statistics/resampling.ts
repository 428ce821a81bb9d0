/**
 * What the sum over problems drawn with replacement looks like: its exact distribution by repeated convolution where every problem has
 * the same number of pairs (the limit of infinitely many resamples), else a seeded sample of it. Problems that differ alike are drawn
 * together, as a multinomial count.
 */
import type { RandomStream } from '../data/random-stream.ts';
import { logGamma } from './student-t.ts';

/** Problems that add the same to the statistic. */
export interface ProblemKind {
  problems: number;
  pairs: number;
  /** Gained minus lost. */
  difference: number;
}

/** Values in rising order with their probabilities. */
export interface Distribution {
  values: Float64Array;
  masses: Float64Array;
}

/** Sum of differences ÷ sum of pairs, each kind counted as `count` says. */
export function differenceOf(kinds: readonly ProblemKind[], count: (kind: ProblemKind, index: number) => number): number {
  let difference = 0;
  let pairs = 0;
  for (const [index, kind] of kinds.entries()) {
    const drawn = count(kind, index);
    difference += drawn * kind.difference;
    pairs += drawn * kind.pairs;
  }
  return difference / pairs;
}

/** Masses below this, far under what a quantile of interest can feel, are cut off at both ends. */
const negligible = 1e-18;

interface Lattice {
  /** Of the first mass. */
  from: number;
  masses: Float64Array;
}

/** The distribution of the statistic over all resamples. Needs the same number of pairs in every kind. */
export function exactDistribution(kinds: readonly ProblemKind[]): Distribution {
  const problems = kinds.reduce((sum, kind) => sum + kind.problems, 0);
  const from = Math.min(...kinds.map((kind) => kind.difference));
  const to = Math.max(...kinds.map((kind) => kind.difference));
  const masses = new Float64Array(to - from + 1);
  for (const kind of kinds) masses[kind.difference - from]! += kind.problems / problems;
  const sum = convolvedWithItself({ from, masses }, problems);
  const pairs = problems * kinds[0]!.pairs;
  return { values: Float64Array.from(sum.masses, (_, index) => (sum.from + index) / pairs), masses: sum.masses };
}

/** `resamples` draws of the statistic. */
export function drawnDistribution(kinds: readonly ProblemKind[], resamples: number, random: RandomStream): Distribution {
  const problems = kinds.reduce((sum, kind) => sum + kind.problems, 0);
  const logFactorials = Float64Array.from({ length: problems + 1 }, (_, n) => logGamma(n + 1));
  const counts = new Int32Array(kinds.length);
  const values = new Float64Array(resamples);
  for (let index = 0; index < resamples; index++) {
    let left = problems;
    let others = problems;
    for (const [at, kind] of kinds.entries()) {
      const drawn = at === kinds.length - 1 ? left : drawBinomial(random.uniform(), left, kind.problems / others, logFactorials);
      counts[at] = drawn;
      left -= drawn;
      others -= kind.problems;
    }
    values[index] = differenceOf(kinds, (_, at) => counts[at]!);
  }
  return { values: values.sort(), masses: new Float64Array(resamples).fill(1 / resamples) };
}

/** The distribution of the sum of `times` independent draws, by squaring. */
function convolvedWithItself(one: Lattice, times: number): Lattice {
  let result: Lattice = { from: 0, masses: Float64Array.of(1) };
  let power = one;
  for (let left = times; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = convolve(result, power);
    if (left > 1) power = convolve(power, power);
  }
  return result;
}

function convolve(a: Lattice, b: Lattice): Lattice {
  const masses = new Float64Array(a.masses.length + b.masses.length - 1);
  for (const [at, mass] of a.masses.entries()) {
    for (let other = 0; other < b.masses.length; other++) masses[at + other]! += mass * b.masses[other]!;
  }
  const first = masses.findIndex((mass) => mass > negligible);
  const last = masses.findLastIndex((mass) => mass > negligible);
  return { from: a.from + b.from + first, masses: masses.slice(first, last + 1) };
}

/** Inverts the cumulative probability, visiting outcomes outwards from the most likely one. */
function drawBinomial(uniform: number, count: number, chance: number, logFactorials: Float64Array): number {
  if (count === 0) return 0;
  const mode = Math.min(count, Math.floor((count + 1) * chance));
  const odds = chance / (1 - chance);
  const logPeak = logFactorials[count]! - logFactorials[mode]! - logFactorials[count - mode]!;
  const peak = Math.exp(logPeak + mode * Math.log(chance) + (count - mode) * Math.log1p(-chance));
  let left = uniform - peak;
  let [below, above, belowMass, aboveMass] = [mode, mode, peak, peak];
  while (left >= 0 && (below > 0 || above < count)) {
    if (above < count) {
      aboveMass *= ((count - above) / (above + 1)) * odds;
      above += 1;
      left -= aboveMass;
      if (left < 0) return above;
    }
    if (below > 0) {
      belowMass *= below / (count - below + 1) / odds;
      below -= 1;
      left -= belowMass;
      if (left < 0) return below;
    }
  }
  return mode;
}
