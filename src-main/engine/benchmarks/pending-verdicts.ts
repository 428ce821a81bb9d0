/**
 * Verdicts an evaluation waits for while it generates on. The first one that fails aborts the generation: completions that nobody can
 * judge are not worth making.
 */
export class PendingVerdicts {
  private readonly pending = new Set<Promise<void>>();
  private readonly failure = new AbortController();
  /** Aborted when the evaluation is cancelled or a verdict failed. */
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal | undefined) {
    this.signal = signal ? AbortSignal.any([signal, this.failure.signal]) : this.failure.signal;
  }

  add(verdict: Promise<void>): void {
    const settled: Promise<void> = verdict
      .catch((error: unknown) => {
        if (!this.failure.signal.aborted) this.failure.abort(error);
      })
      .finally(() => this.pending.delete(settled));
    this.pending.add(settled);
  }

  /** Resolves when none is outstanding, whether they failed or not. */
  async settled(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
  }

  /** Throws what the first failed verdict threw. */
  throwIfFailed(): void {
    this.failure.signal.throwIfAborted();
  }
}
