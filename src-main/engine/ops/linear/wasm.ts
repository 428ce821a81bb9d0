/** A linear layer on the wasm backend: one native GEMM forward, one per gradient, none with a transposed copy. */
import * as tf from '@tensorflow/tfjs-core';
import { gemm } from '../../backends/wasm/gemm.ts';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { pointerOf } from '../../backends/wasm/memory.ts';
import { firstGradient, registerWasmKernel, runKernel, sizeOf } from '../kernel.ts';

registerWasmKernel('Linear', ({ inputs, output }) => {
  const { x, weight, bias } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo; bias?: tf.TensorInfo };
  const [n, k] = weight.shape as [number, number];
  const m = sizeOf(x) / k;
  const y = output([...x.shape.slice(0, -1), n]);
  gemm({ a: pointerOf(x), b: pointerOf(weight), c: pointerOf(y), m, n, k, transB: true });
  if (bias) kernels().addBias(pointerOf(y), pointerOf(bias), m, n);
  return [y];
});

registerWasmKernel('LinearGradInput', ({ inputs, attributes, output }) => {
  const { dy, weight } = inputs as { dy: tf.TensorInfo; weight: tf.TensorInfo };
  const [k, n] = weight.shape as [number, number];
  const dx = output(attributes.shape as number[]);
  gemm({ a: pointerOf(dy), b: pointerOf(weight), c: pointerOf(dx), m: sizeOf(dy) / k, n, k });
  return [dx];
});

registerWasmKernel('LinearGradWeight', ({ inputs, output }) => {
  const { dy, x } = inputs as { dy: tf.TensorInfo; x: tf.TensorInfo };
  const [m, n] = [dy.shape.at(-1)!, x.shape.at(-1)!];
  const dWeight = output([m, n]);
  gemm({ a: pointerOf(dy), b: pointerOf(x), c: pointerOf(dWeight), m, n, k: sizeOf(dy) / m, transA: true });
  return [dWeight];
});

registerWasmKernel('LinearGradBias', ({ inputs, output }) => {
  const { dy } = inputs as { dy: tf.TensorInfo };
  const size = dy.shape.at(-1)!;
  const dBias = output([size]);
  kernels().sumRows(pointerOf(dy), pointerOf(dBias), sizeOf(dy) / size, size);
  return [dBias];
});

tf.registerGradient({
  kernelName: 'Linear',
  inputsToSave: ['x', 'weight'],
  gradFunc: (dys, saved) => {
    const [x, weight] = saved as [tf.Tensor, tf.Tensor];
    const dy = firstGradient(dys);
    return {
      x: () => runKernel('LinearGradInput', { dy, weight }, { shape: x.shape })[0]!,
      weight: () => runKernel('LinearGradWeight', { dy, x })[0]!,
      bias: () => runKernel('LinearGradBias', { dy })[0]!,
    };
  },
});
