import { describe, it } from 'vitest';
import { linear } from '../../../../src-main/engine/ops/index.ts';
import { linearReference } from '../../../../src-main/engine/ops/linear/reference.ts';
import { casesFor, checkOp, testBackends } from './op-check.ts';

function exactLinear(inFeatures: number, outFeatures: number) {
  return (x: Float64Array, weight: Float64Array, bias?: Float64Array) =>
    Float64Array.from({ length: (x.length / inFeatures) * outFeatures }, (_, place) => {
      const row = Math.floor(place / outFeatures);
      const out = place % outFeatures;
      let sum = bias?.[out] ?? 0;
      for (let i = 0; i < inFeatures; i++) sum += x[row * inFeatures + i]! * weight[out * inFeatures + i]!;
      return sum;
    });
}

describe.each(testBackends)('linear on %s', (backend) => {
  it.each(
    casesFor(backend, [
      { shape: [2, 3, 8], out: 5 },
      { shape: [1, 6], out: 4 },
      { shape: [7, 3], out: 1 },
    ]),
  )('maps $shape to $out features, with and without bias', async ({ shape, out }) => {
    const size = shape.at(-1)!;
    const shapes = [shape, [out, size]];
    await checkOp(backend, {
      shapes: [...shapes, [out]],
      exact: exactLinear(size, out),
      forms: { linear: (x, weight, bias) => linear(x, weight, bias), reference: (x, weight, bias) => linearReference(x, weight, bias) },
    });
    await checkOp(backend, {
      shapes,
      exact: exactLinear(size, out),
      forms: { linear: (x, weight) => linear(x, weight), reference: (x, weight) => linearReference(x, weight, null) },
    });
  });
});
