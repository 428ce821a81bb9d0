/**
 * AdamW over all parameters of a model, which it turns into variables that are updated in place. Matrices decay; norms, biases and
 * embeddings do not.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/language-model.ts';
import { adamW, createMoments, type Moments } from '../ops/index.ts';
import type { TrainingSettings } from './settings.ts';

export interface OptimizerEntry {
  name: string;
  parameter: tf.Variable;
  moments: Moments;
  decays: boolean;
}

export class Optimizer {
  /** In the order of the model's parameters. */
  readonly entries: readonly OptimizerEntry[];
  private readonly settings: TrainingSettings;

  constructor(model: LanguageModel, settings: TrainingSettings) {
    this.settings = settings;
    this.entries = [...model.parameters].map(([name, tensor]) => {
      const parameter = tf.variable(tensor);
      tensor.dispose();
      model.parameters.set(name, parameter);
      return { name, parameter, moments: createMoments(parameter), decays: parameter.rank > 1 && !name.includes('embed_tokens') };
    });
  }

  get parameters(): tf.Variable[] {
    return this.entries.map((entry) => entry.parameter);
  }

  /** Update number `step`, from 1. `gradients` in the order of `entries`. */
  update(gradients: readonly tf.Tensor[], step: number, learningRate: number, gradientScale: tf.Scalar): void {
    const { beta1, beta2, epsilon, weightDecay } = this.settings;
    for (const [index, { parameter, moments, decays }] of this.entries.entries()) {
      const decay = decays ? weightDecay : 0;
      adamW(parameter, gradients[index]!, moments, { learningRate, step, beta1, beta2, epsilon, weightDecay: decay, gradientScale });
    }
  }

  /** Frees the moments; the parameters stay with the model. */
  dispose(): void {
    for (const { moments } of this.entries) tf.dispose([moments.mean, moments.square]);
  }
}
