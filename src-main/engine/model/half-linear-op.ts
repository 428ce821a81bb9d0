/** Computes with a weight that stays in the 16 bits it is stored in; for models whose weights are not trained. */
import * as tf from '@tensorflow/tfjs-core';
import { type HalfWeight, halfLinear, unpackHalf } from '../ops/index.ts';
import type { LinearOp, ParameterMap } from './linear-op.ts';

export class HalfLinearOp implements LinearOp {
  readonly kind = 'half';
  /** The op's own. */
  readonly half: HalfWeight;
  private readonly parameters: ParameterMap;
  private readonly module: string;

  constructor(parameters: ParameterMap, module: string, half: HalfWeight) {
    this.parameters = parameters;
    this.module = module;
    this.half = half;
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    return halfLinear(input, this.half, this.bias());
  }

  weight(): tf.Tensor2D {
    return unpackHalf(this.half);
  }

  bias(): tf.Tensor1D | null {
    return (this.parameters.get(`${this.module}.bias`) as tf.Tensor1D | undefined) ?? null;
  }

  async stored(): Promise<null> {
    return null;
  }

  dispose(): void {
    tf.dispose(this.half.words);
  }
}
