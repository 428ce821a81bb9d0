/** Times the product of two square float32 matrices by the active backend. */
import * as tf from '@tensorflow/tfjs-core';
import { RandomStream } from '../data/random-stream.ts';

export interface GemmTiming {
  milliseconds: number;
  flopsPerSecond: number;
}

const batchMs = 300;

/** Fastest of `repeats`, each of several products so that starting and waiting do not count. */
export async function timeGemm(size: number, repeats: number): Promise<GemmTiming> {
  const stream = new RandomStream(0, 'bench', 'gemm');
  const [a, b] = ['a', 'b'].map((name) => tf.tensor2d(stream.fork(name).normals(size * size), [size, size])) as [tf.Tensor2D, tf.Tensor2D];
  const multiply = async (products: number): Promise<number> => {
    const start = performance.now();
    for (let i = 1; i < products; i++) tf.matMul(a, b).dispose();
    const last = tf.tidy(() => tf.slice(tf.matMul(a, b), [0, 0], [1, 1]));
    await last.data();
    last.dispose();
    return (performance.now() - start) / products;
  };
  let milliseconds = Number.POSITIVE_INFINITY;
  try {
    await multiply(1);
    const products = Math.max(1, Math.min(200, Math.round(batchMs / (await multiply(1)))));
    for (let repeat = 0; repeat < repeats; repeat++) milliseconds = Math.min(milliseconds, await multiply(products));
  } finally {
    tf.dispose([a, b]);
  }
  return { milliseconds, flopsPerSecond: (2 * size ** 3) / (milliseconds / 1000) };
}
