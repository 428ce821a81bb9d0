/**
 * The order in which an evaluation takes its problems. Short completions end first, so the share of right answers among those that have
 * ended favours short ones; what is shown and decided while an evaluation runs is therefore counted over the beginning of an order drawn at
 * random, in which nothing is left out. Generation follows that order in rounds, in each of which the longest are begun first.
 */
import { RandomStream } from '../data/random-stream.ts';

/** The problems of a benchmark in an order that depends on the seed and the benchmark's name alone, not on the model. */
export function seededOrder<T>(problems: readonly T[], seed: number, benchmark: string): T[] {
  return new RandomStream(seed, 'evaluation-order', benchmark).shuffle(problems);
}

/** A problem with its place in its benchmark's seeded order. */
export interface PlacedProblem {
  position: number;
  /** Problems of the benchmark. */
  of: number;
  /** How long its completions are likely to be, in any unit that is the same for all. */
  expectedLength: number;
}

/** As many rounds as the last one holds, up to half of everything: only at the very end slots stay empty. */
const roundsAtEnd = 8;

/**
 * All problems of all benchmarks as they are generated: the benchmarks advance together through their seeded orders, `perRound` problems at
 * a time, and within a round the longest come first, so that few sequences are left running alone at the end.
 * @param atEnd rounds that are taken as one at the end; 1 where every look at the beginning of the order counts
 */
export function generationOrder<T extends PlacedProblem>(problems: readonly T[], perRound: number, atEnd = roundsAtEnd): T[] {
  const advancing = [...problems].sort((a, b) => shareBefore(a) - shareBefore(b));
  const last = advancing.length - Math.min(atEnd * perRound, Math.ceil(advancing.length / 2));
  const order: T[] = [];
  for (let start = 0; start < advancing.length; ) {
    const end = start >= last ? advancing.length : Math.min(last, start + perRound);
    order.push(...advancing.slice(start, end).sort((a, b) => b.expectedLength - a.expectedLength));
    start = end;
  }
  return order;
}

const shareBefore = ({ position, of }: PlacedProblem) => (position + 0.5) / of;
