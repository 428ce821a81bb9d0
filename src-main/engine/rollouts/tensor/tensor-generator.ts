/** Generation by tensor operations, on whatever backend is active. */
import type * as tf from '@tensorflow/tfjs-core';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { Batch, claimable, type Span } from '../batch.ts';
import { isDropped } from '../drop-list.ts';
import {
  type GenerationOptions,
  type GenerationRequest,
  type Generator,
  type GeneratorOptions,
  type SamplingSettings,
  validateGeneration,
} from '../settings.ts';
import { TensorDecoder } from './tensor-decoder.ts';

export class TensorGenerator implements Generator {
  readonly implementation = 'tensor';
  readonly reason: string | null;
  private model: LanguageModel;
  private readonly slots: number;
  private readonly capacity: number;

  constructor(model: LanguageModel, { slots, capacity }: GeneratorOptions, reason: string | null = null) {
    this.reason = reason;
    this.model = model;
    this.slots = slots;
    this.capacity = capacity;
  }

  async run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void> {
    const { config } = this.model;
    validateGeneration(requests, settings, config, this.capacity);
    let claimed = 0;
    const claim = (most: number) => {
      const first = claimed;
      claimed += claimable(requests, first, most);
      return requests.slice(first, claimed).map((request, place) => ({ index: first + place, request }));
    };
    const slots = Array.from({ length: this.slots }, (_, slot) => slot);
    const shape = { slots, vocabSize: config.vocabSize, maxRows: Infinity };
    const dropped = options.dropList?.words ?? null;
    const batch = new Batch(shape, settings, config.eosTokenIds, claim, (index) => isDropped(dropped, index));
    const decoder = new TensorDecoder(this.model, this.slots, this.capacity);
    let finished = 0;
    try {
      for (let spans = batch.plan(); spans.length > 0; spans = batch.plan()) {
        throwIfCancelled(options.signal, 'Generation');
        for (const { from, to } of batch.copies) decoder.copySlot(from, to);
        for (const { index, ...result } of batch.accept({ values: await this.logits(decoder, spans) })) {
          finished++;
          options.onResult({ key: requests[index]!.key, ...result });
        }
        options.onProgress?.({ finished, total: requests.length, generatedTokens: batch.generatedTokens });
        // Lets timers, messages and a cancellation through between steps.
        await new Promise((resolve) => setImmediate(resolve));
      }
      throwIfCancelled(options.signal, 'Generation');
    } finally {
      decoder.dispose();
    }
  }

  update(model: LanguageModel): boolean {
    if (JSON.stringify(model.config) !== JSON.stringify(this.model.config)) return false;
    this.model = model;
    return true;
  }

  async dispose(): Promise<void> {}

  /** Logits after each span, [spans, vocab]. Spans at position 0 are prompts, all others single tokens. */
  private async logits(decoder: TensorDecoder, spans: readonly Span[]): Promise<Float32Array> {
    const { vocabSize } = this.model.config;
    const rows = new Float32Array(spans.length * vocabSize);
    const generating = spans.filter(({ position }) => position > 0);
    if (generating.length > 0) {
      const ids = new Int32Array(this.slots);
      // Slots that have no token in this step compute one all the same; it goes where no sequence has been yet.
      const positions = new Int32Array(this.slots).fill(this.capacity - 1);
      for (const { slot, position, ids: tokens } of generating) {
        ids[slot] = tokens[0]!;
        positions[slot] = position;
      }
      const values = await read(decoder.step(ids, positions));
      generating.forEach(({ slot }, row) => {
        rows.set(values.subarray(slot * vocabSize, (slot + 1) * vocabSize), row * vocabSize);
      });
    }
    const prompts = spans.filter(({ position }) => position === 0);
    for (const [index, { slot, ids }] of prompts.entries()) {
      rows.set(await read(decoder.prefill(slot, Array.from(ids))), (generating.length + index) * vocabSize);
    }
    return rows;
  }
}

async function read(tensor: tf.Tensor): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}
