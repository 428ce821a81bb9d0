/**
 * Progress of an evaluation: what is done, how fast tokens come, and how long the rest takes. The rest is counted in tokens, benchmark by
 * benchmark: a completion of a competition problem may take fifty times as long as that of a sum. Of running sequences their number and all
 * their tokens together are known; each is taken to get an equal share from when it began.
 */
import type { BenchmarkProgress } from '#contract/worker.ts';
import type { BenchmarkTally } from './benchmark-tally.ts';
import { LengthModel, type LengthObservation } from './length-model.ts';

export interface EvaluationProgress {
  /** Completions, those recorded earlier included. */
  done: number;
  total: number;
  /** Tokens generated now, unfinished completions included. */
  generatedTokens: number;
  /** Of late. */
  tokensPerSecond: number | null;
  ratePerSecond: number | null;
  remainingMs: number | null;
  benchmarks: BenchmarkProgress[];
}

/** A completion as the meter sees it. */
export interface MeteredCompletion {
  benchmark: string;
  /** The tokens that are one unit of its length: what an earlier completion of the problem took, or 1 where that is not known. */
  unit: number;
}

export interface MeterSettings {
  tallies: readonly BenchmarkTally[];
  /** To be generated, in the order they are begun. */
  pending: ReadonlyMap<string, MeteredCompletion>;
  /** Those recorded earlier. */
  recorded: readonly (MeteredCompletion & { tokens: number })[];
  /** Sequences generated side by side. */
  slots: number;
  maxNewTokens: number;
  report?: ((progress: EvaluationProgress) => void) | undefined;
  now?: () => number;
}

/** Before this, a rate would mostly be chance. */
const settleMs = 500;
/** The rate of late is that of about this long. */
const windowMs = 10_000;
/** Between two marks of the rate, and between two estimates of what is left. */
const markMs = 1_000;

/** Counts what is done and tells how fast. Completions recorded earlier count as done, not towards the rate. */
export class EvaluationMeter {
  private readonly settings: MeterSettings;
  private readonly now: () => number;
  private readonly startedAt: number;
  private readonly waiting: Map<string, MeteredCompletion>;
  /** The clock at which each running completion began. */
  private readonly running = new Map<string, { completion: MeteredCompletion; begun: number }>();
  private readonly lengths = new Map<string, LengthObservation[]>();
  /** Tokens that a sequence running all along would have. */
  private clock = 0;
  /** Empty until the first tokens come: preparing the generator is no part of the rate. */
  private marks: { at: number; tokens: number; clock: number }[] = [];
  private begunAt: number | null = null;
  private left: { at: number; clock: number; steps: number | null } | null = null;
  private made = 0;
  private tokens = 0;

  constructor(settings: MeterSettings) {
    this.settings = settings;
    this.now = settings.now ?? (() => performance.now());
    this.startedAt = this.now();
    this.waiting = new Map(settings.pending);
    for (const completion of settings.recorded) this.observe(completion, completion.tokens);
    this.fillSlots();
  }

  generated(tokens: number): void {
    if (this.running.size > 0) this.clock += (tokens - this.tokens) / this.running.size;
    this.tokens = tokens;
    if (tokens > 0 && this.begunAt === null) {
      this.begunAt = this.now();
      this.marks.push({ at: this.begunAt, tokens, clock: this.clock });
    }
    this.report();
  }

  /** A completion has ended; it is done once it is in its benchmark's tally. */
  ended(key: string, tokens: number): void {
    const completion = this.running.get(key)?.completion ?? this.waiting.get(key);
    if (completion) this.observe(completion, tokens);
    this.made++;
    this.remove([key]);
  }

  /** These are not generated any more. */
  dropped(keys: Iterable<string>): void {
    this.remove(keys);
    this.left = null;
  }

  /** Over all of this execution. */
  tokensPerSecond(): number | null {
    const elapsedMs = this.now() - this.startedAt;
    return this.tokens > 0 && elapsedMs > 0 ? (this.tokens / elapsedMs) * 1000 : null;
  }

