/**
 * Batched generation: prompts in, completions out as they end. Three engines stand behind one interface: the CPU decode engine on `wasm`, for
 * models that it covers and whose float32 weights fit its share of memory, the GPU decode engine on `webgpu`, and tensor operations for everything
 * else. A completion depends on the model, its request and the settings, never on its batch.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { CpuGenerator } from './cpu/cpu-generator.ts';
import { unsupportedReason } from './cpu/plan.ts';
import { defaultWeightBudget, overBudgetReason } from './cpu/weight-budget.ts';
import { GpuGenerator } from './gpu/gpu-generator.ts';
import { unsupportedReason as gpuReason } from './gpu/shape.ts';
import type { Generator, GeneratorOptions } from './settings.ts';
import { TensorGenerator } from './tensor/tensor-generator.ts';

export { DropList } from './drop-list.ts';
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
 * Creates a generator for the model's present weights, on the active backend; its `reason` says why not by the fastest engine. `implementation`
 * overrides the choice, for comparisons.
 * @throws RoundoffError `unsupported`, `out-of-memory`, `bad-input`
 */
export function createGenerator(
  model: LanguageModel,
  options: GeneratorOptions & { implementation?: Generator['implementation'] },
): Generator {
  for (const name of ['slots', 'capacity'] as const) {
    if (Number.isInteger(options[name]) && options[name] > 0) continue;
    throw new RoundoffError('bad-input', `A generator needs a whole number of ${name}, not ${options[name]}.`, 'Give at least 1.');
  }
  if (options.implementation === 'cpu') return new CpuGenerator(model, options);
  if (options.implementation === 'gpu') return new GpuGenerator(model, options);
  const backend = tf.getBackend();
  if (options.implementation === 'tensor' || (backend !== 'wasm' && backend !== 'webgpu')) return new TensorGenerator(model, options);
  const reason = backend === 'wasm' ? cpuReason(model, options) : gpuReason(model.config, model.layerActivations());
  if (reason === null) return backend === 'wasm' ? new CpuGenerator(model, options) : new GpuGenerator(model, options);
  return new TensorGenerator(
    model,
    options,
    `The ${backend === 'wasm' ? 'CPU' : 'GPU'} decode engine does not generate with this model: ${reason}. Tensor operations do, slower.`,
  );
}

function cpuReason(model: LanguageModel, { weightBudgetBytes = defaultWeightBudget() }: GeneratorOptions): string | null {
  return unsupportedReason(model.config, model.layerActivations()) ?? overBudgetReason(model.config, weightBudgetBytes);
}
