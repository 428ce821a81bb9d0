/** From a completion's verdict to its reward. */
import type { RlObjective } from '#contract/training.ts';
import type { FinishReason, Verdict } from '#contract/worker.ts';
import { lastBoxed } from '../../verifiers/index.ts';

export interface JudgedCompletion {
  completion: string;
  finishReason: FinishReason;
  verdict: Verdict;
}

/**
 * `format` for an answer in a box, plus `correct` where it is the right one, so {0, 0.1, 1.1} by default (arXiv 2511.15694); an answer outside
 * a box earns nothing. A cut completion earns `truncated` instead, where that is given. `byVerdict` overrules all of it.
 */
export function rewardOf({ completion, finishReason, verdict }: JudgedCompletion, reward: RlObjective['reward']): number {
  if (reward.byVerdict) return reward.byVerdict[verdict];
  if (finishReason === 'length' && reward.truncated !== null) return reward.truncated;
  if (lastBoxed(completion) === null) return 0;
  return reward.format + (verdict === 'correct' ? reward.correct : 0);
}
