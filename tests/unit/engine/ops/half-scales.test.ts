/** Scales rounded as checkpoints store them: fake quantization then gives exactly what round-to-nearest stores. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { roundToHalf as roundNumber } from '../../../../src-main/engine/formats/float16.ts';
import { dequantizeLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { clippedQuantizeReference } from '../../../../src-main/engine/ops/clipped-quantize/reference.ts';
import { clippedQuantize, roundToGrid } from '../../../../src-main/engine/ops/index.ts';
import { roundToHalf } from '../../../../src-main/engine/ops/round-to-half.ts';
import { quantizeRtn } from '../../../../src-main/engine/quantizers/rtn.ts';
import { checkOp, expectClose, normals, testBackends } from './op-check.ts';

const grids = [
  { bits: 2, symmetric: true, groupSize: 8 },
  { bits: 3, symmetric: false, groupSize: 8 },
  { bits: 4, symmetric: true, groupSize: 24 },
  { bits: 4, symmetric: false, groupSize: 24 },
  { bits: 8, symmetric: false, groupSize: 12 },
] as const;

/** Ordinary rows, tiny ones (subnormal scales), one of zeros, and one of a single sign. */
function weights(): Float32Array {
  const values = Float32Array.from(normals(40 * 24, 7));
  for (let i = 0; i < 24; i++) {
    values[i] = 1e-6 * values[i]!;
    values[24 + i] = 0;
    values[48 + i] = Math.abs(values[48 + i]!);
    values[72 + i] = 3e-9 * values[72 + i]!;
  }
  return values;
}

describe('on wasm', () => {
  it.each(grids)('roundToGrid stores $bits bits (symmetric $symmetric) as round-to-nearest does, bit for bit', async (grid) => {
    await selectBackend('wasm');
    const shape = { outFeatures: 40, inFeatures: 24 };
    const { bits, symmetric, groupSize } = grid;
    const packed = quantizeRtn(weights(), shape, { bits, symmetric, strategy: 'group', groupSize });
    const before = tf.memory().numTensors;
    const x = tf.tensor2d(weights(), [(40 * 24) / groupSize, groupSize]);
    const { value, scale, zero } = roundToGrid(x, { bits, symmetric, halfScales: true });
    expect([...value.dataSync()].map((v) => v + 0)).toEqual([...dequantizeLinear(packed)].map((v) => v + 0));
    const isEmpty = (group: number) => group * groupSize >= 24 && (group + 1) * groupSize <= 48;
    scale.dataSync().forEach((value, group) => {
      if (!isEmpty(group)) expect(value).toBe(packed.scales[group]);
    });
    if (!symmetric)
      zero.dataSync().forEach((value, group) => {
        if (!isEmpty(group)) expect(value + 0).toBe(packed.zeros[group]);
      });
    tf.dispose([x, value, scale, zero]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe.each(testBackends)('on %s', (backend) => {
  it('rounds numbers to binary16, whatever their size', async () => {
    await selectBackend(backend);
    const values = [1, 1 / 3, 0.27142857, 1e-5, 3e-8, 1e-9, 65504, 2049, 6.1e-5, 0.1];
    const rounded = await roundToHalf(tf.tensor1d(values)).data();
    values.forEach((value, index) => {
      expect(rounded[index]).toBe(Math.max(2 ** -24, roundNumber(Math.fround(value))));
    });
    expect([...(await roundToHalf(tf.tensor1d([65520, 1e9])).data())]).toEqual([Infinity, Infinity]);
  });

  it('the composed form computes what the kernel does, gradients through the scale included', async () => {
    await selectBackend(backend);
    const x = tf.tensor2d(Float32Array.from(normals(6 * 10, 3)), [6, 10]);
    const factors = { high: tf.fill([6], 0.8) as tf.Tensor1D, low: tf.fill([6], 0.7) as tf.Tensor1D };
    const limits = { symmetric: false, divisor: 15, lowest: 0, highest: 15, halfScales: true };
    const value = clippedQuantize(x, { bits: 4, symmetric: false, halfScales: true }, factors);
    await expectClose(value, await clippedQuantizeReference(x, factors, limits).data(), 0, 'composed');
  });
});

describe('the gradient', () => {
  it('sees through the rounding of the scale as it does through that of the codes', async () => {
    const size = 8;
    // The scale as rounded at the first call moves with the range: its derivative is that of the unrounded one.
    let kept: { shift: number[]; ratio: number[] } | null = null;
    await checkOp('wasm', {
      shapes: [[3, size]],
      exact: (x) => {
        const now = { shift: [] as number[], ratio: [] as number[] };
        const result = x.map((value, place) => {
          const row = Math.floor(place / size);
          const values = x.subarray(row * size, (row + 1) * size);
          const width = Math.max(...values.map(Math.abs)) / 7;
          const offset = kept?.ratio[row] ?? roundNumber(Math.fround(width)) - width;
          now.ratio[row] = offset;
          const scale = width + offset;
          const shift = kept?.shift[place] ?? Math.round(value / scale) - value / scale;
          now.shift.push(shift);
          return scale * (value / scale + shift);
        });
        kept ??= now;
        return result;
      },
      forms: { clippedQuantize: (x) => clippedQuantize(x, { bits: 4, symmetric: true, halfScales: true }) },
      tolerance: 5e-5,
    });
  });
});
