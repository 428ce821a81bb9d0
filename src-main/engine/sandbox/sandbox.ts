/**
 * Runs programs that models wrote, each in a fresh process (docs/sandbox.md says what that protects and what not). A sandbox is probed before
 * it runs anything; several answers run side by side.
 */
import { availableParallelism } from 'node:os';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { cacheFolder, type SandboxFiles, sandboxFiles } from './files.ts';
import type { Isolation } from './launcher.ts';
import { defaultLimits, type SandboxLimits, startMs } from './limits.ts';
import type { ChildRun } from './messages.ts';
import { probeIsolation, unavailable } from './probe-isolation.ts';
import { SandboxProcess, type SandboxReply, type SandboxStop } from './sandbox-process.ts';
import { Semaphore } from './semaphore.ts';
import { ensureSnapshot } from './snapshot.ts';

export interface Program {
  code: string;
  /** Null for a program that reads standard input. */
  functionName: string | null;
  inputs: readonly string[];
}

export type TestRun = ChildRun | { outcome: 'stopped'; reason: Exclude<SandboxStop, 'cancelled'> };

export interface RunOptions {
  signal?: AbortSignal;
  /** Called after each test; running ends when it says false. */
  onTest(run: TestRun, index: number): boolean;
}

export interface SandboxOptions {
  limits?: Partial<SandboxLimits>;
  /** Answers at a time. */
  parallel?: number;
  cacheDir?: string;
  /** Tries these only. */
  isolations?: readonly Isolation[];
}

/** Probes, and starts an interpreter once. Throws `sandbox-unavailable`. */
export async function openSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const limits = { ...defaultLimits, ...options.limits };
  const files = sandboxFiles();
  const isolation = await probeIsolation(files, limits, options.isolations);
  const snapshotFile = await ensureSnapshot(files, isolation, options.cacheDir ?? cacheFolder());
  return new Sandbox(files, isolation, snapshotFile, limits, options.parallel ?? availableParallelism());
}

export class Sandbox {
  readonly isolation: Isolation;
  readonly limits: SandboxLimits;
  private readonly files: SandboxFiles;
  private readonly snapshotFile: string;
  private readonly places: Semaphore;

  constructor(files: SandboxFiles, isolation: Isolation, snapshotFile: string, limits: SandboxLimits, parallel: number) {
    this.files = files;
    this.isolation = isolation;
    this.snapshotFile = snapshotFile;
    this.limits = limits;
    this.places = new Semaphore(parallel);
  }

  /**
   * Reads a program when it is its turn, and runs the tests in order until `onTest` says false. Resolves with why the program cannot be run at all, or null. Throws `cancelled`, and
   * `sandbox-unavailable` when the interpreter does not start.
   */
  async run(read: () => Program, options: RunOptions): Promise<string | null> {
    const release = await this.places.take();
    try {
      throwIfCancelled(options.signal, 'Running the code');
      return await this.runAlone(read(), options);
    } finally {
      release();
    }
  }

  private async runAlone(program: Program, { signal, onTest }: RunOptions): Promise<string | null> {
    const child = await this.start();
    const cancel = () => child.stop('cancelled');
    signal?.addEventListener('abort', cancel);
    try {
      const loaded = await child.ask({ type: 'load', code: program.code, functionName: program.functionName });
      throwIfCancelled(signal, 'Running the code');
      if (loaded.type !== 'loaded') {
        onTest(toRun(loaded), 0);
        return null;
      }
      if (loaded.error !== null) return loaded.error;
      for (const [index, input] of program.inputs.entries()) {
        const reply = await child.ask({ type: 'run', input });
        throwIfCancelled(signal, 'Running the code');
        if (!onTest(toRun(reply), index)) break;
      }
      return null;
    } finally {
      signal?.removeEventListener('abort', cancel);
      await child.end();
    }
  }

  /** A process whose interpreter waits for a program. One that does not start gets a second chance: the system may have been out of memory. */
  private async start(): Promise<SandboxProcess> {
    const { files, isolation, limits, snapshotFile } = this;
    const { memoryBytes, outputBytes } = limits;
    const settings = { mode: 'answer' as const, pyodideDir: files.pyodideDir, snapshotFile, memoryBytes, outputBytes, probe: null };
    let complaint = '';
    for (let attempt = 0; attempt < 2; attempt++) {
      const child = new SandboxProcess({ files, settings, isolation, cpuSeconds: limits.totalCpuMs / 1000 + 10 }, limits);
      const reply = await child.ask(null, startMs);
      if (reply.type === 'ready') return child;
      await child.end();
      complaint = child.complaints.trim().split('\n').at(-1) ?? '';
    }
    throw unavailable(`its interpreter does not start${complaint ? ` (${complaint.slice(0, 200)})` : ''}`);
  }
}

function toRun(reply: SandboxReply): TestRun {
  if (reply.type === 'ran') return reply;
  if (reply.type !== 'stopped') return { outcome: 'stopped', reason: 'ended' };
  if (reply.reason !== 'cancelled') return { outcome: 'stopped', reason: reply.reason };
  throw new RoundoffError('cancelled', 'Running the code was cancelled.', 'Start it again when you need it.');
}
