import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { linearCrossEntropy } from '../../../../src-main/engine/ops/index.ts';
import { linearCrossEntropyReference } from '../../../../src-main/engine/ops/linear-cross-entropy/reference.ts';
import { checkOp, composedForms, testBackends } from './op-check.ts';

const [rows, size] = [7, 6];
const targets = [2, 0, 8, 4, 4, 1, 7];
const mask = [1, 1, 0, 1, 0, 1, 1];

function exactLoss(vocab: number, counted: number[]) {
  return (hidden: Float64Array, weight: Float64Array) => {
    let total = 0;
    for (let row = 0; row < rows; row++) {
      if (counted[row] === 0) continue;
      const logits = Array.from({ length: vocab }, (_, token) => {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += hidden[row * size + i]! * weight[token * size + i]!;
        return sum;
      });
      total += Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)) - logits[targets[row]!]!;
    }
    return Float64Array.of(total / counted.reduce((sum, value) => sum + value, 0));
  };
}

describe.each(testBackends)('linearCrossEntropy on %s', (backend) => {
  it.each([
    { vocab: 9, chunkRows: 3 },
    { vocab: 12, chunkRows: 7 },
    { vocab: 10, chunkRows: 1 },
    { vocab: 9, chunkRows: 100 },
  ])('$vocab tokens in chunks of $chunkRows rows', async ({ vocab, chunkRows }) => {
    await selectBackend(backend);
    const ids = tf.tensor1d(targets, 'int32');
    const masked = tf.tensor1d(mask);
    const all = tf.ones([rows]) as tf.Tensor1D;
    const shapes = [
      [rows, size],
      [vocab, size],
    ];
    await checkOp(backend, {
      shapes,
      exact: exactLoss(vocab, mask),
      forms: {
        linearCrossEntropy: (hidden, weight) => linearCrossEntropy(hidden, weight, ids, { mask: masked, chunkRows }),
        ...composedForms(backend, { reference: (hidden, weight) => linearCrossEntropyReference(hidden, weight, ids, masked) }),
      },
    });
    await checkOp(backend, {
      shapes,
      exact: exactLoss(vocab, Array(rows).fill(1)),
      forms: {
        linearCrossEntropy: (hidden, weight) => linearCrossEntropy(hidden, weight, ids, { chunkRows }),
        ...composedForms(backend, { reference: (hidden, weight) => linearCrossEntropyReference(hidden, weight, ids, all) }),
      },
    });
    tf.dispose([ids, masked, all]);
  });
});

describe('linearCrossEntropy', () => {
  it('does not depend on the size of chunks beyond rounding', async () => {
    await selectBackend('wasm');
    const hidden = tf.randomNormal([50, 16], 0, 1, 'float32', 1) as tf.Tensor2D;
    const weight = tf.randomNormal([40, 16], 0, 1, 'float32', 2) as tf.Tensor2D;
    const ids = tf.randomUniform([50], 0, 40, 'int32', 3) as tf.Tensor1D;
    const losses = [1, 7, 50].map((chunkRows) => linearCrossEntropy(hidden, weight, ids, { chunkRows }).dataSync()[0]!);
    for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
  });

  it.each(testBackends.filter((name) => name !== 'tensorflow'))('refuses targets outside the vocabulary on %s', async (backend) => {
    await selectBackend(backend);
    const hidden = tf.zeros([2, 4]) as tf.Tensor2D;
    expect(() => linearCrossEntropy(hidden, tf.zeros([3, 4]), tf.tensor1d([0, 3], 'int32'))).toThrow('token id 3 at place 1');
  });
});
