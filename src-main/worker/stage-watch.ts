/**
 * Follows a stage by its own progress events until they tell how long the whole takes. A quantizer is judged by whole decoder layers, a
 * training by whole updates, since their parts take unequal times; the first round, which also opens files and warms up, only where it is
 * all there is.
 */
import type { RunEventBody } from '#contract/worker.ts';

type Progress = Extract<RunEventBody, { type: 'progress' }>;

interface Mark {
  elapsedMs: number;
  done: number;
}

export interface WatchSettings {
  /** Units that are one round of the same work, by unit; 1 for those not named. */
  roundOf: Readonly<Record<string, number>>;
  leastMs: number;
  leastRounds: number;
}

export class StageWatch {
  private readonly settings: WatchSettings;
  private readonly now: () => number;
  private readonly startedAt: number;
  private unit = '';
  private total = 0;
  private lastAt = 0;
  /** Ends of rounds of the present unit, its beginning first. */
  private marks: Mark[] = [];

  constructor(settings: WatchSettings, now: () => number = () => performance.now()) {
    this.settings = settings;
    this.now = now;
    this.startedAt = now();
  }

  /** True once enough was seen. */
  see({ unit, done, total }: Pick<Progress, 'unit' | 'done' | 'total'>): boolean {
    const elapsedMs = this.now() - this.startedAt;
    if (unit !== this.unit) {
      this.unit = unit;
      this.marks = [{ elapsedMs: this.lastAt, done: 0 }];
    }
    this.lastAt = elapsedMs;
    this.total = total;
    const round = this.settings.roundOf[unit] ?? 1;
    if (done > this.marks.at(-1)!.done && done % round === 0) this.marks.push({ elapsedMs, done });
    return elapsedMs >= this.settings.leastMs && this.marks.length > this.settings.leastRounds && done < total;
  }

  /** What the whole stage takes when the rest of the present unit goes on as the last rounds did; null before a round has ended. */
  predict(): { elapsedMs: number; done: number; total: number; unit: string } | null {
    const last = this.marks.at(-1);
    const first = this.marks[this.marks.length > 2 ? 1 : 0];
    if (!first || !last || last.done <= first.done) return null;
    const msEach = (last.elapsedMs - first.elapsedMs) / (last.done - first.done);
    return { elapsedMs: last.elapsedMs + (this.total - last.done) * msEach, done: last.done, total: this.total, unit: this.unit };
  }
}
