/** The part of an evaluation that generates nothing: endings and texts scored by likelihood, and how far that is. */
import {
  type BenchmarkProgress,
  type BenchmarkStop,
  type RecordedSample,
  type SampleResult,
  sampleKey,
  type TextWindow,
  windowKey,
} from '#contract/worker.ts';
import { scoreEndings } from '../likelihood/choices.ts';
import { scoreText } from '../likelihood/perplexity.ts';
import { BenchmarkTally } from './benchmark-tally.ts';
import type { EvaluationProgress } from './evaluation-meter.ts';
import type { PreparedEvaluation } from './prepare.ts';

export interface ScoringOptions {
  recordedSamples: Iterable<RecordedSample>;
  recordedWindows: Iterable<string>;
  signal?: AbortSignal | undefined;
  onSample(sample: SampleResult): void;
  onStop?: ((stop: BenchmarkStop, surplus: string[]) => void) | undefined;
  onWindow?: ((window: TextWindow) => void) | undefined;
  report(): void;
}

export class ScoredBenchmarks {
  private readonly prepared: PreparedEvaluation;
  private readonly options: ScoringOptions;
  private readonly tallies: BenchmarkTally[];
  /** Ids of problems that need not be scored, by benchmark: recorded, or beyond where it stopped. */
  private readonly settled: Set<string>[];
  private readonly recordedWindows: Set<number>[];
  private windowsDone: number;
  /** Since scoring began, and what was done then. */
  private begun: { at: number; done: number } | null = null;

  constructor(prepared: PreparedEvaluation, options: ScoringOptions) {
    this.prepared = prepared;
    this.options = options;
    const { precision } = prepared.protocol;
    const samples = new Map([...options.recordedSamples].map(([key, verdict, tokens]) => [key, { verdict, tokens }]));
    this.tallies = prepared.compared.map(({ input }) => {
      const ids = input.problems.map(({ id }) => id);
      return new BenchmarkTally({ name: input.benchmark, problemIds: ids, seeds: 1, precision });
    });
    this.settled = prepared.compared.map(({ input: { benchmark, problems, seed } }, index) => {
      const known = problems.filter(({ id }) => samples.has(sampleKey(benchmark, seed, id)));
      for (const { id } of known) {
        const { verdict, tokens } = samples.get(sampleKey(benchmark, seed, id))!;
        this.tallies[index]!.record(id, verdict === 'correct', tokens);
      }
      return new Set(known.map(({ id }) => id));
    });
    for (const index of this.tallies.keys()) this.endIfPrecise(index);
    const windows = new Set(options.recordedWindows);
    this.recordedWindows = prepared.texts.map(
      ({ input, windows: all }) => new Set([...all.keys()].filter((number) => windows.has(windowKey(input.benchmark, number)))),
    );
    this.windowsDone = this.recordedWindows.reduce((sum, { size }) => sum + size, 0);
  }

  get done(): number {
    return this.windowsDone + this.tallies.reduce((sum, tally) => sum + tally.done, 0);
  }

  get total(): number {
    return (
      this.tallies.reduce((sum, tally) => sum + tally.total, 0) + this.prepared.texts.reduce((sum, { windows }) => sum + windows.length, 0)
    );
  }

  /** Problems that samples are recorded of. */
  get problems(): number {
    return this.tallies.reduce((sum, tally) => sum + tally.total, 0);
  }

  get stops(): BenchmarkStop[] {
    return this.tallies.flatMap(({ stop }) => stop ?? []);
  }

  progress(): BenchmarkProgress[] {
    return this.tallies.map((tally) => tally.progress());
  }

  /** What generation reports, with this beside it. */
  beside(progress: EvaluationProgress): EvaluationProgress {
    const { done, total, benchmarks } = progress;
    const remainingMs = this.done < this.total ? this.remainingMs() : progress.remainingMs;
    return { ...progress, done: done + this.done, total: total + this.total, remainingMs, benchmarks: [...benchmarks, ...this.progress()] };
  }

  /** Scores everything that is not recorded. Throws `cancelled`. */
  async run(): Promise<void> {
    const { signal, onSample, onWindow, report } = this.options;
    this.begun = { at: performance.now(), done: this.done };
    for (const [index, { input, problems }] of this.prepared.compared.entries())
      await scoreEndings(input, problems, {
        recorded: this.settled[index]!,
        signal,
        onSample: (sample) => {
          onSample(sample);
          this.tallies[index]!.record(sample.problemId, sample.verdict === 'correct', sample.completionTokens);
          this.endIfPrecise(index);
          report();
        },
      });
    for (const [index, { input, windows }] of this.prepared.texts.entries())
      await scoreText(input, windows, {
        recorded: this.recordedWindows[index]!,
        signal,
        onWindow: (window) => {
          onWindow?.(window);
          this.windowsDone += 1;
          report();
        },
      });
  }

  private endIfPrecise(index: number): void {
    const tally = this.tallies[index]!;
    if (!tally.stop) return;
    this.options.onStop?.(tally.stop, tally.surplus());
    for (const { id } of this.prepared.compared[index]!.input.problems) if (!tally.counts(id)) this.settled[index]!.add(id);
  }

  /** At the rate of scoring so far; null before there is one. */
  private remainingMs(): number | null {
    const made = this.begun ? this.done - this.begun.done : 0;
    return made > 0 ? ((this.total - this.done) * (performance.now() - this.begun!.at)) / made : null;
  }
}
