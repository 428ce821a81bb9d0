/** The `choice-1` verifier: whether a completion chooses the gold letter of a multiple-choice problem. */
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { Verifier, VerifyInput, VerifyResult } from '../verifier.ts';
import { extractLetter } from './extract-letter.ts';

/** Rejects with `bad-input` for a gold answer that is no letter from A to J: no completion could meet it. */
export const choice1: Verifier = {
  name: 'choice-1',
  verify: async (input, { signal } = {}) => {
    throwIfCancelled(signal, 'Checking answers');
    return verifyChoice(input);
  },
};

/** `truncated`: cut off at the token limit before a letter was marked. A letter alone on the last line of a cut-off text is chance. */
function verifyChoice({ gold, completion, finishReason }: VerifyInput): VerifyResult {
  const wanted = goldLetter(gold);
  const chosen = extractLetter(completion);
  if (finishReason === 'length' && (!chosen || chosen.source === 'alone')) return { verdict: 'truncated', extracted: null };
  if (!chosen) return { verdict: 'unparsed', extracted: null };
  return { verdict: chosen.letter === wanted ? 'correct' : 'incorrect', extracted: chosen.letter };
}

function goldLetter(gold: string): string {
  const match = /^[\s($]*(?:\\text(?:bf)?\{\s?\(?)?([A-Ja-j])[\s).}$]*$/.exec(gold);
  if (match) return match[1]!.toUpperCase();
  const hint = 'Give the letter of the right choice (A to J) as the answer, or choose another verifier.';
  throw new RoundoffError('bad-input', `The gold answer "${gold.slice(0, 60)}" is not the letter of a choice.`, hint);
}
