/**
 * A mixed-precision scheme for a size budget out of a sensitivity scan: the divergences of units are taken to add up, and the cheapest
 * sum within the budget is sought along each unit's lower convex hull (the greedy solution of the multiple-choice knapsack problem),
 * then improved by single steps that still fit.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { SchemeOverride } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import type { SensitivityOption, SensitivityUnit } from './scan.ts';

export interface MixedProposal {
  /** The scheme of most units; the others are overrides. */
  scheme: QuantizationScheme;
  overrides: SchemeOverride[];
  /** Over the scanned linears. */
  sizeBytes: number;
  bitsPerWeight: number;
  /** Sum of the chosen options' divergences: what to expect if errors add up. */
  predictedDivergence: number;
  /** By unit, the chosen option. */
  choices: { pattern: string; option: SensitivityOption }[];
}

/** Throws `bad-input` when even the smallest options exceed the budget. */
export function proposeMixedScheme(units: readonly SensitivityUnit[], budgetBits: number): MixedProposal {
  const weights = units.reduce((sum, unit) => sum + unit.weights, 0);
  const budgetBytes = (budgetBits * weights) / 8;
  const hulls = units.map(({ options }) => lowerHull(options));
  const chosen = hulls.map((hull) => hull.length - 1);
  const smallest = hulls.reduce((sum, hull) => sum + hull[0]!.sizeBytes, 0);
  if (smallest > budgetBytes) {
    throw new RoundoffError(
      'bad-input',
      `A budget of ${budgetBits} bits per weight is below the ${((8 * smallest) / weights).toFixed(2)} that the smallest candidates take.`,
      'Raise the budget, or add a smaller candidate scheme.',
    );
  }
  const size = () => chosen.reduce((sum, at, index) => sum + hulls[index]![at]!.sizeBytes, 0);
  while (size() > budgetBytes) {
    const index = cheapestStep(hulls, chosen);
    chosen[index]!--;
  }
  improve(hulls, chosen, () => budgetBytes - size());
  return describe(
    units,
    chosen.map((at, index) => hulls[index]![at]!),
    weights,
  );
}

/** Options by rising size along which every further byte buys less; others are never the best use of the budget. */
function lowerHull(options: readonly SensitivityOption[]): SensitivityOption[] {
  const sorted = options.toSorted((a, b) => a.sizeBytes - b.sizeBytes || a.divergence - b.divergence);
  const hull: SensitivityOption[] = [];
  for (const option of sorted) {
    if (hull.length > 0 && option.divergence >= hull.at(-1)!.divergence) continue;
    while (hull.length > 1 && slope(hull.at(-2)!, hull.at(-1)!) >= slope(hull.at(-2)!, option)) hull.pop();
    hull.push(option);
  }
  return hull;
}

/** Divergence per byte on the way from a to b; negative. */
function slope(a: SensitivityOption, b: SensitivityOption): number {
  return (b.divergence - a.divergence) / (b.sizeBytes - a.sizeBytes);
}

/** The unit whose next smaller option costs least divergence per byte saved. */
function cheapestStep(hulls: readonly SensitivityOption[][], chosen: readonly number[]): number {
  let best = -1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const [index, hull] of hulls.entries()) {
    const at = chosen[index]!;
    if (at === 0) continue;
    const cost = -slope(hull[at - 1]!, hull[at]!);
    if (cost < bestCost) [best, bestCost] = [index, cost];
  }
  return best;
}

/** Spends what is left of the budget on the step that lowers the divergence most, as long as one fits. */
function improve(hulls: readonly SensitivityOption[][], chosen: number[], bytesLeft: () => number): void {
  for (;;) {
    const left = bytesLeft();
    let best = -1;
    let bestGain = 0;
    for (const [index, hull] of hulls.entries()) {
      const now = hull[chosen[index]!]!;
      const next = hull[chosen[index]! + 1];
      if (!next || next.sizeBytes - now.sizeBytes > left) continue;
      const gain = now.divergence - next.divergence;
      if (gain > bestGain) [best, bestGain] = [index, gain];
    }
    if (best < 0) return;
    chosen[best]!++;
  }
}

function describe(units: readonly SensitivityUnit[], options: readonly SensitivityOption[], weights: number): MixedProposal {
  const counts = new Map<string, number>();
  for (const { scheme } of options) counts.set(formatScheme(scheme), (counts.get(formatScheme(scheme)) ?? 0) + 1);
  const most = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  const scheme = options.find((option) => formatScheme(option.scheme) === most)!.scheme;
  const sizeBytes = options.reduce((sum, option) => sum + option.sizeBytes, 0);
  const choices = units.map(({ pattern }, index) => ({ pattern, option: options[index]! }));
  return {
    scheme,
    overrides: choices
      .filter(({ option }) => formatScheme(option.scheme) !== most)
      .map(({ pattern, option }) => ({ pattern, scheme: option.scheme })),
    sizeBytes,
    bitsPerWeight: (8 * sizeBytes) / weights,
    predictedDivergence: options.reduce((sum, option) => sum + option.divergence, 0),
    choices,
  };
}
