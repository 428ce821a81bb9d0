/**
 * What is known of one benchmark while it is evaluated. Accuracy is counted over the problems at the beginning of the seeded order whose
 * completions have all ended: over k problems it is the same number whatever ended when, and each is an unbiased estimate, which the share
 * among everything that has ended is not. Which k is shown at a moment still depends on time: the next problem is often a long one.
 *
 * With a wanted precision, the interval is looked at after fixed numbers of problems, and the first that is narrow enough ends the benchmark
 * there. Stopping on a narrow interval favours accuracies near 0 or 1 by tenths of a point, but the interval keeps its coverage
 * (tests/unit/engine/benchmarks/precision-coverage.test.ts), as theory says of fixed-width intervals (Chow & Robbins 1965).
 */
import type { Interval } from '#contract/comparison.ts';
import type { Precision } from '#contract/protocol.ts';
import type { BenchmarkProgress, BenchmarkStop } from '#contract/worker.ts';
import { accuracyInterval, marginOf } from '../statistics/index.ts';

export interface TallySettings {
  name: string;
  /** In seeded order. */
  problemIds: readonly string[];
  /** Completions per problem. */
  seeds: number;
  precision?: Precision | undefined;
}

interface ProblemTally {
  id: string;
  correct: number;
  samples: number;
  tokens: number;
}

export class BenchmarkTally {
  /** Set once the wanted precision is reached. */
  stop: BenchmarkStop | null = null;
  private readonly settings: TallySettings;
  private readonly positions: Map<string, number>;
  /** By position in the seeded order. */
  private readonly problems: ProblemTally[];
  /** Problems from the beginning on whose completions have all ended. */
  private complete = 0;
  private interval: { problems: number; value: Interval } | null = null;

  constructor(settings: TallySettings) {
    this.settings = settings;
    this.positions = new Map(settings.problemIds.map((id, position) => [id, position]));
    this.problems = settings.problemIds.map((id) => ({ id, correct: 0, samples: 0, tokens: 0 }));
  }

  get name(): string {
    return this.settings.name;
  }

  /** Completions that have ended, of problems that count. */
  get done(): number {
    return this.counted().reduce((sum, { samples }) => sum + samples, 0);
  }

  /** Completions to be made. */
  get total(): number {
    return this.counted().length * this.settings.seeds;
  }

  /** Whether a problem counts, as far as has been decided. */
  counts(problemId: string): boolean {
    return !this.stop || this.positions.get(problemId)! < this.stop.problems;
  }

  /** Counts one completion. */
  record(problemId: string, correct: boolean, tokens: number): void {
    const problem = this.problems[this.positions.get(problemId)!]!;
    problem.samples++;
    problem.tokens += tokens;
    if (correct) problem.correct++;
    while (!this.stop && this.problems[this.complete]?.samples === this.settings.seeds) {
      this.complete++;
      this.look();
    }
  }

  /** Problems that have completions and do not count. */
  surplus(): string[] {
    const beyond = this.stop ? this.problems.slice(this.stop.problems) : [];
    return beyond.filter(({ samples }) => samples > 0).map(({ id }) => id);
  }

  progress(): BenchmarkProgress {
    const { name, done, total, complete, stop } = this;
    const tokens = this.counted().reduce((sum, problem) => sum + problem.tokens, 0);
    return {
      benchmark: name,
      ...{ done, total, problems: complete, of: this.problems.length, accuracy: this.accuracy() },
      meanTokens: done > 0 ? tokens / done : null,
      stopped: stop !== null,
    };
  }

  private counted(): readonly ProblemTally[] {
    return this.stop ? this.problems.slice(0, this.stop.problems) : this.problems;
  }

  private look(): void {
    const { complete: problems, settings } = this;
    const { name: benchmark, precision } = settings;
    const of = this.problems.length;
    if (!precision || problems === of || problems < precision.leastProblems) return;
    if ((problems - precision.leastProblems) % precision.lookEvery !== 0) return;
    const margin = marginOf(this.accuracy()!);
    if (margin <= precision.points / 100) this.stop = { benchmark, problems, of, margin };
  }

  private accuracy(): Interval | null {
    const problems = this.complete;
    if (problems === 0) return null;
    if (this.interval?.problems !== problems) this.interval = { problems, value: accuracyInterval(this.problems.slice(0, problems)) };
    return this.interval.value;
  }
}
