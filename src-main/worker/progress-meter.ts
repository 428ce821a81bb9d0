/** Rate and time left of work that is counted; what an earlier execution had done counts as done but not towards the rate. */
export interface ProgressReading {
  done: number;
  total: number;
  ratePerSecond: number | null;
  remainingMs: number | null;
}

/** Before this, a rate would mostly be chance. */
const settleMs = 500;

export class ProgressMeter {
  private readonly startedAt: number;
  private readonly already: number;
  private readonly total: number;
  private readonly now: () => number;

  constructor(total: number, already = 0, now: () => number = () => performance.now()) {
    this.total = total;
    this.already = already;
    this.now = now;
    this.startedAt = now();
  }

  read(done: number): ProgressReading {
    const elapsedMs = this.now() - this.startedAt;
    const rate = elapsedMs < settleMs || done <= this.already ? null : ((done - this.already) / elapsedMs) * 1000;
    return { done, total: this.total, ratePerSecond: rate, remainingMs: rate === null ? null : ((this.total - done) / rate) * 1000 };
  }
}
