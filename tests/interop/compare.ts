/** Another runtime's answers beside ours, and the table of all comparisons. */
import { afterAll, expect } from 'vitest';
import { type Answers, newTokens } from './ours.ts';

export interface TheirAnswers {
  /** Greedy, as many per prompt as ours. */
  completions: number[][];
  /** After each of OUR tokens: [prompts, newTokens, vocab]. */
  logits: Float32Array;
}

export interface Comparison {
  /** Largest difference of a logit, over all positions of all prompts. */
  largestDifference: number;
  /** Greedy tokens that are the same, token by token, until a completion first differs; of `total`. */
  sameTokens: number;
  total: number;
  /** Completions that differ although our two best tokens are further apart than twice the largest difference. */
  unexplained: string[];
}

/**
 * A runtime that computes in other roundings may take the other one of two tokens that are nearly tied, and writes on from there. That is
 * told apart from a wrong result by the distance of our two best logits at the first token that differs.
 */
export function compareAnswers(ours: Answers, theirs: TheirAnswers): Comparison {
  expect(theirs.logits.length).toBe(ours.logits.length);
  let largestDifference = 0;
  for (const [index, logit] of ours.logits.entries())
    largestDifference = Math.max(largestDifference, Math.abs(logit - theirs.logits[index]!));
  const vocabSize = ours.logits.length / (ours.prompts.length * newTokens);
  let sameTokens = 0;
  const unexplained: string[] = [];
  for (const [prompt, completion] of ours.completions.entries()) {
    const other = theirs.completions[prompt]!;
    expect(other).toHaveLength(newTokens);
    const differs = completion.findIndex((token, index) => token !== other[index]);
    sameTokens += differs < 0 ? newTokens : differs;
    if (differs < 0) continue;
    const start = (prompt * newTokens + differs) * vocabSize;
    const [best, second] = ours.logits.subarray(start, start + vocabSize).toSorted((a, b) => b - a);
    if (!(best! - second! <= 2 * largestDifference))
      unexplained.push(`prompt ${prompt}, token ${differs}: ${other[differs]} instead of ${completion[differs]}, ${best! - second!} ahead`);
  }
  return { largestDifference, sameTokens, total: newTokens * ours.completions.length, unexplained };
}

const rows: string[][] = [];

/** Adds a line to the table that is printed at the end of the file. */
export function record(format: string, model: string, loader: string, outcome: Comparison | string): void {
  if (typeof outcome === 'string') rows.push([format, model, loader, outcome, '', '']);
  else {
    const { sameTokens, total, largestDifference } = outcome;
    rows.push([format, model, loader, 'loads', `${sameTokens} of ${total}`, largestDifference.toExponential(1)]);
  }
}

afterAll(() => {
  if (rows.length === 0) return;
  const table = [['format', 'model', 'loader', 'outcome', 'same tokens', 'largest logit difference'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  console.info(
    table
      .map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      )
      .join('\n'),
  );
});
