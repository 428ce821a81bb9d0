/** The chunked output layer and cross-entropy on the webgpu backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import {
  addGradients,
  chunkRowsFor,
  computeLogits,
  nan,
  rowCode,
  rowGroups,
  softmaxGradient,
  softmaxStatistics,
  sumLosses,
} from '../logit-chunks.ts';
import { checkPendingIds } from '../token-ids.ts';

type Inputs = Record<'hidden' | 'weight' | 'targets' | 'shares', tf.TensorInfo>;

/** Outputs the loss and, for a loss gradient of 1, the gradients: that of the weight where it is wanted. A target outside the vocabulary gives NaN. */
registerGpuKernel('LinearCrossEntropy', (call) => {
  const { hidden, weight: head, targets, shares } = call.inputs as Inputs;
  const rows = hidden.shape[0]!;
  const vocab = head.shape[0]!;
  checkPendingIds(targets, vocab);
  const { chunkRows: wanted, headGradient } = call.attributes as { chunkRows: number; headGradient: boolean };
  const chunkRows = chunkRowsFor(rows, vocab, wanted);
  const gradients = { dHidden: call.output(hidden.shape), ...(headGradient ? { dHead: call.output(head.shape) } : {}) };
  const loss = call.output([]);
  const losses = call.scratch([rows]);
  const logits = call.scratch([chunkRows, vocab]);
  const stats = call.scratch([chunkRows, 4]);
  for (let start = 0; start < rows; start += chunkRows) {
    const chunk = { logits, start, rows: Math.min(chunkRows, rows - start) };
    computeLogits({ hidden, head }, chunk);
    softmaxStatistics(call, chunk, stats, 1);
    call.dispatch({
      name: 'cross-entropy-rows',
      reads: { logits, targets, shares },
      writes: { stats: { of: stats, as: 'vec4<f32>' }, losses },
      integers: { rows: chunk.rows, start, vocab, nan },
      workgroups: rowGroups(chunk.rows),
      code: () =>
        rowCode(`
      let known = stats[row];
      let share = shares[item];
      let token = u32(targets[item]);
      let missing = known.x - logits[row * parameters.vocab + min(token, parameters.vocab - 1u)];
      let rowLoss = select(bitcast<f32>(parameters.nan), share * (known.w + missing), token < parameters.vocab);
      losses[item] = select(rowLoss, 0.0, share == 0.0);
      stats[row] = vec4(known.x, select(share / known.y, 0.0, share == 0.0), -share, f32(token));`),
    });
    softmaxGradient(call, chunk, stats, 1);
    addGradients({ hidden, head }, chunk, gradients);
  }
  sumLosses(call, losses, loss);
  return [loss, ...Object.values(gradients)];
});
