/** The yardstick's training step in the engine's ops. */
import * as tf from '@tensorflow/tfjs-core';
import {
  adamWAll,
  causalAttention,
  createMoments,
  embedding,
  linear,
  linearCrossEntropy,
  type Moments,
  rmsNorm,
  swiglu,
} from '../ops/index.ts';
import { learningRate, type ToyModel, toyShape } from './toy-model.ts';

/** One training step in the engine's ops; returns the loss before the update, which the caller disposes. `dispose` frees the moments. */
export function engineStep(model: ToyModel): { (): tf.Scalar; dispose(): void } {
  const moments: Moments[] = model.variables.map(createMoments);
  let step = 0;
  const run = () => {
    step++;
    const { value, grads } = tf.variableGrads(() => engineLoss(model), model.variables);
    const updates = model.variables.map((parameter, index) => ({ parameter, gradient: grads[parameter.name]!, moments: moments[index]! }));
    adamWAll(updates, { learningRate, step, epsilon: 1e-7 });
    tf.dispose(grads);
    return value;
  };
  return Object.assign(run, { dispose: () => tf.dispose(moments.flatMap(({ mean, square }) => [mean, square])) });
}

export function engineLoss(model: ToyModel): tf.Scalar {
  const { batch, seq, width, heads } = toyShape;
  const headShape: [number, number, number, number] = [batch, seq, heads, width / heads];
  let x = embedding(model.embedding as unknown as tf.Tensor2D, model.ids);
  for (const layer of model.layers) {
    const h = rmsNorm(x, layer.attentionNorm as unknown as tf.Tensor1D);
    const project = (weight: tf.Variable) => tf.reshape(linear(h, weight as unknown as tf.Tensor2D), headShape) as tf.Tensor4D;
    const mixed = causalAttention(project(layer.q), project(layer.k), project(layer.v));
    x = tf.add(x, linear(tf.reshape(mixed, [batch, seq, width]), layer.o as unknown as tf.Tensor2D));
    const m = rmsNorm(x, layer.mlpNorm as unknown as tf.Tensor1D);
    const gated = swiglu(linear(m, layer.gate as unknown as tf.Tensor2D), linear(m, layer.up as unknown as tf.Tensor2D));
    x = tf.add(x, linear(gated, layer.down as unknown as tf.Tensor2D));
  }
  const targets = tf.reshape(model.ids, [-1]) as tf.Tensor1D;
  return linearCrossEntropy(tf.reshape(x, [-1, width]) as tf.Tensor2D, model.embedding as unknown as tf.Tensor2D, targets);
}
