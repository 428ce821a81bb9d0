/** Embedding on the wasm backend: row copies forward, scatter-add back, ids checked first because kernels trust them. */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { intsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { firstGradient, pointers, registerWasmKernel, runKernel, sizeOf } from '../kernel.ts';
import { badId } from '../token-ids.ts';

registerWasmKernel('Embedding', ({ inputs, output }) => {
  const { table, ids } = inputs as { table: tf.TensorInfo; ids: tf.TensorInfo };
  const [vocab, size] = table.shape as [number, number];
  checkIds(ids, vocab);
  const y = output([...ids.shape, size]);
  kernels().gatherRows(...pointers(table, ids, y), sizeOf(ids), size);
  return [y];
});

registerWasmKernel('EmbeddingGrad', ({ inputs, attributes, output }) => {
  const { dy, ids } = inputs as { dy: tf.TensorInfo; ids: tf.TensorInfo };
  const [vocab, size] = attributes.shape as [number, number];
  const dTable = output([vocab, size]);
  kernels().scatterAddRows(...pointers(dy, ids, dTable), sizeOf(ids), size, vocab);
  return [dTable];
});

tf.registerGradient({
  kernelName: 'Embedding',
  inputsToSave: ['table', 'ids'],
  gradFunc: (dys, saved) => {
    const [table, ids] = saved as [tf.Tensor, tf.Tensor];
    const dTable = () => runKernel('EmbeddingGrad', { dy: firstGradient(dys), ids }, { shape: table.shape })[0]!;
    return { table: dTable, ids: () => tf.zerosLike(ids) };
  },
});

/** @throws RoundoffError `bad-input` when an id is not a row of the table. */
export function checkIds(ids: tf.TensorInfo, vocab: number): void {
  if (ids.dtype !== 'int32') throw new RoundoffError('internal', `token ids are ${ids.dtype}, not int32`, 'Create them with dtype int32.');
  const place = kernels().firstBadId(pointerOf(ids), sizeOf(ids), vocab);
  if (place < 0) return;
  throw badId(intsAt(pointerOf(ids), sizeOf(ids))[place]!, place, vocab);
}
