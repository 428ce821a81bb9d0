/**
 * Random initialisation of a model: normal weights of a small deviation, residual outputs scaled down by the depth (GPT-2), norms at one,
 * biases at zero. The same seed gives the same values on every platform.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RandomStream } from '../data/random-stream.ts';
import type { ModelConfig } from './config.ts';
import { LanguageModel, type ParameterMap } from './language-model.ts';
import { parameterShapes } from './parameters.ts';

export interface InitialisationOptions {
  /** Standard deviation of weights and embeddings. */
  deviation?: number;
}

/** A new model with random weights. The caller disposes it. */
export function createRandomModel(config: ModelConfig, seed: number, options: InitialisationOptions = {}): LanguageModel {
  const deviation = options.deviation ?? 0.02;
  const stream = new RandomStream(seed, 'initial-weights');
  const parameters: ParameterMap = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    const size = shape.reduce((product, length) => product * length, 1);
    const isResidual = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight');
    const scale = isResidual ? deviation / Math.sqrt(2 * config.layers) : deviation;
    parameters.set(name, tf.keep(tf.tensor(initialValues(name, shape, stream.fork(name), scale, size), shape)));
  }
  return new LanguageModel(config, parameters);
}

function initialValues(name: string, shape: number[], stream: RandomStream, deviation: number, size: number): Float32Array {
  if (name.endsWith('.bias')) return new Float32Array(size);
  return shape.length === 1 ? new Float32Array(size).fill(1) : stream.normals(size, deviation);
}
