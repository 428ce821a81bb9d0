/**
 * One run at a time, in the order they were queued: there is one GPU. Knows nothing of studies; it takes run ids and executes them.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { HostEvent, RunRecord } from '#contract/records.ts';
import type { Project } from '../project/project.ts';
import { findRun, type RunChange, updateRun } from '../project/repositories/runs.ts';
import { type ExecutionOptions, RunExecution } from './run-execution.ts';

export interface QueueOptions extends ExecutionOptions {
  emit(event: HostEvent): void;
}

export class RunQueue {
  private readonly project: Project;
  private readonly options: QueueOptions;
  private readonly waiting: string[] = [];
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

  /** Takes a waiting run out, or ends the running one. Resolves when it is over. */
  async cancel(runId: string): Promise<void> {
    const index = this.waiting.indexOf(runId);
    if (index >= 0) {
      this.waiting.splice(index, 1);
      this.change(runId, { status: 'cancelled', finishedAt: Date.now() });
      return;
    }
    if (this.current?.runId === runId) await this.end('cancel');
  }

  /** Marks the running run as stopping without waiting for its end. */
  requestCancel(runId: string): void {
    void this.cancel(runId);
  }

  /** Stops the running run at its next checkpoint and leaves the waiting ones to be resumed. */
  async close(): Promise<void> {
    this.closed = true;
    for (const runId of this.waiting.splice(0)) this.change(runId, { status: 'interrupted' });
    await this.end('stop');
  }

  private async end(how: 'cancel' | 'stop'): Promise<void> {
    const execution = this.current;
    if (!execution) return;
    this.change(execution.runId, { status: 'stopping' });
    execution.end(how);
    await execution.done;
  }

  private advance(): void {
    if (this.closed || this.current) return;
    const runId = this.waiting[0];
    if (runId === undefined) return;
    this.change(runId, { status: 'running', startedAt: Date.now(), finishedAt: null, error: null, progress: null });
    const execution = new RunExecution(this.project, runId, {
      ...this.options,
      onEvents: (events) => this.options.emit({ type: 'run-events', runId, events }),
    });
    // Leaves the line only now: whoever hears of the change must find the run active.
    this.current = execution;
    this.waiting.shift();
    void execution.done.then((unrecorded) => {
      this.current = null;
      const run = findRun(this.project.db, runId);
      if (run) this.options.emit({ type: 'run-changed', run: unrecorded ? { ...run, status: 'failed', error: unrecorded } : run });
      this.advance();
    });
  }

  private change(runId: string, change: RunChange): RunRecord {
    updateRun(this.project.db, runId, change);
    const run = findRun(this.project.db, runId);
    if (!run) throw new RoundoffError('not-found', `There is no run ${runId} in this project.`, 'Reload the list of runs.');
    this.options.emit({ type: 'run-changed', run });
    return run;
  }
}
