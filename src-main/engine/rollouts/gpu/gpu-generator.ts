/**
 * The GPU decode engine, used on the webgpu backend: kernels of our own beside the tensor library, several tokens per submit, and the ids of one
 * submit read back while the next computes. Results are a function of model, request and settings for a given number of slots: with up to eight,
 * products add up in another order than with more. Weights are taken when a run begins, the first one and those after an update.
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
  type WeightPrecision,
} from '../settings.ts';
import { Decoder } from './decoder.ts';
import { RoundRunner } from './round-runner.ts';
import { Schedule } from './schedule.ts';
import { activationShape, type EngineShape, engineShape, unsupportedReason } from './shape.ts';
import { planWeights } from './weights.ts';

/** Submits on their way at a time: one computes while the other's ids are read. */
const mostInFlight = 2;

export class GpuGenerator implements Generator {
  readonly implementation = 'gpu';
  readonly reason = null;
  private model: LanguageModel;
  private readonly shape: EngineShape;
  private readonly precision: WeightPrecision;
  private decoder: Decoder | null = null;
  /** Whether the decoder holds the weights of another time. */
  private isStale = false;
  private state: 'idle' | 'running' | 'disposed' = 'idle';

  /** @throws RoundoffError `unsupported` for models the kernels do not cover */
  constructor(model: LanguageModel, options: GeneratorOptions) {
    const { config } = model;
    const reason = unsupportedReason(config, model.layerActivations());
    if (reason) {
      throw new RoundoffError('unsupported', `The GPU decode engine cannot run this model: ${reason}.`, 'Use the `tensor` implementation.');
    }
    this.model = model;
    this.precision = options.weightPrecision ?? 'lossless';
    this.shape = engineShape(config, model.layerActivations(), options);
  }

  /** Bytes of the GPU's memory that it holds. */
  get sizeBytes(): number {
    return this.decoder?.sizeBytes ?? 0;
  }

  update(model: LanguageModel): boolean {
    this.requireIdle();
    if (unsupportedReason(model.config, model.layerActivations())) return false;
    const { config, activations } = this.shape;
    const other = [model.config, model.layerActivations().map(activationShape)];
    if (JSON.stringify(other) !== JSON.stringify([config, activations])) return false;
    this.model = model;
    this.isStale = true;
    return true;
  }

  async run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    this.requireIdle();
    const { config, capacity } = this.shape;
    validateGeneration(requests, settings, config, capacity);
    throwIfCancelled(options.signal, 'Generation');
    this.state = 'running';
    try {
      await this.generate(await this.prepare(), requests, settings, options);
      throwIfCancelled(options.signal, 'Generation');
    } finally {
      this.state = 'idle';
    }
  }

  async dispose(): Promise<void> {
    if (this.state === 'disposed') return;
    this.requireIdle();
    this.state = 'disposed';
    this.decoder?.dispose();
  }

  /** A decoder with the weights of this time; where they take another form than before, a new one. @throws RoundoffError `out-of-memory` */
  private async prepare(): Promise<Decoder> {
    const { decoder, model } = this;
    if (decoder && !this.isStale) return decoder;
    const plan = await planWeights(model, this.precision);
    if (decoder && JSON.stringify(plan) === JSON.stringify(decoder.plan)) decoder.fill(model);
    else {
      decoder?.dispose();
      this.decoder = null;
      this.decoder = Decoder.create(model, this.shape, plan);
    }
    this.isStale = false;
    return this.decoder!;
  }

  private async generate(
    decoder: Decoder,
    requests: readonly GenerationRequest[],
    settings: SamplingSettings,
    options: GenerationOptions,
  ): Promise<void> {
    const { config, slots, promptRows, steps } = this.shape;
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
    const runner = new RoundRunner(decoder, settings, [...endTokens]);
    const flights: Promise<Uint32Array>[] = [];
    let finished = 0;
    try {
      for (;;) {
        throwIfCancelled(signal, 'Generation');
        const round = schedule.plan();
        if (round) flights.push(runner.start(round));
        // One that fails while another is waited for is heard of when its turn comes.
        flights.at(-1)?.catch(() => {});
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
      // A GPU that has failed does not answer any more.
      await gpu()
        .health.wait(Promise.allSettled(flights))
        .catch(() => {});
      runner.dispose();
    }
  }

  private requireIdle(): void {
    if (this.state === 'idle') return;
    throw new RoundoffError('internal', `the generator is ${this.state}`, 'Wait for a run to end, and use no disposed generator.');
  }
}
