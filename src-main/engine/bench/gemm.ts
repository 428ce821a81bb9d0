/** Times the product of two square matrices by the active backend: float32, or on the GPU half precision with float32 sums. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { emptyTensor, flush } from '../backends/webgpu/compute.ts';
import { gpu } from '../backends/webgpu/device.ts';
import { gemm } from '../backends/webgpu/gemm/index.ts';
import { RandomStream } from '../data/random-stream.ts';
import { encodeHalves } from '../formats/float16.ts';

export interface GemmTiming {
  milliseconds: number;
  flopsPerSecond: number;
}

const batchMs = 300;

/** Fastest of `repeats`, each of several products so that starting and waiting do not count. */
export async function timeGemm(size: number, repeats: number): Promise<GemmTiming> {
  const [a, b] = matrices(size).map((values) => tf.tensor2d(values, [size, size])) as [tf.Tensor2D, tf.Tensor2D];
  try {
    return await timeProducts(size, repeats, async (products) => {
      for (let i = 1; i < products; i++) tf.matMul(a, b).dispose();
      const last = tf.tidy(() => tf.slice(tf.matMul(a, b), [0, 0], [1, 1]));
      await last.data();
      last.dispose();
    });
  } finally {
    tf.dispose([a, b]);
  }
}

/** The same with operands of half precision. @throws RoundoffError `unsupported` on other backends than webgpu */
export async function timeHalfGemm(size: number, repeats: number): Promise<GemmTiming> {
  if (tf.getBackend() !== 'webgpu') {
    throw new RoundoffError('unsupported', `The backend ${tf.getBackend()} multiplies in float32 alone.`, 'Measure on webgpu.');
  }
  const [a, b] = matrices(size).map((values) => tf.tensor1d(new Int32Array(encodeHalves(values).buffer), 'int32')) as [
    tf.Tensor,
    tf.Tensor,
  ];
  const info = emptyTensor([size, size]);
  const c = tf.engine().makeTensorFromTensorInfo(info);
  try {
    return await timeProducts(size, repeats, async (products) => {
      for (let i = 0; i < products; i++) gemm({ a, b, c, m: size, n: size, k: size, types: { a: 'f16', b: 'f16' } });
      flush();
      await gpu().health.wait(gpu().device.queue.onSubmittedWorkDone());
    });
  } finally {
    tf.dispose([a, b, c]);
  }
}

function matrices(size: number): Float32Array[] {
  const stream = new RandomStream(0, 'bench', 'gemm');
  return ['a', 'b'].map((name) => stream.fork(name).normals(size * size));
}

async function timeProducts(size: number, repeats: number, multiply: (products: number) => Promise<void>): Promise<GemmTiming> {
  const timed = async (products: number) => {
    const start = performance.now();
    await multiply(products);
    return (performance.now() - start) / products;
  };
  // The first products compile, and may be those that choose a kernel.
  await timed(1);
  const products = Math.max(1, Math.min(200, Math.round(batchMs / (await timed(1)))));
  let milliseconds = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < repeats; repeat++) milliseconds = Math.min(milliseconds, await timed(products));
  return { milliseconds, flopsPerSecond: (2 * size ** 3) / (milliseconds / 1000) };
}
