/** The chunked output layer and policy loss on the wasm backend: logits of one chunk live in scratch and become their own gradient. */
import type * as tf from '@tensorflow/tfjs-core';
import { gemm } from '../../backends/wasm/gemm.ts';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { doublesAt, floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { checkIds } from '../embedding/wasm.ts';
import { registerWasmKernel } from '../kernel.ts';

const elementsPerChunk = 2 ** 15;

type Inputs = Record<'hidden' | 'head' | 'targets' | 'weights', tf.TensorInfo> &
  Partial<Record<'advantages' | 'old' | 'reference' | 'importance', tf.TensorInfo>>;

interface Chunk {
  logits: number;
  /** First row, and rows. */
  start: number;
  m: number;
}

/** Outputs the loss, log-probabilities, entropies and, for a loss gradient of 1, the gradients: that of the head where it is wanted. */
registerWasmKernel('LinearPolicy', (call) => {
  const inputs = call.inputs as Inputs;
  const { hidden, head } = inputs;
  const { chunkRows, ...settings } = call.attributes as Record<'chunkRows' | 'temperature' | 'clipLow' | 'clipHigh' | 'beta', number>;
  const { headGradient } = call.attributes as { headGradient: boolean };
  const [rows, size] = hidden.shape as [number, number];
  const vocab = head.shape[0]!;
  const loss = call.output([]);
  const dHidden = call.output(hidden.shape);
  const dHead = headGradient ? call.output(head.shape) : null;
  const [logProbabilities, entropies] = [call.output([rows]), call.output([rows])];
  const [w, results] = [pointerOf(head), { logProbabilities, entropies }];
  let total = 0;
  eachChunk(inputs, chunkRows, ({ logits, start, m }, losses) => {
    run(inputs, results, { logits, start, m }, losses, settings);
    for (const rowLoss of doublesAt(losses, m)) total += rowLoss;
    const chunk = pointerOf(hidden) + 4 * start * size;
    gemm({ a: logits, b: w, c: pointerOf(dHidden) + 4 * start * size, m, n: size, k: vocab });
    if (dHead) gemm({ a: logits, b: chunk, c: pointerOf(dHead), m: vocab, n: size, k: m, transA: true, accumulate: start > 0 });
  });
  floatsAt(pointerOf(loss), 1)[0] = total;
  return [loss, logProbabilities, entropies, dHidden, ...(dHead ? [dHead] : [])];
});

registerWasmKernel('TokenStatistics', (call) => {
  const inputs = call.inputs as Inputs;
  const { chunkRows, temperature } = call.attributes as { chunkRows: number; temperature: number };
  const rows = inputs.hidden.shape[0]!;
  const [logProbabilities, entropies] = [call.output([rows]), call.output([rows])];
  const settings = { temperature, clipLow: 0, clipHigh: 0, beta: 0 };
  eachChunk(inputs, chunkRows, (chunk) => run(inputs, { logProbabilities, entropies }, chunk, 0, settings));
  return [logProbabilities, entropies];
});

/** Computes the logits of one chunk after the other, and room for a loss (f64) per row. */
function eachChunk({ hidden, head, targets }: Inputs, mostRows: number, visit: (chunk: Chunk, losses: number) => void): void {
  const [rows, size] = hidden.shape as [number, number];
  const vocab = head.shape[0]!;
  checkIds(targets, vocab);
  const chunkRows = Math.min(rows, mostRows);
  const losses = workspace(8 * chunkRows + 4 * chunkRows * vocab);
  const logits = losses + 8 * chunkRows;
  for (let start = 0; start < rows; start += chunkRows) {
    const m = Math.min(chunkRows, rows - start);
    gemm({ a: pointerOf(hidden) + 4 * start * size, b: pointerOf(head), c: logits, m, n: vocab, k: size, transB: true });
    visit({ logits, start, m }, losses);
  }
}

/** Statistics of a chunk's rows; where `losses` is not 0 the logits become their gradient. */
function run(
  { head, targets, weights, advantages, old, reference, importance }: Inputs,
  { logProbabilities, entropies }: Record<'logProbabilities' | 'entropies', tf.TensorInfo>,
  { logits, start, m }: Chunk,
  losses: number,
  { temperature, clipLow, clipHigh, beta }: Record<'temperature' | 'clipLow' | 'clipHigh' | 'beta', number>,
): void {
  const vocab = head.shape[0]!;
  const at = (tensor: tf.TensorInfo | undefined) => (tensor ? pointerOf(tensor) + 4 * start : 0);
  const places = [targets, weights, advantages, old, reference, importance, logProbabilities, entropies].map(at);
  const rowsPerChunk = Math.max(1, Math.ceil(elementsPerChunk / vocab));
  runParallel('policy', m, rowsPerChunk, [logits, ...places, losses, vocab, 1 / temperature, clipLow, clipHigh, beta]);
}
