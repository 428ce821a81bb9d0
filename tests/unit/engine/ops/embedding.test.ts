import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { embeddingReference } from '../../../../src-main/engine/ops/embedding/reference.ts';
import { embedding } from '../../../../src-main/engine/ops/index.ts';
import { checkOp, testBackends } from './op-check.ts';

const ids = [3, 0, 3, 8, 1, 3];

describe.each(testBackends)('embedding on %s', (backend) => {
  it.each([6, 8])('gathers rows of %i and adds repeated rows up in the gradient', async (size) => {
    await selectBackend(backend);
    const idTensor = tf.tensor2d(ids, [2, 3], 'int32');
    const flat = tf.tensor1d(ids, 'int32');
    await checkOp(backend, {
      shapes: [[9, size]],
      exact: (table) => Float64Array.from({ length: ids.length * size }, (_, i) => table[ids[Math.floor(i / size)]! * size + (i % size)]!),
      forms: { embedding: (table) => embedding(table, idTensor), reference: (table) => embeddingReference(table, flat) },
    });
    tf.dispose([idTensor, flat]);
  });
});

describe('embedding', () => {
  it('refuses ids outside the vocabulary, naming the first', async () => {
    await selectBackend('wasm');
    const table = tf.zeros([4, 4]) as tf.Tensor2D;
    expect(() => embedding(table, tf.tensor1d([1, 2, 4, 9], 'int32'))).toThrow('token id 4 at place 2 is outside the vocabulary of 4');
    expect(() => embedding(table, tf.tensor1d([0, -1], 'int32'))).toThrow('token id -1 at place 1');
    expect(() => embedding(table, tf.tensor1d([0, 1]))).toThrow('float32, not int32');
  });
});
