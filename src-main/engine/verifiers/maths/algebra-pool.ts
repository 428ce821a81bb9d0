/**
 * The threads that compare by computer algebra. They start with the first question, wait without keeping the process alive, and are ended
 * and replaced when a question takes too long, so that none ever hangs.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RoundoffError } from '#contract/errors.ts';
import type { AlgebraQuestion, AlgebraReply } from './algebra-messages.ts';
import { OutOfTime } from './time-budget.ts';

const threads = 2;
/** Processor time one question may take; starting a thread is not counted. */
const limitMs = 300;
/** Waiting time after which a question is given up even where the machine gave the thread no time to compute. */
const patienceMs = 10_000;
const memoryMb = 384;

export class AlgebraPool {
  private readonly idle: (AlgebraThread | null)[] = new Array(threads).fill(null);
  private readonly waiting: (() => void)[] = [];
  private readonly started = new Set<AlgebraThread>();

  /** Starts a thread where none is, so that the first question need not wait for it. */
  warm(): void {
    if (this.started.size === 0 && this.idle.length > 0) this.idle.splice(this.idle.indexOf(null), 1, this.start());
  }

  /** Whether two formulas are equal, null when computer algebra cannot tell. Throws OutOfTime. */
  async equal(question: AlgebraQuestion): Promise<boolean | null> {
    while (this.idle.length === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    let thread = this.idle.shift() ?? this.start();
    try {
      return await thread.ask(question);
    } catch (error) {
      this.started.delete(thread);
      void thread.end();
      thread = this.start();
      throw error;
    } finally {
      // Threads that run come first, so that a second one only starts when both are needed.
      this.idle.unshift(thread);
      this.waiting.shift()?.();
    }
  }

  /** Ends the threads; a later question starts new ones. */
  async dispose(): Promise<void> {
    const ending = [...this.started];
    this.started.clear();
    this.idle.fill(null);
    await Promise.all(ending.map((thread) => thread.end()));
  }

  private start(): AlgebraThread {
    const thread = new AlgebraThread();
    this.started.add(thread);
    return thread;
  }
}

class AlgebraThread {
  private readonly worker = new Worker(threadEntry(), { resourceLimits: { maxOldGenerationSizeMb: memoryMb } });
  private readonly ready = this.reply('ready');

  constructor() {
    this.worker.unref();
    // A start that fails is reported to whoever asks.
    this.ready.catch(() => undefined);
  }

  /** Keeps the process alive until there is an answer. */
  async ask(question: AlgebraQuestion): Promise<boolean | null> {
    const watch = new AbortController();
    this.worker.ref();
    try {
      await this.ready;
      const before = await this.worker.cpuUsage();
      const answer = this.reply('answer').then((reply) => (reply.type === 'answer' ? reply.equal : null));
      this.worker.postMessage(question);
      return await Promise.race([answer, this.expiry(before, watch.signal)]);
    } finally {
      watch.abort();
      this.worker.unref();
    }
  }

  /** Not waited for longer than a moment: a thread inside one long native operation ends after it. */
  async end(): Promise<void> {
    await Promise.race([this.worker.terminate(), delay(50)]);
  }

  private reply(type: AlgebraReply['type']): Promise<AlgebraReply> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        act();
      };
      const onMessage = (reply: AlgebraReply) => reply.type === type && settle(() => resolve(reply));
      const onError = (error: Error & { code?: string }) =>
        settle(() => reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? new OutOfTime() : error));
      const onExit = () => settle(() => reject(new OutOfTime()));
      this.worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    });
  }

  /** Rejects once the thread has computed for the limit. */
  private async expiry(before: NodeJS.CpuUsage, signal: AbortSignal): Promise<never> {
    const started = performance.now();
    let leftMs = limitMs;
    for (;;) {
      await delay(leftMs, signal);
      const used = await Promise.race([this.worker.cpuUsage(before).catch(() => null), delay(50, signal)]);
      const usedMs = used ? (used.user + used.system) / 1000 : limitMs;
      if (usedMs >= limitMs * 0.9 || performance.now() - started > patienceMs) throw new OutOfTime();
      leftMs = Math.max(20, limitMs - usedMs);
    }
  }
}

/** Stays pending once the signal is aborted. */
function delay(ms: number, signal?: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), ms);
    signal?.addEventListener('abort', () => clearTimeout(timer), { once: true });
  });
}

/** The source beside this file, or what the packaged app's build made of it. */
function threadEntry(): string {
  const places = ['./algebra-thread.ts', './algebra-thread.js', '../algebra-thread.js'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  throw new RoundoffError('internal', `the algebra thread's code is missing (looked for ${paths.join(', ')})`, 'Reinstall Roundoff.');
}
