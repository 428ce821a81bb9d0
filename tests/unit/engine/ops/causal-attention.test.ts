import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { causalAttentionReference } from '../../../../src-main/engine/ops/causal-attention/reference.ts';
import { causalAttention } from '../../../../src-main/engine/ops/index.ts';
import { checkOp, expectClose, normals, testBackends } from './op-check.ts';

interface Sizes {
  batch: number;
  seq: number;
  keys: number;
  heads: number;
  kvHeads: number;
  headDim: number;
}

function exactAttention({ batch, seq, keys, heads, kvHeads, headDim }: Sizes, scale: number) {
  return (q: Float64Array, k: Float64Array, v: Float64Array) => {
    const out = new Float64Array(q.length);
    for (let b = 0; b < batch; b++) {
      for (let t = 0; t < seq; t++) {
        for (let h = 0; h < heads; h++) {
          const query = ((b * seq + t) * heads + h) * headDim;
          const keyAt = (j: number) => ((b * keys + j) * kvHeads + Math.floor((h * kvHeads) / heads)) * headDim;
          const weights = Array.from({ length: keys - seq + t + 1 }, (_, j) => {
            let score = 0;
            for (let c = 0; c < headDim; c++) score += q[query + c]! * k[keyAt(j) + c]!;
            return Math.exp(score * scale);
          });
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          weights.forEach((weight, j) => {
            for (let c = 0; c < headDim; c++) out[query + c]! += (weight / total) * v[keyAt(j) + c]!;
          });
        }
      }
    }
    return out;
  };
}

const cases: Sizes[] = [
  { batch: 2, seq: 5, keys: 5, heads: 4, kvHeads: 2, headDim: 4 },
  { batch: 1, seq: 3, keys: 10, heads: 2, kvHeads: 1, headDim: 8 },
  { batch: 1, seq: 1, keys: 6, heads: 3, kvHeads: 3, headDim: 4 },
  { batch: 2, seq: 4, keys: 4, heads: 2, kvHeads: 2, headDim: 6 },
];

describe.each(testBackends)('causalAttention on %s', (backend) => {
  it.each(cases)('$heads heads over $kvHeads, $seq of $keys positions, head size $headDim', async (sizes) => {
    const { batch, seq, keys, heads, kvHeads, headDim } = sizes;
    const keyShape = [batch, keys, kvHeads, headDim];
    await checkOp(backend, {
      shapes: [[batch, seq, heads, headDim], keyShape, keyShape],
      exact: exactAttention(sizes, 0.4),
      forms: {
        causalAttention: (q, k, v) => causalAttention(q, k, v, { scale: 0.4 }),
        reference: (q, k, v) => causalAttentionReference(q, k, v, 0.4),
      },
    });
  });
});

/** Longer than the kernel's blocks of 4 and 64 queries, where finite differences would take too long. */
const longCases: Sizes[] = [
  { batch: 2, seq: 67, keys: 67, heads: 4, kvHeads: 1, headDim: 12 },
  { batch: 1, seq: 130, keys: 141, heads: 2, kvHeads: 2, headDim: 16 },
  { batch: 2, seq: 64, keys: 64, heads: 4, kvHeads: 4, headDim: 32 },
];

describe.each(testBackends)('causalAttention kernel on %s', (backend) => {
  it.each(longCases)('equals the composed form for $seq of $keys positions', async (sizes) => {
    await selectBackend(backend);
    const { batch, seq, keys, heads, kvHeads, headDim } = sizes;
    const make = (shape: number[], seed: number) => tf.tensor(Float32Array.from(normals(tf.util.sizeFromShape(shape), seed)), shape);
    const inputs = [
      make([batch, seq, heads, headDim], 1),
      make([batch, keys, kvHeads, headDim], 2),
      make([batch, keys, kvHeads, headDim], 3),
    ];
    const along = make([batch, seq, heads, headDim], 4);
    type Inputs = [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const scale = 1 / Math.sqrt(headDim);
    const kernel = (...xs: tf.Tensor[]) => causalAttention(...(xs as Inputs));
    const composed = (...xs: tf.Tensor[]) => causalAttentionReference(...(xs as Inputs), scale);
    await expectClose(kernel(...inputs), await composed(...inputs).data(), 1e-6, 'value');
    const gradients = (form: typeof kernel) => tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(form(...xs), along)))(inputs);
    const expected = gradients(composed);
    for (const [index, gradient] of gradients(kernel).entries()) {
      await expectClose(gradient, await expected[index]!.data(), 2e-6, `gradient ${index}`);
    }
  });

  // The composed form, which TensorFlow takes, adds a mask to all scores, so that NaN shows in every row of the sequence.
  it.skipIf(backend === 'tensorflow')('lets NaN through to the rows that see it alone', async () => {
    await selectBackend(backend);
    const q = tf.ones([1, 3, 1, 4]) as tf.Tensor4D;
    const k = tf.tensor4d([1, 1, 1, 1, 1, Number.NaN, 1, 1, 1, 1, 1, 1], [1, 3, 1, 4]);
    const out = await causalAttention(q, k, q).data();
    expect([...out].map(Number.isNaN)).toEqual([false, false, false, false, ...Array(8).fill(true)]);
  });
});

describe('causalAttention kernel', () => {
  it('gives a row the same bits whatever follows it or shares its batch', async () => {
    await selectBackend('wasm');
    const [heads, headDim, seq] = [2, 8, 21];
    const values = (seed: number) => Float32Array.from(normals(2 * seq * heads * headDim, seed));
    const whole = [1, 2, 3].map((seed) => tf.tensor4d(values(seed), [2, seq, heads, headDim])) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const full = (await causalAttention(...whole).data()) as Float32Array;
    for (const length of [1, 2, 3, 4, 5, 8, 13, 20]) {
      const prefix = whole.map((x) => tf.slice(x, [1, 0, 0, 0], [1, length, heads, headDim])) as typeof whole;
      const rows = (await causalAttention(...prefix).data()) as Float32Array;
      expect(rows).toEqual(full.slice(seq * heads * headDim, (seq + length) * heads * headDim));
    }
  });

  it('refuses shapes that do not fit', async () => {
    await selectBackend('wasm');
    const make = (shape: [number, number, number, number]) => tf.zeros(shape) as tf.Tensor4D;
    expect(() => causalAttention(make([1, 2, 3, 4]), make([1, 2, 2, 4]), make([1, 2, 2, 4]))).toThrow('attention shapes do not fit');
    expect(() => causalAttention(make([1, 2, 2, 4]), make([1, 1, 2, 4]), make([1, 1, 2, 4]))).toThrow('attention shapes do not fit');
  });
});
