/**
 * One run at a time, in the order they were queued: there is one GPU. Knows nothing of studies; it takes run ids and executes them.
 */
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import type { Project } from '../project/project.ts';
import { findRun, type RunChange, updateRun } from '../project/repositories/runs.ts';
import { type ExecutionOptions, RunExecution } from './run-execution.ts';

export interface QueueOptions extends ExecutionOptions {
  emit(event: HostEvent): void;
}

export class RunQueue {
  private readonly project: Project;
  private readonly options: QueueOptions;
  private waiting: string[] = [];
  private current: RunExecution | null = null;
  private closed = false;

  constructor(project: Project, options: QueueOptions) {
    this.project = project;
    this.options = options;
  }

  get active(): number {
    return this.waiting.length + (this.current ? 1 : 0);
  }

  isActive(runId: string): boolean {
    return this.current?.runId === runId || this.waiting.includes(runId);
  }

  /** Adds runs whose records say `queued`. */
  add(runIds: readonly string[]): void {
    this.waiting.push(...runIds.filter((runId) => !this.isActive(runId)));
    this.advance();
  }

  /** Takes a waiting run out, or asks the running one to end; `settled` says when it has. */
  cancel(runId: string): void {
    if (this.waiting.includes(runId)) {
      this.change(runId, { status: 'cancelled', finishedAt: Date.now() });
      this.waiting = this.waiting.filter((id) => id !== runId);
    } else if (this.current?.runId === runId) this.endCurrent('cancel');
  }

  /** Resolves when this run is not running. */
  async settled(runId: string): Promise<void> {
    if (this.current?.runId === runId) await this.current.done;
  }

  /** Stops the running run at its next checkpoint and leaves the waiting ones to be resumed. */
  async close(): Promise<void> {
    this.closed = true;
    this.interruptWaiting(null);
    this.endCurrent('stop');
    await this.current?.done;
  }

  private endCurrent(how: 'cancel' | 'stop'): void {
    if (!this.current) return;
    this.tryChange(this.current.runId, { status: 'stopping' });
    this.current.end(how);
  }

  private advance(): void {
    const runId = this.waiting[0];
    if (this.closed || this.current || runId === undefined) return;
    const started = this.tryChange(runId, { status: 'running', startedAt: Date.now(), finishedAt: null, error: null, progress: null });
    if (!started) {
      this.interruptWaiting(null);
      return;
    }
    const execution = new RunExecution(this.project, runId, {
      ...this.options,
      onEvents: (events) => this.options.emit({ type: 'run-events', runId, events }),
    });
    // Leaves the line only now: whoever hears of the change must find the run active.
    this.current = execution;
    this.waiting.shift();
    void execution.done.then((unrecorded) => this.conclude(runId, unrecorded));
  }

  /** With an end that could not be recorded (disk full), the runs behind would fare no better: they wait to be resumed. */
  private conclude(runId: string, unrecorded: ErrorInfo | null): void {
    this.current = null;
    if (unrecorded) {
      this.tryChange(runId, { status: 'failed', error: unrecorded, finishedAt: Date.now() });
      this.interruptWaiting(unrecorded);
      return;
    }
    this.tryChange(runId, {});
    this.advance();
  }

  private interruptWaiting(error: ErrorInfo | null): void {
    const runIds = this.waiting;
    this.waiting = [];
    for (const runId of runIds) this.tryChange(runId, { status: 'interrupted', error });
  }

  /** Records a change where that is possible, and announces it in any case. False when it could not be recorded. */
  private tryChange(runId: string, change: RunChange): boolean {
    try {
      this.change(runId, change);
      return true;
    } catch (error) {
      const run = findRun(this.project.db, runId);
      if (run) this.options.emit({ type: 'run-changed', run: { ...run, error: toErrorInfo(error), ...change } });
      return false;
    }
  }

  private change(runId: string, change: RunChange): void {
    updateRun(this.project.db, runId, change);
    const run = findRun(this.project.db, runId);
    if (run) this.options.emit({ type: 'run-changed', run });
  }
}
