/** The ops models and training are written in, each with shapes that fill more than one workgroup and end inside one. */
import * as tf from '@tensorflow/tfjs-core';
import {
  adamW,
  causalAttention,
  clampRows,
  clippedQuantize,
  createMoments,
  dropout,
  embedding,
  fakeQuantize,
  globalNorm,
  kronecker,
  linear,
  linearCrossEntropy,
  linearKl,
  linearPolicy,
  quantizeTokens,
  rmsNorm,
  rotaryEmbedding,
  rotaryTables,
  swiglu,
} from '../../ops/index.ts';
import { type GpuCheck, normals } from '../check.ts';
import { opCheck } from '../op-check.ts';

const [rows, size, vocab] = [9, 132, 150];
const targets = () =>
  tf.tensor1d(
    Int32Array.from({ length: rows }, (_, row) => (row * 37) % vocab),
    'int32',
  );
const quantizer = { bits: 4, symmetric: false, clipHigh: 0.9, clipLow: 0.95, outlierThreshold: null };

export const opChecks: readonly GpuCheck[] = [
  opCheck({ name: 'rmsNorm [9, 132]', shapes: [[rows, size], [size]], op: (x, weight) => rmsNorm(x, weight as tf.Tensor1D) }),
  opCheck({
    name: 'swiglu [9, 132]',
    shapes: [
      [rows, size],
      [rows, size],
    ],
    op: swiglu,
  }),
  opCheck({
    name: 'rotaryEmbedding [2, 5, 3, 8], offset 4',
    shapes: [[2, 5, 3, 8]],
    op: (x) => rotaryEmbedding(x as tf.Tensor4D, rotaryTables([1, 0.1, 0.01, 0.001], 9), { offset: 4 }),
  }),
  ...[
    { name: 'causalAttention, 4 heads on 2', q: [2, 11, 4, 8], k: [2, 11, 2, 8] },
    { name: 'causalAttention after 6 cached keys', q: [1, 5, 4, 16], k: [1, 11, 2, 16] },
    { name: 'causalAttention, 70 tokens, head 128', q: [1, 70, 2, 128], k: [1, 70, 1, 128] },
  ].map(({ name, q, k }) =>
    opCheck({
      name,
      shapes: [q, k, k],
      op: (...inputs) => causalAttention(...(inputs as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D])),
    }),
  ),
  opCheck({
    name: 'linear with bias [9, 132] → 150',
    shapes: [[rows, size], [vocab, size], [vocab]],
    op: (x, weight, bias) => linear(x, weight as tf.Tensor2D, bias as tf.Tensor1D),
    tolerance: 5e-5,
  }),
  opCheck({
    name: 'embedding [150, 132]',
    shapes: [[vocab, size]],
    op: (table) => embedding(table as tf.Tensor2D, tf.tensor1d([3, 149, 3, 0, 77], 'int32')),
  }),
  opCheck({
    name: 'matMul of a one-hot matrix of whole numbers, 9×150 → 132',
    shapes: [[vocab, size]],
    op: (table) => tf.matMul(tf.cast(tf.oneHot(targets(), vocab), 'float32') as tf.Tensor2D, table as tf.Tensor2D),
  }),
  opCheck({
    name: 'linearCrossEntropy [9, 132], vocabulary 150',
    shapes: [
      [rows, size],
      [vocab, size],
    ],
    op: (x, head) => linearCrossEntropy(x as tf.Tensor2D, head as tf.Tensor2D, targets(), { chunkRows: 4 }),
    tolerance: 5e-5,
  }),
  opCheck({
    name: 'linearKl [9, 132], vocabulary 150',
    shapes: [
      [rows, size],
      [vocab, size],
    ],
    op: (x, head) =>
      linearKl(x as tf.Tensor2D, head as tf.Tensor2D, teacher(), { shares: tf.fill([rows], 1 / rows), temperature: 2, mix: 0.3 }),
    tolerance: 5e-5,
  }),
  opCheck({
    name: 'linearPolicy [9, 132], vocabulary 150',
    shapes: [
      [rows, size],
      [vocab, size],
    ],
    op: (x, head) => linearPolicy(x as tf.Tensor2D, head as tf.Tensor2D, targets(), policyRows(), policySettings),
    tolerance: 5e-5,
  }),
  opCheck({
    name: 'fakeQuantize W3G44 [9, 132]',
    shapes: [[rows, size]],
    op: (weight) => fakeQuantize(weight as tf.Tensor2D, { bits: 3, form: 'asymmetric', groupSize: 44 }),
  }),
  opCheck({
    name: 'clippedQuantize, 4 bits [9, 132]',
    shapes: [[rows, size], [rows], [rows]],
    op: (x, high, low) => clippedQuantize(x, { bits: 4, symmetric: false }, { high: share(high!), low: share(low!) }),
  }),
  opCheck({ name: 'quantizeTokens, 4 bits [9, 132]', shapes: [[rows, size]], op: (x) => quantizeTokens(x, quantizer) }),
  opCheck({
    name: 'clampRows [9, 132]',
    shapes: [[rows, size], [rows], [rows]],
    op: (x, high, low) => clampRows(x as tf.Tensor2D, share(high!), share(low!)),
  }),
  opCheck({
    name: 'kronecker [9, 132] by 11 and 12',
    shapes: [
      [rows, size],
      [11, 11],
      [12, 12],
    ],
    op: (...inputs) => kronecker(...(inputs as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D])),
    tolerance: 5e-5,
  }),
  opCheck({ name: 'dropout [9, 132]', shapes: [[rows, size]], op: (x) => dropout(x, { rate: 0.3, seed: 7 }) }),
  opCheck({ name: 'globalNorm [9, 132]', shapes: [[rows, size]], op: normOf }),
  opCheck({ name: 'adamW [9, 132]', shapes: [[rows, size]], op: updated }),
];

/** Factors between 0 and 1 from free values. */
function share(free: tf.Tensor): tf.Tensor1D {
  return tf.sigmoid(free) as tf.Tensor1D;
}

function teacher() {
  return { hidden: tf.tensor2d(normals(rows * size, 20), [rows, size]), head: tf.tensor2d(normals(vocab * size, 21), [vocab, size]) };
}

const policySettings = { temperature: 0.8, clipLow: 0.2, clipHigh: 0.28, beta: 0.04 };

function policyRows() {
  const values = (seed: number, scale = 1, offset = 0) => tf.tensor1d(normals(rows, seed).map((value) => scale * value + offset));
  return {
    ...{ weights: tf.fill([rows], 1 / rows) as tf.Tensor1D, advantages: values(22), importance: values(25, 0.1, 1) },
    ...{ old: values(23, 0.3, -5), reference: values(24, 0.3, -5) },
  };
}

/** Nothing differentiates the norm, so no gradient of it is checked. */
function normOf(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((values) => ({ value: globalNorm([values as tf.Tensor]), gradFunc: () => tf.zerosLike(x) }))(x);
}

/** The parameter after two updates with itself as the gradient; its own gradient is that of a copy. */
function updated(x: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const start = inputs[0] as tf.Tensor;
    // A variable shares the buffer of what it is made from.
    const parameter = tf.variable(tf.mul(start, 1), false);
    const moments = createMoments(parameter);
    for (const step of [1, 2]) adamW(parameter, start, moments, { learningRate: 0.01, step, weightDecay: 0.1 });
    const value = tf.clone(parameter);
    parameter.dispose();
    moments.mean.dispose();
    moments.square.dispose();
    return { value, gradFunc: (dy: tf.Tensor) => dy };
  });
  return op(x);
}
