/**
 * From the rewards of groups of completions to advantages: reward minus the group's mean, divided by a standard deviation or not (GRPO,
 * Shao et al. 2024; Dr.GRPO, Liu et al. 2025), or minus the mean of the others (RLOO, Ahmadian et al. 2024), as TRL computes them.
 */
import type { RlObjective } from '#contract/training.ts';

/** Added to standard deviations before dividing, as TRL does. */
const deviationEpsilon = 1e-4;

export interface Advantages {
  /** One per completion, for all of its tokens. */
  values: Float64Array;
  /** Share of groups whose rewards are all equal: nothing can be learnt from them. */
  zeroDeviationShare: number;
}

/** @param rewards of consecutive groups of `groupSize` completions of one prompt */
export function groupAdvantages(
  rewards: readonly number[],
  groupSize: number,
  { advantage, scaleRewards }: Pick<RlObjective, 'advantage' | 'scaleRewards'>,
): Advantages {
  const values = new Float64Array(rewards.length);
  const batchDeviation = deviation(rewards);
  const groups = rewards.length / groupSize;
  let equal = 0;
  for (let start = 0; start < rewards.length; start += groupSize) {
    const group = rewards.slice(start, start + groupSize);
    // Exactly 0, not what rounding would leave.
    if (isFlat(group)) {
      equal++;
      continue;
    }
    const groupDeviation = deviation(group);
    const scale = { group: groupDeviation + deviationEpsilon, batch: batchDeviation + deviationEpsilon, none: 1 }[scaleRewards];
    const sum = group.reduce((total, reward) => total + reward, 0);
    for (const [index, reward] of group.entries()) {
      const baseline = advantage === 'rloo' ? (sum - reward) / (groupSize - 1) : sum / groupSize;
      values[start + index] = (reward - baseline) / scale;
    }
  }
  return { values, zeroDeviationShare: equal / groups };
}

/** The unbiased standard deviation; 0 for equal values. */
export function deviation(values: readonly number[]): number {
  if (isFlat(values)) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

function isFlat(values: readonly number[]): boolean {
  return values.every((value) => value === values[0]);
}
