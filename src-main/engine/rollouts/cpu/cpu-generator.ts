/**
 * The CPU decode engine, used on the wasm backend: weights packed into native sessions, everything else in a memory of its own, and one thread
 * per lane of slots that decodes without tfjs. The calling thread stays free. Weights are read when the generator is created.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { fromErrorInfo, RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { FinishedSequence } from '../batch.ts';
import type { Generator, GeneratorOptions } from '../generator.ts';
import type { GenerationOptions, GenerationRequest, SamplingSettings } from '../settings.ts';
import { validateGeneration } from '../settings.ts';
import { preferHugePages } from './huge-pages.ts';
import type { LaneCommand, LaneEvent, LaneSetup } from './messages.ts';
import { controlWords, type DecodePlan, planDecoding, unsupportedReason } from './plan.ts';
import { createSharedMemory, type SharedMemory } from './shared-memory.ts';
import { copyConstants, createSessions, type DecodeSessions, releaseSessions } from './weights.ts';

const progressIntervalMs = 100;
/** Below this many slots a thread's products are too thin to pay for it. */
const leastSlotsPerLane = 4;

export class CpuGenerator implements Generator {
  readonly implementation = 'cpu';
  private readonly plan: DecodePlan;
  private readonly memory: SharedMemory;
  private readonly sessions: DecodeSessions;
  private readonly control: Int32Array;
  private readonly capacity: number;
  private threads: Worker[] = [];
  private running = false;
  private disposed = false;

  /** @throws RoundoffError `unsupported` for dimensions the kernels do not cover, `out-of-memory` */
  constructor(model: LanguageModel, { slots, capacity, threads = availableParallelism() }: GeneratorOptions) {
    const reason = unsupportedReason(model.config);
    if (reason) {
      throw new RoundoffError('unsupported', `The CPU decode engine cannot run this model: ${reason}.`, 'Use the `tensor` implementation.');
    }
    const lanes = Math.max(1, Math.min(threads, Math.floor(slots / leastSlotsPerLane)));
    this.capacity = capacity;
    this.plan = planDecoding(model.config, { slots, capacity, lanes });
    this.memory = createSharedMemory(this.plan.sizeBytes);
    preferHugePages(this.memory);
    this.control = new Int32Array(this.memory.buffer, this.plan.control, controlWords.tokens + lanes);
    copyConstants(model, this.plan, this.memory);
    this.sessions = createSessions(model, Math.max(1, Math.floor(threads / lanes)));
  }

  async run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    if (this.running) throw new RoundoffError('internal', 'the generator is already running', 'Wait for the first run to end.');
    const { signal, onResult, onProgress } = options;
    validateGeneration(requests, settings, this.plan.config, this.capacity);
    throwIfCancelled(signal, 'Generation');
    this.running = true;
    this.control.fill(0);
    const stop = () => void Atomics.store(this.control, controlWords.stop, 1);
    let finished = 0;
    const report = () => onProgress?.({ finished, total: requests.length, generatedTokens: this.generatedTokens() });
    const timer = setInterval(report, progressIntervalMs);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await this.runLanes(requests, settings, stop, (sequence) => {
        if (signal?.aborted) return;
        finished++;
        const { index, ...result } = sequence;
        onResult({ key: requests[index]!.key, ...result });
      });
      throwIfCancelled(signal, 'Generation');
      report();
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', stop);
      this.running = false;
    }
  }

  /** Ends the threads, then frees the native sessions. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    await this.endThreads(this.threads.map(() => true));
    releaseSessions(this.sessions);
  }

  /** Resolves when every lane is idle again; the first failure stops the others and is thrown then. */
  private async runLanes(
    requests: readonly GenerationRequest[],
    settings: SamplingSettings,
    stop: () => void,
    onFinished: (sequence: FinishedSequence) => void,
  ): Promise<void> {
    if (this.threads.length === 0) this.threads = this.plan.lanes.map((_, lane) => this.startThread(lane));
    const queue = requests.map(({ promptIds, seed, stream }) => ({ promptIds: [...promptIds], seed, stream }));
    let failure: unknown;
    const fail = (error: unknown) => {
      failure ??= error;
      stop();
    };
    const lanes = this.threads.map(async (thread) => {
      const handle = (event: LaneEvent) => {
        if (event.type === 'failed') fail(fromErrorInfo(event.error));
        if (event.type !== 'finished' || failure) return;
        try {
          onFinished(event.sequence);
        } catch (error) {
          fail(error);
        }
      };
      thread.ref();
      const survived = await runLane(thread, { type: 'run', requests: queue, settings }, handle).then(
        () => true,
        (error) => {
          fail(error);
          return false;
        },
      );
      thread.unref();
      return survived;
    });
    const survivors = await Promise.all(lanes);
    if (survivors.includes(false)) await this.endThreads(survivors);
    if (failure) throw failure;
  }

  /** A later run starts new ones. */
  private async endThreads(alive: boolean[]): Promise<void> {
    const living = this.threads.filter((_, lane) => alive[lane]);
    this.threads = [];
    await Promise.all(
      living.map((thread) => {
        thread.ref();
        const exit = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
        thread.postMessage({ type: 'close' } satisfies LaneCommand);
        return exit;
      }),
    );
  }

  private startThread(lane: number): Worker {
    const { plan, sessions, memory } = this;
    return new Worker(threadEntry(), { workerData: { plan, lane, sessions, memory } satisfies LaneSetup });
  }

  private generatedTokens(): number {
    return this.control.subarray(controlWords.tokens).reduce((sum, count) => sum + count, 0);
  }
}

/** Sends the command and passes events on until the thread is idle again. Rejects when the thread dies. */
function runLane(thread: Worker, command: LaneCommand, handle: (event: LaneEvent) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      settle();
    };
    const onMessage = (event: LaneEvent) => (event.type === 'idle' ? done(resolve) : handle(event));
    const onError = (error: Error) => done(() => reject(error));
    const onExit = (code: number) =>
      done(() => reject(new RoundoffError('internal', `a decode thread ended with code ${code}`, 'Please report this with the log.')));
    thread.on('message', onMessage).on('error', onError).on('exit', onExit);
    thread.postMessage(command);
  });
}

/** The source beside this file, or what the packaged app's build made of it. */
function threadEntry(): string {
  const places = ['./lane-thread.ts', './decode-lane.js', '../decode-lane.js'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  throw new RoundoffError('internal', `the decode thread's code is missing (looked for ${paths.join(', ')})`, 'Reinstall Roundoff.');
}
