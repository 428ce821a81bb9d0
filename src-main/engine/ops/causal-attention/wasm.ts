/** Causal attention on the wasm backend: flash-style, with the softmax statistics kept for the backward pass instead of the probabilities. */
import * as tf from '@tensorflow/tfjs-core';
import { kernels, runParallel } from '../../backends/wasm/kernel-module.ts';
import { kernelThreads } from '../../backends/wasm/kernel-threads.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { firstGradient, pointers, registerWasmKernel, runKernel } from '../kernel.ts';

const productsPerChunk = 2 ** 18;

/** `starts` [sequences + 1] in a batch of one row of sequences: their first rows and the end. */
type Inputs = Record<'q' | 'k' | 'v' | 'out' | 'rowStats' | 'dOut', tf.TensorInfo> & { starts?: tf.TensorInfo };

/** The sequences of a packed row are as long as this at most. */
interface Packed {
  starts: tf.TensorInfo;
  longest: number;
}

for (const kernelName of ['CausalAttention', 'PackedCausalAttention']) {
  registerWasmKernel(kernelName, ({ inputs, attributes, output }) => {
    const { q, k, v, starts } = inputs as Inputs;
    const [batch, seq, heads] = q.shape as [number, number, number];
    const out = output(q.shape);
    const rowStats = output([batch, heads, seq, 2]);
    const packed = starts ? { starts, longest: attributes.longest as number } : null;
    run('attentionForward', q, k, [q, k, v, out, rowStats], attributes.scale as number, packed);
    return [out, rowStats];
  });

  registerWasmKernel(`${kernelName}Grad`, ({ inputs, attributes, output }) => {
    const { q, k, v, out, rowStats, dOut, starts } = inputs as Inputs;
    const [dq, dk, dv] = [output(q.shape), output(k.shape), output(v.shape)] as const;
    const packed = starts ? { starts, longest: attributes.longest as number } : null;
    run('attentionBackward', q, k, [q, k, v, out, rowStats, dOut, dq, dk, dv], attributes.scale as number, packed);
    return [dq, dk, dv];
  });
}

tf.registerGradient({
  kernelName: 'CausalAttention',
  inputsToSave: ['q', 'k', 'v'],
  outputsToSave: [true, true],
  gradFunc: (dys, saved, attributes) => {
    const [q, k, v, out, rowStats] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const inputs = { q, k, v, out, rowStats, dOut: firstGradient(dys) };
    const [dq, dk, dv] = runKernel('CausalAttentionGrad', inputs, { scale: attributes.scale }) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { q: () => dq, k: () => dk, v: () => dv };
  },
});

tf.registerGradient({
  kernelName: 'PackedCausalAttention',
  inputsToSave: ['q', 'k', 'v', 'starts'],
  outputsToSave: [true, true],
  gradFunc: (dys, saved, attributes) => {
    const [q, k, v, starts, out, rowStats] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const inputs = { q, k, v, starts, out, rowStats, dOut: firstGradient(dys) };
    const [dq, dk, dv] = runKernel('PackedCausalAttentionGrad', inputs, { ...attributes }) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { q: () => dq, k: () => dk, v: () => dv, starts: () => tf.zerosLike(starts) };
  },
});

/** Spreads pairs (sequence, key head) over the cores, several small ones to a chunk. */
function run(
  kernel: 'attentionForward' | 'attentionBackward',
  q: tf.TensorInfo,
  k: tf.TensorInfo,
  tensors: tf.TensorInfo[],
  scale: number,
  packed: Packed | null,
): void {
  const [batch, seq, heads, headDim] = q.shape as [number, number, number, number];
  const [, keys, kvHeads] = k.shape as [number, number, number];
  const sequences = packed ? packed.starts.shape[0]! - 1 : batch;
  const [longestSeq, longestKeys] = packed ? [packed.longest, packed.longest] : [seq, keys];
  const scratch = workspace(kernelThreads * kernels().attentionScratch(longestKeys, headDim));
  const productsPerItem = (heads / kvHeads) * longestSeq * longestKeys * headDim;
  const itemsPerChunk = Math.max(1, Math.floor(productsPerChunk / productsPerItem));
  const places = [...pointers(...tensors), scratch, longestSeq, longestKeys, heads, kvHeads, headDim, scale];
  runParallel(kernel, sequences * kvHeads, itemsPerChunk, [...places, packed ? pointers(packed.starts)[0]! : 0]);
}
