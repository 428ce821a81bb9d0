import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { describe, expect, it } from 'vitest';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { nf4BlockCount } from '../../../../src-main/engine/formats/nf4.ts';
import { groupCount, type PackedLinear, roundScales } from '../../../../src-main/engine/formats/packed-linear.ts';
import { dequantizeStored, type StoredLinear } from '../../../../src-main/engine/formats/stored-linear.ts';
import {
  dequantizeWeight,
  disposePacked,
  packedLinear,
  packedWeightBytes,
  packWeight,
  unpackWeight,
} from '../../../../src-main/engine/ops/index.ts';
import { dequantizeReference } from '../../../../src-main/engine/ops/packed-linear/reference.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

interface Shape {
  outFeatures: number;
  inFeatures: number;
  groupSize: number;
}

function integerLinear(bits: number, symmetric: boolean, { outFeatures, inFeatures, groupSize }: Shape, shuffled = false): PackedLinear {
  const stream = new RandomStream(bits, 'packed');
  const groups = groupCount(inFeatures, groupSize);
  const below = (limit: number) => Math.min(limit - 1, Math.floor(stream.uniform() * limit));
  return {
    bits: bits as PackedLinear['bits'],
    symmetric,
    outFeatures,
    inFeatures,
    groupSize,
    codes: Uint8Array.from({ length: outFeatures * inFeatures }, () => below(2 ** bits)),
    scales: roundScales(Float32Array.from({ length: outFeatures * groups }, () => 0.001 + stream.uniform())),
    zeros: Uint8Array.from({ length: outFeatures * groups }, () => (symmetric ? 2 ** (bits - 1) : below(2 ** bits))),
    groupIndex: shuffled ? Int32Array.from({ length: inFeatures }, (_, i) => (i * 7) % groups) : null,
  };
}

function nf4Linear(outFeatures: number, inFeatures: number): StoredLinear {
  const stream = new RandomStream(4, 'nf4');
  const codes = Uint8Array.from({ length: outFeatures * inFeatures }, () => Math.min(15, Math.floor(16 * stream.uniform())));
  const absmax = Float32Array.from({ length: nf4BlockCount(outFeatures, inFeatures) }, () => stream.uniform());
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested: null };
}

const even: Shape = { outFeatures: 6, inFeatures: 64, groupSize: 16 };
/** Rows that end inside a word, groups that are no multiple of four, a short last group. */
const odd: Shape = { outFeatures: 5, inFeatures: 37, groupSize: 7 };
const all = [2, 3, 4, 5, 6, 7, 8];

const cases: [string, StoredLinear][] = [
  ...all.map((bits): [string, StoredLinear] => [`W${bits} symmetric`, integerLinear(bits, true, even)]),
  ...all.map((bits): [string, StoredLinear] => [`W${bits} asymmetric, ragged`, integerLinear(bits, false, odd)]),
  ['W3 with a group index', integerLinear(3, false, even, true)],
  ['W4 per row', integerLinear(4, false, { ...even, groupSize: 64 })],
  ['NF4 whose blocks cross rows', nf4Linear(5, 40)],
];
const few = cases.filter(([name]) => /^(W3 symmetric|W3 asymmetric|W8 asymmetric|W3 with|NF4)/.test(name));

describe.each(testBackends)('packed weights on %s', (backend: BackendName) => {
  it.each(backend === 'wasm' ? cases : few)('%s dequantize to exactly the stored values, and read back', async (_, stored) => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const weight = packWeight(stored);
    const expected = dequantizeStored(stored);
    const values = dequantizeWeight(weight);
    expect(await values.data()).toEqual(expected);
    values.dispose();
    const { codes, scales, zeros } = await unpackWeight(weight);
    expect(codes).toEqual(stored.codes);
    expect(scales).toEqual(stored.coding === 'nf4' ? stored.absmax : stored.scales);
    if (stored.coding !== 'nf4') expect(zeros).toEqual(stored.zeros);
    disposePacked(weight);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('a linear of them gives x · Wᵀ + b and passes gradients to x alone', async () => {
    await selectBackend(backend);
    const stored = integerLinear(3, false, even);
    const [rows, bias] = [4, normals(even.outFeatures, 7)];
    const x = normals(rows * even.inFeatures, 8);
    const dy = normals(rows * even.outFeatures, 9);
    const w = dequantizeStored(stored);
    const y = new Float64Array(rows * even.outFeatures);
    const dx = new Float64Array(rows * even.inFeatures);
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < even.outFeatures; o++) {
        y[r * even.outFeatures + o] = bias[o]!;
        for (let i = 0; i < even.inFeatures; i++) {
          y[r * even.outFeatures + o]! += x[r * even.inFeatures + i]! * w[o * even.inFeatures + i]!;
          dx[r * even.inFeatures + i]! += dy[r * even.outFeatures + o]! * w[o * even.inFeatures + i]!;
        }
      }
    }
    const before = tf.memory().numTensors;
    const weight = packWeight(stored);
    const [input, offset, direction] = [
      tf.tensor2d(Float32Array.from(x), [rows, even.inFeatures]),
      tf.tensor1d(Float32Array.from(bias)),
      tf.tensor2d(Float32Array.from(dy), [rows, even.outFeatures]),
    ];
    const value = packedLinear(input, weight, offset);
    await expectClose(value, y, 2e-5, 'value');
    const gradient = tf.tidy(() => tf.grad((xs) => tf.sum(tf.mul(packedLinear(xs as tf.Tensor2D, weight, offset), direction)))(input));
    await expectClose(gradient, dx, 2e-5, 'gradient');
    tf.dispose([input, offset, direction, value, gradient]);
    disposePacked(weight);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('the composed form', () => {
  it.each(cases)('of %s gives the stored values too', async (_, stored) => {
    await tf.setBackend('cpu');
    const weight = packWeight(stored);
    const values = dequantizeReference(weight);
    expect(await values.data()).toEqual(dequantizeStored(stored));
    values.dispose();
    disposePacked(weight);
  });
});

describe('memory', () => {
  it('of packed weights is that of their codes and scales', async () => {
    await selectBackend('wasm');
    const shape = { outFeatures: 64, inFeatures: 1024, groupSize: 128 };
    for (const [bits, limit] of [
      [2, 2.4],
      [3, 3.4],
      [4, 4.4],
      [8, 8.4],
    ] as const) {
      const weight = packWeight(integerLinear(bits, false, shape));
      expect((8 * packedWeightBytes(weight)) / (64 * 1024)).toBeLessThan(limit);
      disposePacked(weight);
    }
  });
});
