/** The chunked output layer and cross-entropy on the wasm backend: logits of one chunk live in scratch and become their own gradient. */

import type * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { gemm } from '../../backends/wasm/gemm.ts';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { doublesAt, floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { checkIds } from '../embedding/wasm.ts';
import { registerWasmKernel, sizeOf } from '../kernel.ts';

const elementsPerChunk = 2 ** 15;

type Inputs = Record<'hidden' | 'weight' | 'targets' | 'shares', tf.TensorInfo>;

/** Outputs the loss and, for a loss gradient of 1, the gradients: that of the weight where it is wanted. */
registerWasmKernel('LinearCrossEntropy', ({ inputs, attributes, output }) => {
  const { hidden, weight, targets, shares } = inputs as Inputs;
  const [rows, size] = hidden.shape as [number, number];
  const vocab = weight.shape[0]!;
  checkIds(targets, vocab);
  if (sizeOf(targets) !== rows || sizeOf(shares) !== rows) {
    throw new RoundoffError(
      'internal',
      `${rows} rows, ${sizeOf(targets)} targets, ${sizeOf(shares)} mask values`,
      'Give one of each per row.',
    );
  }
  const { chunkRows: wanted, headGradient } = attributes as { chunkRows: number; headGradient: boolean };
  const chunkRows = Math.min(rows, wanted);
  const loss = output([]);
  const dHidden = output(hidden.shape);
  const dWeight = headGradient ? output(weight.shape) : null;
  const losses = workspace(8 * chunkRows + 4 * chunkRows * vocab);
  const logits = losses + 8 * chunkRows;
  const w = pointerOf(weight);
  let total = 0;
  for (let start = 0; start < rows; start += chunkRows) {
    const m = Math.min(chunkRows, rows - start);
    const chunk = pointerOf(hidden) + 4 * start * size;
    gemm({ a: chunk, b: w, c: logits, m, n: vocab, k: size, transB: true });
    const places = [logits, pointerOf(targets) + 4 * start, pointerOf(shares) + 4 * start, losses];
    runParallel('crossEntropy', m, Math.max(1, Math.ceil(elementsPerChunk / vocab)), [...places, vocab]);
    for (const rowLoss of doublesAt(losses, m)) total += rowLoss;
    gemm({ a: logits, b: w, c: pointerOf(dHidden) + 4 * start * size, m, n: size, k: vocab });
    if (dWeight) gemm({ a: logits, b: chunk, c: pointerOf(dWeight), m: vocab, n: size, k: m, transA: true, accumulate: start > 0 });
  }
  floatsAt(pointerOf(loss), 1)[0] = total;
  return [loss, dHidden, ...(dWeight ? [dWeight] : [])];
});
