/**
 * Progress of an evaluation: what is done, how fast, and how long the rest takes at that rate.
 */

export interface EvaluationProgress {
  /** Completions, those recorded earlier included. */
  done: number;
  total: number;
  /** Right answers among the completions made now. */
  correct: number;
  /** Tokens generated now, unfinished completions included. */
  generatedTokens: number;
  tokensPerSecond: number | null;
  ratePerSecond: number | null;
  remainingMs: number | null;
}

/** Before this, a rate would mostly be chance. */
const settleMs = 500;

/** Counts what is done and tells how fast. Completions recorded earlier count as done, not towards the rate. */
export class EvaluationMeter {
  private readonly total: number;
  private readonly already: number;
  private readonly report: ((progress: EvaluationProgress) => void) | undefined;
  private readonly startedAt = performance.now();
  private made = 0;
  private correct = 0;
  private tokens = 0;

  constructor(total: number, already: number, report?: (progress: EvaluationProgress) => void) {
    this.total = total;
    this.already = already;
    this.report = report;
  }

  /** Reports what earlier executions left. */
  start(): void {
    this.emit();
  }

  generated(tokens: number): void {
    this.tokens = tokens;
    this.emit();
  }

  finished(correct: boolean): void {
    this.made += 1;
    if (correct) this.correct += 1;
    this.emit();
  }

  tokensPerSecond(): number | null {
    const elapsedMs = performance.now() - this.startedAt;
    return this.tokens > 0 && elapsedMs > 0 ? (this.tokens / elapsedMs) * 1000 : null;
  }

  private emit(): void {
    const elapsedMs = performance.now() - this.startedAt;
    const rate = elapsedMs < settleMs || this.made === 0 ? null : (this.made / elapsedMs) * 1000;
    const done = this.already + this.made;
    this.report?.({
      done,
      total: this.total,
      correct: this.correct,
      generatedTokens: this.tokens,
      tokensPerSecond: elapsedMs < settleMs ? null : this.tokensPerSecond(),
      ratePerSecond: rate,
      remainingMs: rate === null ? null : ((this.total - done) / rate) * 1000,
    });
  }
}
