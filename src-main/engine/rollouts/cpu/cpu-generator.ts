/**
 * The CPU decode engine, used on the wasm backend: weights packed into native sessions, everything else in a memory of its own, and one thread
 * per lane of slots that decodes without tfjs. The calling thread stays free. Weights are read when the generator is created.
 */
import { availableParallelism } from 'node:os';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import {
  type GenerationOptions,
  type GenerationRequest,
  type Generator,
  type GeneratorOptions,
  type SamplingSettings,
  validateGeneration,
} from '../settings.ts';
import { preferHugePages } from './huge-pages.ts';
import { LanePool } from './lane-pool.ts';
import { controlWords, type DecodePlan, planDecoding, unsupportedReason } from './plan.ts';
import { createSharedMemory, type SharedMemory, touchPages } from './shared-memory.ts';
import { copyConstants, createSessions, type DecodeSessions, releaseSessions } from './weights.ts';

const progressIntervalMs = 100;
/** Below this many slots a thread's products are too thin to pay for it. */
const leastSlotsPerLane = 4;

export class CpuGenerator implements Generator {
  readonly implementation = 'cpu';
  readonly reason = null;
  private readonly config: LanguageModel['config'];
  private readonly options: GeneratorOptions;
  private readonly capacity: number;
  private readonly plan: DecodePlan;
  private readonly memory: SharedMemory;
  private readonly sessionThreads: number;
  private sessions: DecodeSessions;
  private readonly control: Int32Array;
  private readonly pool: LanePool;
  private state: 'idle' | 'running' | 'disposed' = 'idle';

  /** @throws RoundoffError `unsupported` for dimensions the kernels do not cover, `out-of-memory` */
  constructor(model: LanguageModel, options: GeneratorOptions) {
    const { capacity, threads = availableParallelism() } = options;
    const activations = model.layerActivations();
    const reason = unsupportedReason(model.config, activations);
    if (reason) {
      throw new RoundoffError('unsupported', `The CPU decode engine cannot run this model: ${reason}.`, 'Use the `tensor` implementation.');
    }
    this.config = model.config;
    this.options = options;
    this.capacity = capacity;
    const plan = planFor(model, options);
    const memory = createSharedMemory(plan.sizeBytes);
    preferHugePages(memory);
    if (options.reserve) touchPages(memory);
    copyConstants(model, plan, memory);
    this.plan = plan;
    this.memory = memory;
    this.sessionThreads = Math.max(1, Math.floor(threads / plan.lanes.length));
    this.sessions = createSessions(model, this.sessionThreads);
    this.control = new Int32Array(memory.buffer, plan.control, controlWords.tokens + plan.lanes.length);
    this.pool = new LanePool(plan.lanes.map((_, lane) => ({ plan, lane, memory })));
  }

  update(model: LanguageModel): boolean {
    this.requireState('idle');
    if (unsupportedReason(model.config, model.layerActivations())) return false;
    if (JSON.stringify(planFor(model, this.options)) !== JSON.stringify(this.plan)) return false;
    copyConstants(model, this.plan, this.memory);
    const before = this.sessions;
    this.sessions = createSessions(model, this.sessionThreads);
    releaseSessions(before);
    return true;
  }

  async run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    this.requireState('idle');
    validateGeneration(requests, settings, this.config, this.capacity);
    throwIfCancelled(options.signal, 'Generation');
    this.state = 'running';
    this.control.fill(0);
    const stop = () => void Atomics.store(this.control, controlWords.stop, 1);
    options.signal?.addEventListener('abort', stop, { once: true });
    try {
      await this.generate(requests, settings, options, stop);
      throwIfCancelled(options.signal, 'Generation');
    } finally {
      options.signal?.removeEventListener('abort', stop);
      this.state = 'idle';
    }
  }

  /** Ends the threads, then frees the native sessions. */
  async dispose(): Promise<void> {
    if (this.state === 'disposed') return;
    this.requireState('idle');
    this.state = 'disposed';
    await this.pool.end();
    releaseSessions(this.sessions);
  }

  private async generate(
    requests: readonly GenerationRequest[],
    settings: SamplingSettings,
    { signal, dropList, onResult, onProgress }: GenerationOptions,
    stop: () => void,
  ): Promise<void> {
    let finished = 0;
    const failures: unknown[] = [];
    const report = () => {
      try {
        onProgress?.({ finished, total: requests.length, generatedTokens: this.generatedTokens() });
      } catch (error) {
        failures.push(error);
        stop();
      }
    };
    const timer = setInterval(report, progressIntervalMs);
    const queue = requests.map(({ promptIds, seed, stream }) => ({ promptIds: [...promptIds], seed, stream }));
    try {
      const dropped = dropList?.words ?? null;
      await this.pool.run({ type: 'run', requests: queue, settings, sessions: this.sessions, dropped }, stop, ({ index, ...result }) => {
        if (signal?.aborted) return;
        finished++;
        onResult({ key: requests[index]!.key, ...result });
      });
    } finally {
      clearInterval(timer);
    }
    if (!signal?.aborted) report();
    if (failures.length > 0) throw failures[0];
  }

  private requireState(expected: string): void {
    if (this.state === expected) return;
    throw new RoundoffError('internal', `the generator is ${this.state}`, 'Wait for a run to end, and use no disposed generator.');
  }

  private generatedTokens(): number {
    return this.control.subarray(controlWords.tokens).reduce((sum, count) => sum + count, 0);
  }
}

/** Where everything of a model lies; equal plans are of models that differ in values alone. */
function planFor(model: LanguageModel, { slots, capacity, threads = availableParallelism() }: GeneratorOptions): DecodePlan {
  const lanes = Math.max(1, Math.min(threads, Math.floor(slots / leastSlotsPerLane)));
  return planDecoding(model.config, { slots, capacity, lanes, activations: model.layerActivations() });
}
