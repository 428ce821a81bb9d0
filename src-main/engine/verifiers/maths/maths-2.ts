/**
 * The `maths-2` verifier: decides whether a completion's answer equals the gold answer as mathematics, after Hugging Face's Math-Verify, with
 * numeric sampling and computer algebra. docs/verifiers.md states its rules and limits.
 */
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { Verifier, VerifyInput, VerifyResult } from '../verifier.ts';
import { AlgebraPool } from './algebra-pool.ts';
import { equalAnswers } from './compare.ts';
import { type Extracted, extractMathsAnswer } from './extract.ts';
import { compactAnswer, maxAnswerLength, normaliseAnswer } from './normalise.ts';
import { readAnswer } from './structure.ts';
import { OutOfTime, TimeBudget } from './time-budget.ts';

const pool = new AlgebraPool();
const outOfTime = 'the comparison ran out of time';
/** Gold answers that are no mere numbers: some answers to them are compared by computer algebra. */
const needsAlgebra = /\\(?:sqrt|pi|log|ln|sin|cos|tan)|[a-zA-Z]\s?[\^(+*/-]/;
/** Questions to computer algebra in one comparison; lists of formulas could ask for thousands. */
const maxQuestions = 8;

export const maths2: Verifier = {
  name: 'maths-2',
  verify: async (input, { signal } = {}) => {
    throwIfCancelled(signal, 'Checking answers');
    return verifyMaths(input);
  },
  dispose: () => pool.dispose(),
};

/** `truncated`: cut off at the token limit before a boxed answer. `unparsed`: ended by itself without any answer. */
async function verifyMaths({ gold, completion, finishReason, tolerance }: VerifyInput): Promise<VerifyResult> {
  if (needsAlgebra.test(gold)) pool.warm();
  const answer = extractMathsAnswer(completion, countItems(gold));
  if (finishReason === 'length' && answer?.source !== 'boxed') return { verdict: 'truncated', extracted: statedAnswer(answer) };
  if (!answer) return { verdict: 'unparsed', extracted: null };
  const extracted = answer.text;
  if (extracted.length > maxAnswerLength || gold.length > maxAnswerLength) return compareLong(gold, extracted);
  try {
    const equal = await equalAnswers(gold, extracted, rulesFor(tolerance));
    return { verdict: equal ? 'correct' : 'incorrect', extracted };
  } catch (error) {
    if (error instanceof OutOfTime) return { verdict: 'incorrect', extracted, detail: outOfTime };
    throw error;
  }
}

/** The last number of a text that was cut off is no answer. */
function statedAnswer(answer: Extracted | null): string | null {
  return answer?.source === 'phrase' ? answer.text : null;
}

function rulesFor(tolerance: number | undefined) {
  const budget = new TimeBudget();
  let questions = 0;
  return {
    ...(tolerance === undefined ? {} : { tolerance }),
    checkTime: () => budget.check(),
    algebra: async (gold: string, answer: string) => {
      questions += 1;
      if (questions > maxQuestions) throw new OutOfTime();
      return budget.pausedFor(pool.equal({ gold, answer }));
    },
  };
}

function compareLong(gold: string, extracted: string): VerifyResult {
  if (compactAnswer(gold) === compactAnswer(extracted)) return { verdict: 'correct', extracted };
  return { verdict: 'incorrect', extracted, detail: `longer than ${maxAnswerLength} characters, compared as text` };
}

function countItems(gold: string): number {
  if (gold.length > maxAnswerLength) return 1;
  const answer = readAnswer(normaliseAnswer(gold));
  return answer.kind === 'list' || answer.kind === 'set' ? answer.items.length : 1;
}
