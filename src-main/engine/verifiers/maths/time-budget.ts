/**
 * How long one comparison may compute. Counted in processor time of this thread, so that a busy machine does not turn right answers into
 * wrong ones; what other threads compute meanwhile is not counted here.
 */

/** Thrown when a comparison ran out of time; becomes the verdict's detail. */
export class OutOfTime extends Error {}

const limitMs = 300;

export class TimeBudget {
  private spentMs = 0;
  private startedMs = threadMs();

  check(): void {
    if (this.spentMs + threadMs() - this.startedMs > limitMs) throw new OutOfTime();
  }

  /** Stops the clock while `work` is waited for. */
  async pausedFor<T>(work: Promise<T>): Promise<T> {
    this.spentMs += threadMs() - this.startedMs;
    try {
      return await work;
    } finally {
      this.startedMs = threadMs();
    }
  }
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
