/**
 * Times generation with a loaded model: prompts of random tokens, sampling at temperature 0.6 and top-p 0.95, end tokens ignored so that every
 * sequence has the same length. Best of several runs after one warm-up; creating the generator is not timed.
 */
import { RandomStream } from '../data/random-stream.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { createGenerator, type GenerationRequest, type Generator } from '../rollouts/generator.ts';

export interface Timing {
  /** Of the fastest run. */
  milliseconds: number;
  tokensPerSecond: number;
}

export interface PrefillOptions {
  /** Prompts computed together. */
  batch: number;
  promptTokens: number;
  repeats: number;
  implementation?: Generator['implementation'];
}

export interface DecodeOptions extends PrefillOptions {
  newTokens: number;
}

/** Prompt tokens per second up to the first generated token of each prompt. */
export async function timePrefill(model: LanguageModel, options: PrefillOptions): Promise<Timing> {
  return timeGeneration(model, { ...options, newTokens: 1 }, options.batch * options.promptTokens);
}

/** Generated tokens per second, the computation of the prompts included. */
export async function timeDecode(model: LanguageModel, options: DecodeOptions): Promise<Timing> {
  return timeGeneration(model, options, options.batch * options.newTokens);
}

async function timeGeneration(model: LanguageModel, options: DecodeOptions, tokens: number): Promise<Timing> {
  const { batch, promptTokens, newTokens, repeats, implementation } = options;
  const requests = randomRequests(batch, promptTokens, model.config.vocabSize);
  const settings = { temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: newTokens, stopTokenIds: [], ignoreEndTokens: true };
  const generator = createGenerator(model, { slots: batch, capacity: promptTokens + newTokens, implementation });
  let milliseconds = Number.POSITIVE_INFINITY;
  try {
    for (let repeat = 0; repeat <= repeats; repeat++) {
      const start = performance.now();
      await generator.run(requests, settings, { onResult: () => {} });
      if (repeat > 0) milliseconds = Math.min(milliseconds, performance.now() - start);
    }
  } finally {
    await generator.dispose();
  }
  return { milliseconds, tokensPerSecond: (1000 * tokens) / milliseconds };
}

function randomRequests(count: number, promptTokens: number, vocabSize: number): GenerationRequest[] {
  const random = new RandomStream(0, 'bench', 'prompts');
  return Array.from({ length: count }, (_, index) => ({
    key: String(index),
    promptIds: Array.from({ length: promptTokens }, () => random.integer(0, vocabSize - 1)),
    seed: 0,
    stream: String(index),
  }));
}
