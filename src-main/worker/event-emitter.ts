/**
 * Numbers a run's events and sends them in batches: at most ten a second, progress merged to the latest per stage, everything else kept
 * in order. Long native calls block the timer, so a batch that is due is also sent with the next event.
 */
import type { RunEvent, RunEventBody, WorkerToMain } from '#contract/worker.ts';

const intervalMs = 100;

export class EventEmitter {
  private readonly post: (message: WorkerToMain) => void;
  private readonly runId: string;
  private seq: number;
  private pending: { body: RunEventBody; at: number }[] = [];
  private timer: NodeJS.Timeout | undefined;
  private lastFlush = 0;

  /** Numbering continues after `lastSeq`. */
  constructor(post: (message: WorkerToMain) => void, runId: string, lastSeq: number) {
    this.post = post;
    this.runId = runId;
    this.seq = lastSeq;
  }

  emit(body: RunEventBody): void {
    if (body.type === 'progress')
      this.pending = this.pending.filter((item) => item.body.type !== 'progress' || item.body.stage !== body.stage);
    this.pending.push({ body, at: Date.now() });
    if (Date.now() - this.lastFlush >= intervalMs) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), intervalMs);
  }

  log(level: 'info' | 'warning' | 'error', message: string): void {
    this.emit({ type: 'log', level, message });
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lastFlush = Date.now();
    if (this.pending.length === 0) return;
    const events = this.pending.map(({ body, at }): RunEvent => ({ ...body, runId: this.runId, seq: ++this.seq, at }));
    this.pending = [];
    this.post({ type: 'events', events });
  }
}
