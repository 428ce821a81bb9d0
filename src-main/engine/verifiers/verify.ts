/**
 * The `maths-1` verifier: decides whether a completion's answer equals the gold answer, exactly (numbers as rationals, no
 * rounding: 1/3 is not 0.33). Follows the priorities and normalisation of Hugging Face's Math-Verify, without symbolic algebra.
 */
import { canonicalAnswer } from './canonical.ts';
import { extractAnswer } from './extract.ts';
import type { Verifier, VerifyInput, VerifyResult } from './verifier.ts';

/** Its verdicts take microseconds and are made at once. */
export const maths1: Verifier = { name: 'maths-1', verify: async (input) => verify(input) };

/**
 * `truncated`: cut off at the token limit before a boxed answer. `unparsed`: ended by itself without any answer.
 */
export function verify({ gold, completion, finishReason }: VerifyInput): VerifyResult {
  const answer = extractAnswer(completion);
  if (finishReason === 'length' && answer?.source !== 'boxed') return { verdict: 'truncated', extracted: null };
  if (!answer) return { verdict: 'unparsed', extracted: null };
  return { verdict: sameAnswer(gold, answer.text) ? 'correct' : 'incorrect', extracted: answer.text };
}

/** Whether two answers are equal. Symmetric. */
export function sameAnswer(gold: string, answer: string): boolean {
  return canonicalAnswer(gold) === canonicalAnswer(answer);
}
