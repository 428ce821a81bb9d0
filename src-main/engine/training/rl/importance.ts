/**
 * Correction for a sampler μ that differs from the policy before the update: weights π_old/μ on the surrogate, from recorded log-probabilities
 * (TRL's `token_truncate` and `sequence_mask`; truncated importance sampling of Flash-RL).
 */
import type { RlObjective } from '#contract/training.ts';

/**
 * Weights of one completion's tokens. `token-truncate`: each ratio, cut at the cap. `sequence-mask`: the product of the ratios, the same for all
 * tokens, but 0 where it exceeds the cap.
 * @param old log-probabilities of the policy, @param sampled those of the sampler, one per token
 */
export function importanceWeights(
  old: ArrayLike<number>,
  sampled: ArrayLike<number>,
  { kind, cap }: RlObjective['importance'],
): Float64Array {
  const weights = new Float64Array(old.length).fill(1);
  if (kind === 'token-truncate') for (let i = 0; i < old.length; i++) weights[i] = Math.min(cap, Math.exp(old[i]! - sampled[i]!));
  if (kind === 'sequence-mask') {
    let sum = 0;
    for (let i = 0; i < old.length; i++) sum += old[i]! - sampled[i]!;
    const ratio = Math.exp(sum);
    weights.fill(ratio > cap ? 0 : ratio);
  }
  return weights;
}
