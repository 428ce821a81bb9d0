/**
 * The `maths-1` verifier: decides whether a completion's answer equals the gold answer, exactly (numbers as rationals, no
 * rounding: 1/3 is not 0.33). Follows the priorities and normalisation of Hugging Face's Math-Verify, without symbolic algebra.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { FinishReason, Verdict } from '#contract/worker.ts';
import { canonicalAnswer } from './canonical.ts';
import { extractAnswer } from './extract.ts';

export interface VerifyInput {
  gold: string;
  completion: string;
  finishReason: FinishReason;
}

export interface VerifyResult {
  verdict: Verdict;
  /** What was compared with the gold answer; null when there was nothing to compare. */
  extracted: string | null;
}

export type Verifier = (input: VerifyInput) => VerifyResult;

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

const verifiers: Record<string, Verifier> = { 'maths-1': verify };
export const verifierNames = Object.keys(verifiers);

/** The verifier a protocol names. Throws `bad-input` for an unknown one. */
export function getVerifier(name: string): Verifier {
  const verifier = Object.hasOwn(verifiers, name) ? verifiers[name] : undefined;
  if (verifier) return verifier;
  throw new RoundoffError('bad-input', `There is no verifier "${name}".`, `Use one of: ${verifierNames.join(', ')}.`);
}
