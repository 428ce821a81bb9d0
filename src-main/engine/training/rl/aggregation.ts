/**
 * How the losses of tokens become the loss of a rollout: one weight per completion, which each of its tokens has, such that the weighted sum over
 * all micro-batches is the loss (TRL's loss types).
 */
import type { RlObjective } from '#contract/training.ts';

export interface CountedCompletion {
  /** Tokens, up to and including the first end token. */
  length: number;
  /** Whether its tokens count in the loss; cut ones may not. */
  counts: boolean;
}

/**
 * By loss type, over N completions:
 * - `grpo`: the mean over completions of the mean over their own tokens (biased towards short ones);
 * - `bnpo`: the mean over a micro-batch's tokens, micro-batches weighted by their completions, so it depends on how the rollout is cut;
 * - `dapo`: the mean over all tokens;
 * - `dr-grpo`: the sum over tokens divided by N · maxNewTokens.
 * N counts completions that are left out, too; tokens of those are not counted.
 * @param microBatches the completions of each
 * @returns weights in the same arrangement, 0 for completions that do not count
 */
export function tokenWeights(
  microBatches: readonly (readonly CountedCompletion[])[],
  { lossType, maxNewTokens }: Pick<RlObjective, 'lossType' | 'maxNewTokens'>,
): number[][] {
  const all = microBatches.flat();
  const tokensOf = (completions: readonly CountedCompletion[]) =>
    Math.max(
      1,
      completions.reduce((sum, { length, counts }) => sum + (counts ? length : 0), 0),
    );
  const tokens = tokensOf(all);
  return microBatches.map((micro) => {
    const own = tokensOf(micro);
    return micro.map(({ length, counts }) => {
      if (!counts) return 0;
      if (lossType === 'grpo') return 1 / (all.length * Math.max(1, length));
      if (lossType === 'bnpo') return micro.length / (all.length * own);
      if (lossType === 'dapo') return 1 / tokens;
      return 1 / (all.length * maxNewTokens);
    });
  });
}
