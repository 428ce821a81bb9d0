/**
 * A linear with a low-rank update beside it (LoRA, Hu et al. 2021; over an NF4 base QLoRA, Dettmers et al. 2023):
 * y = base(x) + scale · B · A · drop(x). The base stays as it is and gets no gradient; gradients pass through it to x.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { StoredLinear } from '../formats/stored-linear.ts';
import { type DropoutSettings, dropoutLinear, linear } from '../ops/index.ts';
import type { LinearOp } from './linear-op.ts';

export interface LowRankUpdate {
  /** [rank, in] */
  a: tf.Tensor2D;
  /** [out, rank] */
  b: tf.Tensor2D;
  /** alpha / rank */
  scale: number;
}

export class LoraLinear implements LinearOp {
  readonly kind = 'lora';
  readonly base: LinearOp;
  readonly update: LowRankUpdate;
  private readonly dropout: () => DropoutSettings;

  /** Takes over the base and the matrices. @param dropout of the update's input, at the time of a call */
  constructor(base: LinearOp, update: LowRankUpdate, dropout: () => DropoutSettings = () => ({ rate: 0, seed: 0 })) {
    this.base = base;
    this.update = update;
    this.dropout = dropout;
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    const { a, b, scale } = this.update;
    return tf.tidy(() => {
      const down = tf.mul(dropoutLinear(input, a, this.dropout()), scale) as tf.Tensor2D;
      return sum(this.base.apply(input), linear(down, b));
    });
  }

  /** The merged weights. */
  weight(): tf.Tensor2D {
    const { a, b, scale } = this.update;
    return tf.tidy(() => tf.add(this.base.weight(), tf.mul(tf.matMul(b, a), scale)));
  }

  bias(): tf.Tensor1D | null {
    return this.base.bias();
  }

  /** The sum of codes and update has no codes. */
  async stored(): Promise<StoredLinear | null> {
    return null;
  }

  dispose(): void {
    this.base.dispose();
    tf.dispose([this.update.a, this.update.b]);
  }
}

/** x + y, which keeps neither for the backward pass, as `tf.add` would. */
function sum(x: tf.Tensor2D, y: tf.Tensor2D): tf.Tensor2D {
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => ({
    value: tf.add(inputs[0] as tf.Tensor2D, inputs[1] as tf.Tensor2D),
    gradFunc: (dy: tf.Tensor) => [dy, tf.clone(dy)],
  }));
  return op(x, y) as tf.Tensor2D;
}
