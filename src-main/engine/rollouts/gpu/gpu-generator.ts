/**
 * The GPU decode engine, used on the webgpu backend: kernels of our own beside the tensor library, several tokens per submit, and the ids of one
 * submit read back while the next computes. Results are a function of model, request and settings for a given number of slots: with up to eight,
 * products add up in another order than with more.
 */
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { claimable } from '../batch.ts';
import { isDropped } from '../drop-list.ts';
import {
  type GenerationOptions,
  type GenerationRequest,
  type Generator,
  type GeneratorOptions,
  type SamplingSettings,
  validateGeneration,
} from '../settings.ts';
import { Decoder } from './decoder.ts';
import { RoundRunner } from './round-runner.ts';
import { Schedule } from './schedule.ts';
import { unsupportedReason } from './shape.ts';

/** Submits on their way at a time: one computes while the other's ids are read. */
const mostInFlight = 2;
const mostPromptRows = 512;
const defaultSteps = 8;

export class GpuGenerator implements Generator {
  readonly implementation = 'gpu';
  readonly reason = null;
  private readonly decoder: Decoder;
  private state: 'idle' | 'running' | 'disposed' = 'idle';

  /** @throws RoundoffError `unsupported` for models the kernels do not cover, `out-of-memory` */
  constructor(model: LanguageModel, { slots, capacity, stepsPerSubmit: steps = defaultSteps }: GeneratorOptions) {
    const reason = unsupportedReason(model.config, model.layerActivations());
    if (reason) {
      throw new RoundoffError('unsupported', `The GPU decode engine cannot run this model: ${reason}.`, 'Use the `tensor` implementation.');
    }
    const promptRows = Math.min(mostPromptRows, slots * capacity);
    this.decoder = Decoder.create(model, { config: model.config, slots, capacity, promptRows, steps, cache: 'float32' });
  }

  /** Bytes of the GPU's memory that it holds. */
  get sizeBytes(): number {
    return this.decoder.sizeBytes;
  }

  update(model: LanguageModel): boolean {
    this.requireIdle();
    if (unsupportedReason(model.config, model.layerActivations()) || !this.decoder.fits(model)) return false;
    this.decoder.fill(model);
    return true;
  }

  async run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    this.requireIdle();
    const { config, capacity } = this.decoder.shape;
    validateGeneration(requests, settings, config, capacity);
    throwIfCancelled(options.signal, 'Generation');
    this.state = 'running';
    try {
      await this.generate(requests, settings, options);
      throwIfCancelled(options.signal, 'Generation');
    } finally {
      this.state = 'idle';
    }
  }

  async dispose(): Promise<void> {
    if (this.state === 'disposed') return;
    this.requireIdle();
    this.state = 'disposed';
    this.decoder.dispose();
  }

  private async generate(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    const { config, slots, promptRows, steps } = this.decoder.shape;
    const { signal, dropList, onResult, onProgress } = options;
    let claimed = 0;
    const claim = (most: number) => {
      const first = claimed;
      claimed += claimable(requests, first, most);
      return requests.slice(first, claimed).map((request, place) => ({ index: first + place, request }));
    };
    const endTokens = new Set([...(settings.ignoreEndTokens ? [] : config.eosTokenIds), ...settings.stopTokenIds]);
    const words = dropList?.words ?? null;
    const schedule = new Schedule({ slots, promptRows, steps }, settings, endTokens, claim, (index) => isDropped(words, index));
    const runner = new RoundRunner(this.decoder, settings, [...endTokens]);
    const flights: Promise<Uint32Array>[] = [];
    let finished = 0;
    try {
      for (;;) {
        throwIfCancelled(signal, 'Generation');
        const round = schedule.plan();
        if (round) flights.push(runner.start(round));
        if (flights.length === 0) break;
        if (round && flights.length < mostInFlight) continue;
        for (const { index, ...result } of schedule.accept(await gpu().health.wait(flights.shift()!))) {
          finished++;
          onResult({ key: requests[index]!.key, ...result });
        }
        onProgress?.({ finished, total: requests.length, generatedTokens: schedule.generatedTokens });
        // Lets timers, messages and a cancellation through between rounds.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      await Promise.allSettled(flights);
      runner.dispose();
    }
  }

  private requireIdle(): void {
    if (this.state === 'idle') return;
    throw new RoundoffError('internal', `the generator is ${this.state}`, 'Wait for a run to end, and use no disposed generator.');
  }
}
