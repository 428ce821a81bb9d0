/**
 * Starts one worker process, watches it and ends it. A state machine:
 * starting → running → (stopping →) exited, and crashed from any state when the process ends in a way nobody asked for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { MainToWorker, RunEvent, RunRequest, WorkerToMain } from '#contract/worker.ts';
import { OutputTail } from './output-tail.ts';
import { isEnding } from './recorder.ts';
import { workerEnvironment } from './worker-environment.ts';

export type SupervisorState = 'starting' | 'running' | 'stopping' | 'exited' | 'crashed';

export interface WorkerExit {
  state: 'exited' | 'crashed';
  code: number | null;
  signal: string | null;
  /** Why the supervisor itself ended the process, or null. */
  reason: string | null;
  /** The end of what the process printed. */
  output: string;
}

export interface SupervisorTimeouts {
  /** Until the worker says it is ready. */
  readyMs: number;
  /** Without any message, heartbeats included. Native code may keep a worker silent for minutes. */
  silenceMs: number;
  /** Between cancel or stop and the kill, and between a run's last event and the end of its process. */
  stopMs: number;
}

export interface SupervisorOptions {
  nodeFile: string;
  workerEntry: string;
  onEvents(events: RunEvent[]): void;
  timeouts?: Partial<SupervisorTimeouts>;
}

const defaultTimeouts: SupervisorTimeouts = { readyMs: 60_000, silenceMs: 15 * 60_000, stopMs: 20_000 };

export class WorkerSupervisor {
  state: SupervisorState = 'starting';
  /** Settles once the process is gone and every message from it has been delivered. Never rejects. */
  readonly done: Promise<WorkerExit>;
  private readonly child: ChildProcess;
  private readonly request: RunRequest;
  private readonly options: SupervisorOptions;
  private readonly timeouts: SupervisorTimeouts;
  private readonly output = new OutputTail();
  private timer: NodeJS.Timeout | undefined;
  private reason: string | null = null;
  private startFailure: string | null = null;

  constructor(request: RunRequest, options: SupervisorOptions) {
    this.request = request;
    this.options = options;
    this.timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.child = spawn(options.nodeFile, [options.workerEntry], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: workerEnvironment(process.env),
      windowsHide: true,
    });
    this.child.stdout?.on('data', (bytes: Buffer) => this.output.push(bytes));
    this.child.stderr?.on('data', (bytes: Buffer) => this.output.push(bytes));
    this.child.on('message', (message) => this.receive(message as WorkerToMain));
    this.done = new Promise((resolve) => {
      this.child.on('error', (error) => {
        this.startFailure = `the process could not be started: ${error.message}`;
        if (this.child.pid === undefined) resolve(this.end(null, null));
      });
      this.child.on('close', (code, signal) => resolve(this.end(code, signal)));
    });
    this.watch(this.timeouts.readyMs, 'it did not become ready in time');
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Asks the worker to end (`stop` keeps the run resumable by name); kills it when it does not in time. */
  requestEnd(message: 'cancel' | 'stop'): void {
    if (this.state !== 'starting' && this.state !== 'running') return;
    this.state = 'stopping';
    this.send({ type: message });
    this.watch(this.timeouts.stopMs, 'it did not stop in time');
  }

  /** Ends the process at once. */
  kill(reason: string): void {
    this.reason ??= reason;
    this.child.kill('SIGKILL');
  }

  private receive(message: WorkerToMain): void {
    if (message.type === 'ready' && this.state === 'starting') {
      this.state = 'running';
      this.send({ type: 'run', request: this.request });
    }
    if (this.state === 'running') this.watch(this.timeouts.silenceMs, 'it gave no sign of life');
    if (message.type !== 'events') return;
    // A driver that hangs keeps a process from leaving.
    if (message.events.some(isEnding)) this.watch(this.timeouts.stopMs, 'it did not end after its work');
    try {
      this.options.onEvents(message.events);
    } catch (error) {
      this.kill(`its events could not be recorded: ${(error as Error).message}`);
    }
  }

  private send(message: MainToWorker): void {
    if (this.child.connected) this.child.send(message, () => undefined);
  }

  private watch(limitMs: number, reason: string): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.kill(`${reason} (${Math.round(limitMs / 1000)} s)`), limitMs);
  }

  private end(code: number | null, signal: NodeJS.Signals | null): WorkerExit {
    clearTimeout(this.timer);
    const asked = this.state === 'stopping' || (this.state === 'running' && code === 0);
    this.state = asked ? 'exited' : 'crashed';
    return { state: this.state, code, signal, reason: this.reason ?? this.startFailure, output: this.output.text() };
  }
}
