/**
 * What a caller asks the generator for, and what comes back. Randomness depends on (seed, stream, step) alone, so a completion is the same
 * whatever else is generated beside it.
 */

import { RoundoffError } from '#contract/errors.ts';
import type { FinishReason } from '#contract/worker.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { DropList } from './drop-list.ts';

export interface SamplingSettings {
  /** 0 means greedy. */
  temperature: number;
  /** Keep the smallest set of most probable tokens that holds at least this probability; 1 keeps all. Applied after top-k. */
  topP: number;
  /** Keep the k most probable tokens; 0 keeps all. */
  topK: number;
  maxNewTokens: number;
  /** These end a sequence, as the model's own end-of-sequence tokens do. */
  stopTokenIds: number[];
  /** Go on after the model's end-of-sequence tokens; stop tokens still end a sequence. */
  ignoreEndTokens?: boolean;
  /** Return the log-probability of every generated token under softmax(logits / temperature), before top-k and top-p; greedy uses 1. */
  logprobs?: boolean;
}

export interface GenerationRequest {
  key: string;
  promptIds: readonly number[];
  seed: number;
  /** Name of the request's random stream, e.g. `sums/17`. */
  stream: string;
}

export interface GenerationResult {
  key: string;
  /** The generated tokens. With reason `stop` the last one is the token that ended the sequence. */
  tokenIds: number[];
  finishReason: FinishReason;
  logprobs: number[] | null;
}

export interface GenerationProgress {
  finished: number;
  total: number;
  generatedTokens: number;
}

export interface GenerationOptions {
  signal?: AbortSignal;
  /** Requests to be given up while the run goes on; for one that has just ended the result may come all the same. */
  dropList?: DropList;
  /** Called as each sequence ends, in no particular order. */
  onResult(result: GenerationResult): void;
  onProgress?(progress: GenerationProgress): void;
}

/** `lossless`: half precision where that changes no value; `half`: all dense weights rounded to it. */
export type WeightPrecision = 'float32' | 'lossless' | 'half';

/** How keys and values are held; `float16` rounds them to it, within its range. */
export type CacheType = 'float32' | 'float16';

export interface GeneratorOptions {
  /** Sequences generated at the same time. */
  slots: number;
  /** Most tokens of a sequence, prompt included. */
  capacity: number;
  /** Threads of the CPU decode engine; all cores when left out. */
  threads?: number;
  /** Most bytes of float32 weights the CPU decode engine may hold; a quarter of the memory this process may use when left out. */
  weightBudgetBytes?: number;
  /** Decode steps that the GPU decode engine computes before it reports tokens; results do not depend on it. */
  stepsPerSubmit?: number;
  /** How the GPU decode engine holds dense weights; `lossless` when left out. */
  weightPrecision?: WeightPrecision;
  /** How the GPU decode engine holds keys and values that the model itself does not quantize; `float32` when left out. */
  cacheType?: CacheType;
  /** Take all memory that the slots may ever need at once, so that a run that does not fit fails at its start. */
  reserve?: boolean;
}

export interface Generator {
  readonly implementation: 'cpu' | 'gpu' | 'tensor';
  /** Why the backend's faster engine does not compute, as a sentence to log; null where it does or there is none. */
  readonly reason: string | null;
  /** Generates one completion per request. Resolves when all ended. @throws RoundoffError `bad-input`, `cancelled`, `numeric` */
  run(requests: readonly GenerationRequest[], settings: SamplingSettings, options: GenerationOptions): Promise<void>;
  /**
   * Takes the present weights of `model`, which then is the one generated with; much faster than a new generator. False when it differs in more
   * than values (architecture, transforms), and nothing has changed then. Not during a run.
   */
  update(model: LanguageModel): boolean;
  /** Frees what the generator holds; the model is not touched. */
  dispose(): Promise<void>;
}

/** Refuses settings and requests that cannot be honoured, before anything runs. */
export function validateGeneration(
  requests: readonly GenerationRequest[],
  settings: SamplingSettings,
  config: ModelConfig,
  capacity: number,
): void {
  validateSettings(settings);
  const problems: string[] = [];
  for (const { key, promptIds } of requests) {
    const outside = promptIds.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
    if (promptIds.length === 0) problems.push(`${key}: the prompt is empty`);
    else if (outside !== undefined) problems.push(`${key}: token ${outside} lies outside the vocabulary of ${config.vocabSize}`);
    else if (promptIds.length + settings.maxNewTokens > capacity) {
      problems.push(`${key}: ${promptIds.length} prompt tokens and ${settings.maxNewTokens} new ones exceed the capacity of ${capacity}`);
    }
  }
  if (problems.length > 0) {
    const others = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    const hint = 'Shorten the prompts, lower the number of new tokens, or create the generator with a larger capacity.';
    throw new RoundoffError('bad-input', `Cannot generate for ${problems[0]}${others}.`, hint, { problems });
  }
}

function validateSettings({ temperature, topP, topK, maxNewTokens }: SamplingSettings): void {
  const problems: string[] = [];
  if (!(temperature >= 0 && temperature < Infinity)) problems.push(`temperature is ${temperature}; it must be 0 or more`);
  if (!(topP > 0 && topP <= 1)) problems.push(`topP is ${topP}; it must be above 0 and at most 1`);
  if (!Number.isInteger(topK) || topK < 0) problems.push(`topK is ${topK}; it must be a whole number, 0 for no limit`);
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) problems.push(`maxNewTokens is ${maxNewTokens}; it must be at least 1`);
  if (problems.length > 0) {
    throw new RoundoffError('bad-input', `Sampling settings: ${problems.join('; ')}.`, 'Correct the sampling settings.', { problems });
  }
}
