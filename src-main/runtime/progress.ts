/** Turns counts of bytes into progress with a rate and the time left, at most ten times a second. */
import type { RuntimeName, RuntimePhase, RuntimeProgress } from '#contract/runtime.ts';

const intervalMs = 100;
/** Before this a rate says nothing. */
const settledMs = 500;

export class PhaseMeter {
  private phase: RuntimePhase = 'prepare';
  private startedAt = 0;
  private startedFrom = 0;
  private lastSent = 0;
  private readonly name: RuntimeName;
  private readonly send: (progress: RuntimeProgress) => void;

  constructor(name: RuntimeName, send: (progress: RuntimeProgress) => void) {
    this.name = name;
    this.send = send;
  }

  begin(phase: RuntimePhase): void {
    Object.assign(this, { phase, startedAt: 0, startedFrom: 0, lastSent: 0 });
    this.send({ name: this.name, phase, doneBytes: null, totalBytes: null, bytesPerSecond: null, secondsLeft: null });
  }

  /** Of the phase that was begun; its first call is where the rate starts from. */
  update(doneBytes: number, totalBytes: number | null): void {
    const now = Date.now();
    if (this.startedAt === 0) Object.assign(this, { startedAt: now, startedFrom: doneBytes });
    if (now - this.lastSent < intervalMs && doneBytes !== totalBytes) return;
    this.lastSent = now;
    const elapsedMs = now - this.startedAt;
    const bytesPerSecond = elapsedMs < settledMs ? null : ((doneBytes - this.startedFrom) * 1000) / elapsedMs;
    const secondsLeft = bytesPerSecond && totalBytes !== null ? (totalBytes - doneBytes) / bytesPerSecond : null;
    this.send({ name: this.name, phase: this.phase, doneBytes, totalBytes, bytesPerSecond, secondsLeft });
  }
}
