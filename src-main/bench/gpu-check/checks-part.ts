/** The kernels' reference checks, in as many processes as it takes: after a check that throws or crashes, the next process goes on behind it. */
import { runChild } from '../peers/run-child.ts';
import type { CheckAnswer } from './run-checks.ts';

export interface ChecksReport {
  /** Null when not even their names could be read. */
  total: number | null;
  answers: CheckAnswer[];
  /** Names that were not reached, with the reason. */
  notRun: { names: string[]; reason: string } | null;
}

/** Those whose names have the text `named`. */
export function runAllChecks(named: string, deadline: number): ChecksReport {
  const answers: CheckAnswer[] = [];
  for (;;) {
    const { lines, failure } = runChild({ task: 'checks', named, from: answers.length }, { limitMs: deadline - performance.now() });
    const [first, ...said] = lines as [{ checks?: string[] } | undefined, ...CheckAnswer[]];
    const names = first?.checks;
    if (!names) return { total: null, answers, notRun: { names: [], reason: failure ?? 'the checks answered nothing' } };
    const fresh = said.filter((line) => 'check' in line);
    answers.push(...fresh);
    if (answers.length === names.length) return { total: names.length, answers, notRun: null };
    const isLate = performance.now() >= deadline - 1000;
    if (isLate) return { total: names.length, answers, notRun: { names: names.slice(answers.length), reason: 'no time was left' } };
    // The last answer may be of a check that threw, after which its process ends in good order.
    if (fresh.at(-1)?.outcome === 'failed') continue;
    answers.push({ check: names[answers.length]!, outcome: 'failed', reason: failure ?? 'its process ended' });
  }
}
