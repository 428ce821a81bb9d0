/** What is recorded of a step of policy learning, over the tokens that count: how the policy moved, and how far sampler and learner differ. */
import type { RlObjective } from '#contract/training.ts';
import { deviation } from './advantages.ts';
import { importanceWeights } from './importance.ts';
import { eachToken, type LearningBatch } from './learning-batch.ts';
import type { Rollout } from './rollout.ts';

/** Figures of a rollout: rewards, verdicts, lengths, speed. */
export function rolloutMetrics({ completions, elapsedMs }: Rollout, zeroDeviationShare: number): Record<string, number> {
  const rewards = completions.map(({ reward }) => reward);
  const lengths = completions.map(({ tokenIds }) => tokenIds.length);
  const share = (holds: (completion: Rollout['completions'][number]) => boolean) => completions.filter(holds).length / completions.length;
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return {
    'reward-mean': rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length,
    'reward-std': deviation(rewards),
    correct: share(({ verdict }) => verdict === 'correct'),
    truncated: share(({ finishReason }) => finishReason === 'length'),
    'length-mean': tokens / lengths.length,
    'length-max': Math.max(...lengths),
    'zero-std-groups': zeroDeviationShare,
    'generated-tokens': tokens,
    'rollout-tokens-per-second': (1000 * tokens) / elapsedMs,
  };
}

/** Sums over the tokens of a step's micro-batches. */
export class PolicyMetrics {
  private readonly objective: RlObjective;
  private tokens = 0;
  private entropy = 0;
  private divergence = 0;
  private clippedLow = 0;
  private clippedHigh = 0;
  private ratio = 0;
  private smallestRatio = Number.POSITIVE_INFINITY;
  private largestRatio = 0;
  private importance = 0;
  private samplerDivergence = 0;

  constructor(objective: RlObjective) {
    this.objective = objective;
  }

  /** Takes a micro-batch's log-probabilities and entropies by row, as the update saw them. */
  add(batch: LearningBatch, logProbabilities: ArrayLike<number>, entropies: ArrayLike<number>): void {
    const { clipLow, clipHigh, importance, updatesPerRollout } = this.objective;
    const corrections = batch.sequences.map(({ old, completion }) =>
      importance.kind === 'none' ? null : importanceWeights(old!, completion.sampledLogProbabilities, importance),
    );
    eachToken(batch, ({ old, reference, completion, advantage, counts }, index, token, row) => {
      if (!counts) return;
      const logp = logProbabilities[row]!;
      const ratio = updatesPerRollout > 1 ? Math.exp(logp - old![token]!) : 1;
      this.tokens++;
      this.entropy += entropies[row]!;
      this.ratio += ratio;
      this.smallestRatio = Math.min(this.smallestRatio, ratio);
      this.largestRatio = Math.max(this.largestRatio, ratio);
      if (ratio < 1 - clipLow && advantage < 0) this.clippedLow++;
      if (ratio > 1 + clipHigh && advantage > 0) this.clippedHigh++;
      this.importance += corrections[index]?.[token] ?? 1;
      this.samplerDivergence += completion.sampledLogProbabilities[token]! - (old?.[token] ?? logp);
      if (!reference) return;
      const distance = reference[token]! - logp;
      this.divergence += Math.expm1(distance) - distance;
    });
  }

  read(): Record<string, number> {
    const { tokens, objective } = this;
    if (tokens === 0) return {};
    return {
      entropy: this.entropy / tokens,
      ...(objective.beta > 0 ? { kl: this.divergence / tokens } : {}),
      'clip-low': this.clippedLow / tokens,
      'clip-high': this.clippedHigh / tokens,
      'ratio-mean': this.ratio / tokens,
      'ratio-min': this.smallestRatio,
      'ratio-max': this.largestRatio,
      ...(objective.importance.kind === 'none' ? {} : { 'importance-mean': this.importance / tokens }),
      'sampler-divergence': this.samplerDivergence / tokens,
    };
  }
}
