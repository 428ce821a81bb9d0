/**
 * What is known of one benchmark while it is evaluated. Accuracy is counted over the problems at the beginning of the seeded order whose
 * completions have all ended: over k problems it is the same number whatever ended when, and each is an unbiased estimate, which the share
 * among everything that has ended is not. Which k is shown at a moment still depends on time: the next problem is often a long one.
 */
import type { Interval } from '#contract/comparison.ts';
import type { BenchmarkProgress } from '#contract/worker.ts';
import { accuracyInterval, type ProblemScore } from '../statistics/index.ts';

export class BenchmarkTally {
  readonly name: string;
  /** Completions that have ended, and their tokens. */
  done = 0;
  tokens = 0;
  private readonly seeds: number;
  private readonly positions: Map<string, number>;
  /** By position in the seeded order. */
  private readonly scores: ProblemScore[];
  /** Problems from the beginning on whose completions have all ended. */
  private complete = 0;
  private interval: { problems: number; value: Interval } | null = null;

  /** @param problemIds in seeded order @param seeds completions per problem */
  constructor(name: string, problemIds: readonly string[], seeds: number) {
    this.name = name;
    this.seeds = seeds;
    this.positions = new Map(problemIds.map((id, position) => [id, position]));
    this.scores = problemIds.map(() => ({ correct: 0, samples: 0 }));
  }

  get total(): number {
    return this.scores.length * this.seeds;
  }

  /** Counts one completion. */
  record(problemId: string, correct: boolean, tokens: number): void {
    const score = this.scores[this.positions.get(problemId)!]!;
    score.samples++;
    if (correct) score.correct++;
    this.done++;
    this.tokens += tokens;
    while (this.scores[this.complete]?.samples === this.seeds) this.complete++;
  }

  progress(): BenchmarkProgress {
    const { name, done, total, complete } = this;
    const meanTokens = done > 0 ? this.tokens / done : null;
    return { benchmark: name, done, total, problems: complete, of: this.scores.length, accuracy: this.accuracy(), meanTokens };
  }

  private accuracy(): Interval | null {
    const problems = this.complete;
    if (problems === 0) return null;
    if (this.interval?.problems !== problems) this.interval = { problems, value: accuracyInterval(this.scores.slice(0, problems)) };
    return this.interval.value;
  }
}
