/** Causal attention on the wasm backend: flash-style, with the softmax statistics kept for the backward pass instead of the probabilities. */
import * as tf from '@tensorflow/tfjs-core';
import { kernels, runParallel } from '../../backends/wasm/kernel-module.ts';
import { kernelThreads } from '../../backends/wasm/kernel-threads.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { firstGradient, pointers, registerWasmKernel, runKernel } from '../kernel.ts';

const productsPerChunk = 2 ** 18;

type Inputs = Record<'q' | 'k' | 'v' | 'out' | 'rowStats' | 'dOut', tf.TensorInfo>;

registerWasmKernel('CausalAttention', ({ inputs, attributes, output }) => {
  const { q, k, v } = inputs as Inputs;
  const [batch, seq, heads] = q.shape as [number, number, number];
  const out = output(q.shape);
  const rowStats = output([batch, heads, seq, 2]);
  const scratch = scratchFor(k);
  run('attentionForward', q, k, [...pointers(q, k, v, out, rowStats), scratch], attributes.scale as number);
  return [out, rowStats];
});

registerWasmKernel('CausalAttentionGrad', ({ inputs, attributes, output }) => {
  const { q, k, v, out, rowStats, dOut } = inputs as Inputs;
  const [dq, dk, dv] = [output(q.shape), output(k.shape), output(v.shape)] as const;
  const scratch = scratchFor(k);
  const places = pointers(q, k, v, out, rowStats, dOut, dq, dk, dv);
  run('attentionBackward', q, k, [...places, scratch], attributes.scale as number);
  return [dq, dk, dv];
});

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

function scratchFor(k: tf.TensorInfo): number {
  return workspace(kernelThreads * kernels().attentionScratch(k.shape[1]!, k.shape[3]!));
}

/** Spreads pairs (batch, key head) over the cores, several small ones to a chunk. */
function run(kernel: 'attentionForward' | 'attentionBackward', q: tf.TensorInfo, k: tf.TensorInfo, places: number[], scale: number): void {
  const [batch, seq, heads, headDim] = q.shape as [number, number, number, number];
  const [, keys, kvHeads] = k.shape as [number, number, number];
  const productsPerItem = (heads / kvHeads) * seq * keys * headDim;
  const itemsPerChunk = Math.max(1, Math.floor(productsPerChunk / productsPerItem));
  runParallel(kernel, batch * kvHeads, itemsPerChunk, [...places, seq, keys, heads, kvHeads, headDim, scale]);
}
