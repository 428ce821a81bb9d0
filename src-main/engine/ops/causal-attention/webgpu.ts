/** Causal attention on the webgpu backend: one dispatch forward, two back. Row statistics mean what they do on the wasm backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { gpu } from '../../backends/webgpu/device.ts';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';
import { type AttentionShader, type AttentionVariant, forwardShader, keyGradientShader, queryGradientShader } from './attention-wgsl.ts';

/** `starts`, int32 [sequences + 1], in a batch of one row of sequences: their first rows and the end. */
type Inputs = Record<'q' | 'k' | 'v' | 'out' | 'rowStats' | 'dOut', tf.TensorInfo> & { starts?: tf.TensorInfo };

for (const kernelName of ['CausalAttention', 'PackedCausalAttention']) {
  registerGpuKernel(kernelName, (call) => {
    const { q, k, v } = call.inputs as Inputs;
    const [batch, seq, heads] = q.shape as [number, number, number];
    const [out, rowStats] = [call.output(q.shape), call.output([batch, heads, seq, 2])] as const;
    run(call, 'forward', forwardShader, { reads: { q, k, v }, writes: { out, rowStats }, owns: 'queries' });
    return [out, rowStats];
  });

  registerGpuKernel(`${kernelName}Grad`, (call) => {
    const { q, k, v, out, rowStats, dOut } = call.inputs as Inputs;
    const [dq, dk, dv] = [call.output(q.shape), call.output(k.shape), call.output(v.shape)] as const;
    const rowSums = call.scratch(rowStats.shape.slice(0, 3));
    run(call, 'query-gradient', queryGradientShader, {
      reads: { q, k, v, out, dOut, rowStats },
      writes: { dq, rowSums },
      owns: 'queries',
    });
    run(call, 'key-gradient', keyGradientShader, { reads: { q, k, v, dOut, rowStats, rowSums }, writes: { dk, dv }, owns: 'keys' });
    return [dq, dk, dv];
  });
}

/** Values of one head to a row, which are read four at a time; statistics are pairs, sums single. */
const elementTypes: Record<string, string> = { rowStats: 'vec2<f32>', rowSums: 'f32' };

interface Pass {
  reads: Record<string, tf.TensorInfo>;
  writes: Record<string, tf.TensorInfo>;
  owns: 'queries' | 'keys';
}

function run(
  { inputs, attributes, dispatch }: GpuCall,
  name: string,
  shader: (variant: AttentionVariant) => AttentionShader,
  { reads, writes, owns }: Pass,
): void {
  const { q, k, starts } = inputs as Inputs;
  const [batch, seq, heads, headDim] = q.shape as [number, number, number, number];
  const [, keys, kvHeads] = k.shape as [number, number, number];
  const { ownRows, code } = shader({ headDim, packed: starts !== undefined, unrolls: !gpu().software });
  const sequences = starts ? starts.shape[0]! - 1 : batch;
  const longest = starts ? (attributes.longest as number) : owns === 'queries' ? seq : keys;
  const typed = (tensors: Record<string, tf.TensorInfo>) =>
    Object.fromEntries(Object.entries(tensors).map(([key, of]) => [key, { of, as: elementTypes[key] ?? 'vec4<f32>' }]));
  dispatch({
    name: `attention-${name}-${headDim}${starts ? '-packed' : ''}`,
    reads: { ...typed(reads), ...(starts ? { starts: { of: starts, as: 'u32' } } : {}) },
    writes: typed(writes),
    integers: { seq, keys, heads, kvHeads, group: heads / kvHeads, perLane: ownRows / 16, chunks: Math.ceil(headDim / 32), eight: 8 },
    floats: { scale: attributes.scale as number },
    code,
    workgroups: [Math.ceil(longest / ownRows), owns === 'queries' ? heads : kvHeads, sequences],
  });
}
