import { describe, it } from 'vitest';
import { rmsNorm } from '../../../../src-main/engine/ops/index.ts';
import { rmsNormReference } from '../../../../src-main/engine/ops/rms-norm/reference.ts';
import { checkOp, testBackends } from './op-check.ts';

function exactRmsNorm(size: number, epsilon: number) {
  return (x: Float64Array, weight: Float64Array) =>
    x.map((value, place) => {
      const row = x.subarray(place - (place % size), place - (place % size) + size);
      const meanSquare = row.reduce((sum, v) => sum + v * v, 0) / size;
      return (value / Math.sqrt(meanSquare + epsilon)) * weight[place % size]!;
    });
}

describe.each(testBackends)('rmsNorm on %s', (backend) => {
  it.each([
    { shape: [2, 3, 8], epsilon: 1e-6 },
    { shape: [5, 7], epsilon: 1e-5 },
    { shape: [1, 2, 3, 6], epsilon: 1e-2 },
    { shape: [5, 20], epsilon: 1e-3 },
  ])('normalises the last axis of $shape with epsilon $epsilon', async ({ shape, epsilon }) => {
    const size = shape.at(-1)!;
    await checkOp(backend, {
      shapes: [shape, [size]],
      exact: exactRmsNorm(size, epsilon),
      forms: {
        rmsNorm: (x, weight) => rmsNorm(x, weight, { epsilon }),
        reference: (x, weight) => rmsNormReference(x, weight, epsilon),
      },
    });
  });
});
