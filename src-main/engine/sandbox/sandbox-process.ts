/** One sandboxed process as its parent sees it: requests and replies, the limits it is held to, and its end. */
import type { ChildProcess } from 'node:child_process';
import { type Launch, launch } from './launcher.ts';
import { processBytes, type SandboxLimits } from './limits.ts';
import type { ChildReply, ChildRequest } from './messages.ts';
import { processUsage } from './process-usage.ts';
import { parseReply } from './replies.ts';

/** Why there will be no reply. `ended`: the process ended by itself, or said what makes no sense. */
export type SandboxStop = 'time' | 'memory' | 'output' | 'ended' | 'cancelled';

export type SandboxReply = ChildReply | { type: 'stopped'; reason: SandboxStop };

const pollMs = 50;

export class SandboxProcess {
  /** The end of what the process complained about, for messages about failed starts. */
  complaints = '';
  private readonly child: ChildProcess;
  private readonly limits: SandboxLimits;
  private readonly startedAt = performance.now();
  private readonly closed: Promise<void>;
  private waiting: ((reply: SandboxReply) => void) | null = null;
  private chunks: Buffer[] = [];
  private heldBytes = 0;
  private stopped: SandboxStop | null = null;

  constructor(options: Launch, limits: SandboxLimits) {
    this.limits = limits;
    this.child = launch(options);
    this.closed = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.complaints = error.message;
        this.stop('ended');
        if (this.child.pid === undefined) resolve();
      });
      this.child.once('close', () => {
        this.stop('ended');
        resolve();
      });
    });
    this.child.stdin!.on('error', () => undefined);
    this.child.stdout!.on('data', (bytes: Buffer) => this.receive(bytes));
    this.child.stderr!.on('data', (bytes: Buffer) => {
      this.complaints = (this.complaints + bytes.toString('utf8')).slice(-2000);
    });
  }

  /** Sends a request (null: only waits, as for `ready`) and waits for its reply within the limits of one test and of the whole. */
  ask(request: ChildRequest | null, wallMs = this.limits.testWallMs): Promise<SandboxReply> {
    if (this.stopped) return Promise.resolve({ type: 'stopped', reason: this.stopped });
    const before = this.cpuMs();
    const askedAt = performance.now();
    return new Promise((resolve) => {
      const timer = setInterval(() => this.check(before, askedAt, wallMs), pollMs);
      this.waiting = (reply) => {
        clearInterval(timer);
        this.waiting = null;
        resolve(reply);
      };
      if (request) this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** Ends the process and everything it started. */
  stop(reason: SandboxStop): void {
    this.stopped ??= reason;
    this.chunks = [];
    this.kill();
    this.waiting?.({ type: 'stopped', reason: this.stopped });
  }

  /** Resolves when nothing of it is left. */
  async end(): Promise<void> {
    this.stop('ended');
    await this.closed;
  }

  private cpuMs(): number {
    return (this.child.pid && processUsage(this.child.pid)?.cpuMs) || 0;
  }

  private check(cpuBefore: number, askedAt: number, wallMs: number): void {
    const now = performance.now();
    const usage = this.child.pid ? processUsage(this.child.pid) : null;
    const { testCpuMs, totalCpuMs, totalWallMs, memoryBytes } = this.limits;
    if (usage && usage.residentBytes > memoryBytes + processBytes) this.stop('memory');
    else if (now - askedAt > wallMs || now - this.startedAt > totalWallMs) this.stop('time');
    else if (usage && (usage.cpuMs - cpuBefore > testCpuMs || usage.cpuMs > totalCpuMs)) this.stop('time');
  }

  private receive(bytes: Buffer): void {
    if (this.stopped) return;
    const end = bytes.indexOf(10);
    this.chunks.push(end < 0 ? bytes : bytes.subarray(0, end));
    this.heldBytes += bytes.length;
    // As JSON a byte takes up to six; what goes beyond was not written by our code.
    if (this.heldBytes > 12 * this.limits.outputBytes + 65_536) this.stop('output');
    if (end < 0 || this.stopped) return;
    const reply = parseReply(Buffer.concat(this.chunks).toString('utf8'));
    this.chunks = [];
    this.heldBytes = 0;
    // One line per request: more, or none that was asked for, is a process that no longer follows its code.
    if (reply && this.waiting && end === bytes.length - 1) this.waiting(reply);
    else this.stop('ended');
  }

  private kill(): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      if (process.platform === 'win32') this.child.kill('SIGKILL');
      else process.kill(-pid, 'SIGKILL');
    } catch (error) {
      if ((error as { code?: string }).code !== 'ESRCH') throw error;
    }
  }
}
