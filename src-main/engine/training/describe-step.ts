/** A training step in a few words, for progress lines: `loss 1.234, reward 0.45, 5,120 tokens/s`. */
import type { StepMetrics } from './loop.ts';

export function describeStep({ loss, tokensPerSecond, more }: StepMetrics): string {
  const reward = more['reward-mean'];
  const parts = [
    `loss ${loss.toPrecision(4)}`,
    ...(reward === undefined ? [] : [`reward ${reward.toPrecision(3)}`]),
    `${Math.round(tokensPerSecond).toLocaleString('en-US')} tokens/s`,
  ];
  return parts.join(', ');
}
