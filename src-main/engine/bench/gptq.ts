/**
 * Times GPTQ of one linear: 1024 × 1024, 4 bits, groups of 128, asymmetric, no range search, 4,096 calibration rows. The clock covers
 * everything from the calibration inputs to the codes: second moments, inverse factor, walk. The peer in PyTorch does the same work.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RandomStream } from '../data/random-stream.ts';
import { solveGptq } from '../quantizers/gptq.ts';
import { factorHessian } from '../quantizers/gptq-factor.ts';
import { InputStatistics } from '../quantizers/input-statistics.ts';

const size = 1024;
const rows = 4096;

/** Best of `repeats` on the active backend, after one warm-up. */
export async function benchGptqLayer(options: { repeats?: number } = {}): Promise<{ value: number; unit: 'ms' }> {
  const stream = new RandomStream(0, 'bench', 'gptq');
  const weight = stream.fork('weight').normals(size * size, 0.02);
  const inputs = tf.tensor2d(stream.fork('inputs').normals(rows * size), [rows, size]);
  try {
    await quantizeOnce(weight, inputs);
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < (options.repeats ?? 3); repeat++) {
      const start = performance.now();
      await quantizeOnce(weight, inputs);
      best = Math.min(best, performance.now() - start);
    }
    return { value: best, unit: 'ms' };
  } finally {
    inputs.dispose();
  }
}

async function quantizeOnce(weight: Float32Array, inputs: tf.Tensor2D): Promise<void> {
  const statistics = new InputStatistics();
  try {
    statistics.add(inputs);
    const factor = factorHessian(await statistics.hessian(), size, { actOrder: false, dampPercent: 0.01 });
    await solveGptq(weight, { outFeatures: size, inFeatures: size }, factor, {
      bits: 4,
      grid: 'affine',
      mseSearch: false,
      scaleType: 'float16',
      groupSize: 128,
      staticGroups: false,
      blockSize: 128,
    });
  } finally {
    statistics.dispose();
  }
}
