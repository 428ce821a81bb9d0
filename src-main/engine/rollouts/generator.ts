/**
 * Batched generation: prompts in, completions out as they end. Two engines stand behind one interface, chosen by backend: the CPU decode engine
 * for `wasm`, tensor operations everywhere else. A completion depends on the model, its request and the settings, never on its batch.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { CpuGenerator } from './cpu/cpu-generator.ts';
import { unsupportedReason } from './cpu/plan.ts';
import type { Generator, GeneratorOptions } from './settings.ts';
import { TensorGenerator } from './tensor/tensor-generator.ts';

export type {
  GenerationOptions,
  GenerationProgress,
  GenerationRequest,
  GenerationResult,
  Generator,
  GeneratorOptions,
  SamplingSettings,
} from './settings.ts';

/**
 * Creates a generator for the model's present weights, on the active backend. `implementation` overrides the choice, for comparisons.
 * @throws RoundoffError `unsupported`, `out-of-memory`, `bad-input`
 */
export function createGenerator(model: LanguageModel, options: GeneratorOptions & { implementation?: 'cpu' | 'tensor' }): Generator {
  for (const name of ['slots', 'capacity'] as const) {
    if (Number.isInteger(options[name]) && options[name] > 0) continue;
    throw new RoundoffError('bad-input', `A generator needs a whole number of ${name}, not ${options[name]}.`, 'Give at least 1.');
  }
  const fitting = tf.getBackend() === 'wasm' && unsupportedReason(model.config, model.layerActivations()) === null ? 'cpu' : 'tensor';
  return (options.implementation ?? fitting) === 'cpu' ? new CpuGenerator(model, options) : new TensorGenerator(model, options);
}
