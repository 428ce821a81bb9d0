/** Differences between training curves that saw the same batches or problems at the same steps. */
import type { Interval } from '#contract/comparison.ts';
import { intervalAround, mean, type Variance, varianceOfMean } from './contrast.ts';

/** One run's curve: step → value. */
export type Curve = ReadonlyMap<number, number>;

/** Steps of one curve are alike, so they are averaged in blocks before their spread is taken. */
const blocks = 10;

/**
 * Mean of a − b over the steps both have within `range` (shares of the run, 0 to 1), over the training seeds. The spread is that of blocks
 * of consecutive steps, and that between the seeds.
 */
export function curveDifference(a: readonly Curve[], b: readonly Curve[], range: readonly [number, number] = [0, 1]): Interval {
  const perSeed = a.map((curve, seed) => stepDifferences(curve, b[b.length === 1 ? 0 : seed]!, range));
  const within = perSeed.map((values) => varianceOfMean(blockMeans(values)));
  const ofBlocks: Variance = {
    variance: within.reduce((sum, { variance }) => sum + variance, 0) / within.length ** 2,
    degrees: within.reduce((sum, { degrees }) => sum + degrees, 0),
  };
  const means = perSeed.map(mean);
  const ofSeeds = means.length > 1 ? varianceOfMean(means) : { variance: 0, degrees: 1 };
  return intervalAround(mean(means), [ofBlocks, ofSeeds]);
}

/** Means over the first and the last `share` of a curve, per seed: last − first. */
export function curveChange(curves: readonly Curve[], share = 0.1): Interval {
  const changes = curves.map((curve) => {
    const values = [...curve].sort(([a], [b]) => a - b).map(([, value]) => value);
    const length = Math.max(1, Math.round(share * values.length));
    return mean(values.slice(-length)) - mean(values.slice(0, length));
  });
  return intervalAround(mean(changes), changes.length > 1 ? [varianceOfMean(changes)] : []);
}

function stepDifferences(a: Curve, b: Curve, [from, to]: readonly [number, number]): number[] {
  const steps = [...a.keys()].filter((step) => b.has(step)).sort((x, y) => x - y);
  const last = steps.at(-1) ?? 0;
  return steps.filter((step) => step >= from * last && step <= to * last).map((step) => a.get(step)! - b.get(step)!);
}

function blockMeans(values: readonly number[]): number[] {
  const size = Math.max(1, Math.ceil(values.length / blocks));
  const result: number[] = [];
  for (let start = 0; start < values.length; start += size) result.push(mean(values.slice(start, start + size)));
  return result;
}
