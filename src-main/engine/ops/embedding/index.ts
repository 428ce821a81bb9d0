/** Token embedding: row gather forward, scatter-add backward. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { embeddingReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/**
 * @param table [vocab, size]
 * @param ids int32, any shape, each in [0, vocab)
 * @returns [...ids.shape, size]; differentiable in `table`.
 */
export function embedding(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor {
  if (hasKernel('Embedding')) return runKernel('Embedding', { table, ids })[0]!;
  return tf.tidy(() => tf.reshape(embeddingReference(table, tf.reshape(ids, [-1])), [...ids.shape, table.shape[1]]));
}
