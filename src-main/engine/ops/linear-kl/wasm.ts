/** The chunked output layer and divergence on the wasm backend: the student's logits of a chunk live in scratch and become their own gradient. */
import type * as tf from '@tensorflow/tfjs-core';
import { gemm } from '../../backends/wasm/gemm.ts';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { doublesAt, floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { checkIds } from '../embedding/wasm.ts';
import { registerWasmKernel } from '../kernel.ts';

const elementsPerChunk = 2 ** 14;

interface Inputs extends Record<'hidden' | 'head' | 'shares', tf.TensorInfo> {
  teacherHidden?: tf.TensorInfo;
  teacherHead?: tf.TensorInfo;
  indices?: tf.TensorInfo;
  teacherLogits?: tf.TensorInfo;
}

/** Outputs the loss and, for a loss gradient of 1, the gradients: that of the head where it is wanted. */
registerWasmKernel('LinearKl', (call) => {
  const { hidden, head, shares, teacherHidden, teacherHead, indices, teacherLogits } = call.inputs as unknown as Inputs;
  const { temperature, mix, headGradient } = call.attributes as { temperature: number; mix: number; headGradient: boolean };
  const [rows, size] = hidden.shape as [number, number];
  const vocab = head.shape[0]!;
  const k = indices ? indices.shape[1]! : vocab;
  if (indices) checkIds(indices, vocab);
  const chunkRows = Math.min(rows, call.attributes.chunkRows as number);
  const loss = call.output([]);
  const dHidden = call.output(hidden.shape);
  const dHead = headGradient ? call.output(head.shape) : null;
  const losses = workspace(8 * chunkRows + 4 * chunkRows * (vocab + k));
  const student = losses + 8 * chunkRows;
  const teacher = student + 4 * chunkRows * vocab;
  const w = pointerOf(head);
  const rowsPerChunk = Math.max(1, Math.ceil(elementsPerChunk / vocab));
  let total = 0;
  for (let start = 0; start < rows; start += chunkRows) {
    const m = Math.min(chunkRows, rows - start);
    const chunk = pointerOf(hidden) + 4 * start * size;
    const share = pointerOf(shares) + 4 * start;
    gemm({ a: chunk, b: w, c: student, m, n: vocab, k: size, transB: true });
    if (indices && teacherLogits) {
      floatsAt(teacher, m * k).set(floatsAt(pointerOf(teacherLogits) + 4 * start * k, m * k));
      const places = [student, pointerOf(indices) + 4 * start * k, teacher, share, losses];
      runParallel('divergenceTop', m, rowsPerChunk, [...places, vocab, k, 1 / temperature]);
    } else {
      const width = teacherHidden!.shape[1]!;
      const from = pointerOf(teacherHidden!) + 4 * start * width;
      gemm({ a: from, b: pointerOf(teacherHead!), c: teacher, m, n: vocab, k: width, transB: true });
      runParallel('divergence', m, rowsPerChunk, [student, teacher, share, losses, vocab, 1 / temperature, mix]);
    }
    for (const rowLoss of doublesAt(losses, m)) total += rowLoss;
    gemm({ a: student, b: w, c: pointerOf(dHidden) + 4 * start * size, m, n: size, k: vocab });
    if (dHead) gemm({ a: student, b: chunk, c: pointerOf(dHead), m: vocab, n: size, k: m, transA: true, accumulate: start > 0 });
  }
  floatsAt(pointerOf(loss), 1)[0] = total;
  return [loss, dHidden, ...(dHead ? [dHead] : [])];
});
