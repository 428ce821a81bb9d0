/** Checks of losses over the vocabulary: more columns than a block of them, all kinds of teachers, tokens that do not exist. */
import * as tf from '@tensorflow/tfjs-core';
import { bufferOf } from '../../backends/webgpu/compute.ts';
import { linearCrossEntropy, linearKl, linearPolicy } from '../../ops/index.ts';
import { type GpuCheck, normals } from '../check.ts';
import { opCheck } from '../op-check.ts';

const [rows, size, vocab] = [5, 8, 9001];
const shapes = [
  [rows, size],
  [vocab, size],
];
const tokens = Array.from({ length: rows }, (_, row) => (row * 2251 + 7) % vocab);
const targets = () => tf.tensor1d(tokens, 'int32');
const shares = () => tf.tensor1d([0.25, 0.25, 0, 0.25, 0.25]);

export const lossChecks: readonly GpuCheck[] = [
  opCheck({
    name: `linearCrossEntropy [${rows}, ${size}], vocabulary ${vocab}, chunks of 2`,
    shapes,
    op: (x, head) =>
      linearCrossEntropy(x as tf.Tensor2D, head as tf.Tensor2D, targets(), { mask: tf.tensor1d([1, 1, 0, 1, 1]), chunkRows: 2 }),
  }),
  ...[0, 0.3, 1].map((mix) =>
    opCheck({
      name: `linearKl [${rows}, ${size}], vocabulary ${vocab}, mix ${mix}`,
      shapes,
      op: (x, head) =>
        linearKl(x as tf.Tensor2D, head as tf.Tensor2D, teacher(), { shares: shares(), temperature: 1.5, mix, chunkRows: 3 }),
    }),
  ),
  opCheck({
    name: `linearKl [${rows}, ${size}], vocabulary ${vocab}, top 3`,
    shapes,
    op: (x, head) => linearKl(x as tf.Tensor2D, head as tf.Tensor2D, topTeacher(), { shares: shares(), temperature: 0.7 }),
  }),
  opCheck({
    name: `linearPolicy [${rows}, ${size}], vocabulary ${vocab}, on policy`,
    shapes,
    op: (x, head) =>
      linearPolicy(x as tf.Tensor2D, head as tf.Tensor2D, targets(), onPolicy(), {
        temperature: 1.2,
        clipLow: 0.2,
        clipHigh: 0.2,
        beta: 0,
      }),
  }),
  { name: 'linearCrossEntropy with a target outside the vocabulary on the GPU', run: unknownTarget },
];

function matrix(count: number, seed: number): tf.Tensor2D {
  return tf.tensor2d(normals(count * size, seed), [count, size]);
}

function teacher() {
  return { hidden: matrix(rows, 20), head: matrix(vocab, 21) };
}

function topTeacher() {
  const indices = tokens.flatMap((token) => [token, (token + 4500) % vocab, (token + 1) % vocab]);
  return { indices: tf.tensor2d(indices, [rows, 3], 'int32'), logits: tf.tensor2d(normals(rows * 3, 22), [rows, 3]) };
}

function onPolicy() {
  const advantages = tf.tensor1d(normals(rows, 23));
  return { weights: shares(), advantages, old: null, reference: null, importance: null };
}

/** Ids that lie on the GPU are not read back, so the loss has to say it. */
async function unknownTarget() {
  const loss = tf.tidy(() => {
    const ids = tf.tensor1d([1, 3], 'int32');
    bufferOf(ids);
    return linearCrossEntropy(matrix(2, 1), matrix(3, 2), ids);
  });
  const [value] = await loss.data();
  loss.dispose();
  return { maxError: Number.isNaN(value) ? 0 : Number.POSITIVE_INFINITY, tolerance: 0 };
}