  private remove(keys: Iterable<string>): void {
    for (const key of keys) {
      this.running.delete(key);
      this.waiting.delete(key);
    }
    this.fillSlots();
  }

  private observe({ benchmark, unit }: MeteredCompletion, tokens: number): void {
    const own = this.lengths.get(benchmark) ?? [];
    own.push({ length: tokens / unit, ended: true });
    this.lengths.set(benchmark, own);
  }

  private fillSlots(): void {
    for (const [key, completion] of this.waiting) {
      if (this.running.size >= this.settings.slots) return;
      this.waiting.delete(key);
      this.running.set(key, { completion, begun: this.clock });
    }
  }

  /** Says how things stand. */
  report(): void {
    const { report, tallies } = this.settings;
    if (!report) return;
    const elapsedMs = this.begunAt === null ? 0 : this.now() - this.begunAt;
    const settled = elapsedMs >= settleMs;
    const recent = settled ? this.markedRate() : null;
    const isMoving = recent !== null && recent.tokens > 0 && recent.clock > 0;
    report({
      done: tallies.reduce((sum, { done }) => sum + done, 0),
      total: tallies.reduce((sum, { total }) => sum + total, 0),
      generatedTokens: this.tokens,
      tokensPerSecond: isMoving ? (recent.tokens / recent.elapsedMs) * 1000 : null,
      ratePerSecond: settled && this.made > 0 ? (this.made / elapsedMs) * 1000 : null,
      remainingMs: isMoving ? this.remainingMs(recent.elapsedMs / recent.clock) : null,
      benchmarks: tallies.map((tally) => tally.progress()),
    });
  }

  /** The mark before which the present rate began, a new one being set when it is due. */
  private markedRate(): { elapsedMs: number; tokens: number; clock: number } {
    const at = this.now();
    if (at - this.marks.at(-1)!.at >= markMs) {
      this.marks.push({ at, tokens: this.tokens, clock: this.clock });
      while (this.marks.length > 2 && at - this.marks[1]!.at >= windowMs) this.marks.shift();
    }
    const first = this.marks[0]!;
    return { elapsedMs: at - first.at, tokens: this.tokens - first.tokens, clock: this.clock - first.clock };
  }

  /** At the present speed of a sequence, however many run beside it: where fewer are left, it is rather less. */
  private remainingMs(msPerToken: number): number | null {
    if (this.running.size === 0) return 0;
    const at = this.now();
    if (!this.left || at - this.left.at >= markMs) this.left = { at, clock: this.clock, steps: this.remainingSteps() };
    const { clock, steps } = this.left;
    return steps === null ? null : Math.max(0, steps - (this.clock - clock)) * msPerToken;
  }

  /**
   * Tokens that the slot which is busy longest still has to generate, when every completion takes the length expected of it. Null while a
   * benchmark of which completions are left has none that ended.
   */
  private remainingSteps(): number | null {
    const running = [...this.running.values()].map(({ completion, begun }) => ({ ...completion, age: this.clock - begun }));
    const models = new Map<string, LengthModel>();
    for (const benchmark of new Set([...running, ...this.waiting.values()].map((completion) => completion.benchmark))) {
      const ages = running.filter((completion) => completion.benchmark === benchmark);
      const model = LengthModel.of([
        ...(this.lengths.get(benchmark) ?? []),
        ...ages.map(({ age, unit }) => ({ length: age / unit, ended: false })),
      ]);
      if (!model) return null;
      models.set(benchmark, model);
    }
    const expected = ({ benchmark, unit }: MeteredCompletion, age: number) =>
      Math.max(1, Math.min(this.settings.maxNewTokens - age, unit * models.get(benchmark)!.remaining(age / unit)));
    const slots = running.map((completion) => expected(completion, completion.age));
    for (const completion of this.waiting.values()) {
      const first = slots.reduce((best, steps, slot) => (steps < slots[best]! ? slot : best), 0);
      slots[first]! += expected(completion, 0);
    }
    return Math.max(0, ...slots);
  }
}
