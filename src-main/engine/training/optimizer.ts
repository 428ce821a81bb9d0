/** AdamW over the parameters of a trainee, updated in place, each group at its own rate. */
import * as tf from '@tensorflow/tfjs-core';
import { adamWAll, createMoments, type Moments } from '../ops/index.ts';
import type { RateGroup, TrainableParameter } from './trainee.ts';

export interface OptimizerEntry extends TrainableParameter {
  moments: Moments;
}

export interface AdamWConstants {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled decay of the parameters that decay. */
  weightDecay: number;
}

export class Optimizer {
  /** In the order of the trainee's parameters. */
  readonly entries: readonly OptimizerEntry[];
  private readonly constants: AdamWConstants;

  constructor(parameters: readonly TrainableParameter[], constants: AdamWConstants) {
    this.constants = constants;
    this.entries = parameters.map((parameter) => ({ ...parameter, moments: createMoments(parameter.variable) }));
  }

  /** Update number `step`, from 1. `gradients` in the order of `entries`. */
  update(gradients: readonly tf.Tensor[], step: number, rates: Readonly<Record<RateGroup, number>>, gradientScale: tf.Scalar): void {
    const { beta1, beta2, epsilon, weightDecay } = this.constants;
    const alike = Map.groupBy(this.entries.keys(), (index) => {
      const { decays, rate } = this.entries[index]!;
      return `${decays} ${rate}`;
    });
    for (const indices of alike.values()) {
      const { decays, rate } = this.entries[indices[0]!]!;
      const updates = indices.map((index) => {
        const { variable, moments } = this.entries[index]!;
        return { parameter: variable, gradient: gradients[index]!, moments };
      });
      adamWAll(updates, { learningRate: rates[rate], step, beta1, beta2, epsilon, weightDecay: decays ? weightDecay : 0, gradientScale });
    }
  }

  /** Frees the moments; the parameters stay with the trainee. */
  dispose(): void {
    for (const { moments } of this.entries) tf.dispose([moments.mean, moments.square]);
  }
}
