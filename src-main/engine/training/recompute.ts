/**
 * Activation checkpointing: of each decoder layer only the input is kept, and the layer is computed once more when its gradient is wanted.
 * Less memory for one more forward pass; the gradients are the same numbers.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/language-model.ts';

export interface NamedLeaf {
  /** Hugging Face name of the parameter, or another that begins with `model.layers.N.`. */
  name: string;
  tensor: tf.Tensor;
}

/** `model.forward` with layers recomputed in the backward pass; differentiable in the leaves, which `layer` must read. */
export function recomputingForward(
  model: LanguageModel,
  ids: tf.Tensor2D,
  leaves: readonly NamedLeaf[],
  layer = (index: number, hidden: tf.Tensor3D) => model.layer(index, hidden),
): tf.Tensor3D {
  return tf.tidy(() => {
    let hidden = model.embed(ids);
    for (let index = 0; index < model.config.layers; index++) {
      const prefix = `model.layers.${index}.`;
      const own = leaves.filter(({ name }) => name.startsWith(prefix)).map(({ tensor }) => tensor);
      hidden = recomputed((input) => layer(index, input), hidden, own);
    }
    return model.finalNorm(hidden);
  });
}

/**
 * compute(x), of which nothing is kept for the backward pass but x. `compute` gives the same whenever it is called.
 * @param leaves what `compute` reads besides, and the gradient is to reach
 */
export function recomputed<T extends tf.Tensor>(compute: (x: T) => T, x: T, leaves: readonly tf.Tensor[]): T {
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = inputs.at(-1) as tf.GradSaveFunc;
    save([inputs[0] as tf.Tensor]);
    const gradFunc = (dy: tf.Tensor, [saved]: tf.Tensor[]) => gradientsAlong(() => compute(saved as T), [saved!, ...leaves], dy);
    return { value: compute(inputs[0] as T), gradFunc };
  });
  return op(x, ...leaves) as T;
}

/** Gradients of `compute` in `xs` times dy, while another tape is being walked back: tfjs has but one, which is put aside meanwhile. */
export function gradientsAlong(compute: () => tf.Tensor, xs: tf.Tensor[], dy: tf.Tensor): tf.Tensor[] {
  const { state } = tf.engine();
  const outer = state.activeTape;
  try {
    return tf.tidy(() => {
      const { grads } = tf.engine().gradients(compute, xs, dy, true);
      return grads.map((gradient, index) => gradient ?? tf.zerosLike(xs[index]!));
    });
  } finally {
    state.activeTape = outer;
  }
}
