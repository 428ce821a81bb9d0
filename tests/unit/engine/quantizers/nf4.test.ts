import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dequantizeNf4, nf4Levels } from '../../../../src-main/engine/formats/nf4.ts';
import { dynamicTable, midpointsOf, nearestIndex } from '../../../../src-main/engine/formats/nf4-dynamic.ts';
import { packNibbles, unpackNibbles } from '../../../../src-main/engine/formats/packing.ts';
import { dequantizeWeight, disposePacked, packWeight } from '../../../../src-main/engine/ops/index.ts';
import { nestAbsmax, quantizeNf4 } from '../../../../src-main/engine/quantizers/nf4.ts';
import { expectClose, testBackends } from '../ops/op-check.ts';
import { normals } from './matrices.ts';

const row = (...first: number[]) => Float32Array.from({ length: 64 }, (_, i) => first[i] ?? 0);
const oneBlock = { outFeatures: 1, inFeatures: 64 };
const random = (count: number, seed: number) => Float32Array.from(normals(count, seed), (value, i) => value * (1 + (i % 129)));

describe('the worked example', () => {
  const result = quantizeNf4(row(0.5, -0.25, 0.1, -2), oneBlock);

  it('gives codes 10, 6, 8, 0 in the bytes A6 80', () => {
    expect([...result.codes.subarray(0, 5)]).toEqual([10, 6, 8, 0, 7]);
    expect([...packNibbles(result.codes).subarray(0, 3)]).toEqual([0xa6, 0x80, 0x77]);
    expect([...result.absmax]).toEqual([2]);
  });

  it('stands for .492225, −.182100, .159161, −2', () => {
    const values = dequantizeNf4(result);
    [0.492225, -0.1821, 0.159161, -2, 0].forEach((value, i) => void expect(values[i]).toBeCloseTo(value, 5));
  });
});

describe.each(testBackends)('the worked example on %s', (backend) => {
  it('dequantizes to the same values on tensors', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const weight = packWeight(quantizeNf4(row(0.5, -0.25, 0.1, -2), oneBlock));
    const values = dequantizeWeight(weight);
    await expectClose(values, row(0.492225, -0.1821, 0.159161, -2), 1e-6, 'values');
    values.dispose();
    disposePacked(weight);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('codes', () => {
  it('are those of the nearest level, by a plain search', () => {
    const weight = random(640, 3);
    const { codes, absmax } = quantizeNf4(weight, { outFeatures: 10, inFeatures: 64 });
    for (const [i, code] of codes.entries()) {
      const value = weight[i]! / absmax[Math.floor(i / 64)]!;
      const distances = Array.from(nf4Levels, (level) => Math.abs(level - value));
      expect(distances[code]).toBeCloseTo(Math.min(...distances), 6);
    }
  });

  it('exactly between two levels are the lower one', () => {
    const midpoints = midpointsOf(nf4Levels);
    const { codes } = quantizeNf4(row(1, ...midpoints), oneBlock);
    expect([...codes.subarray(1, 16)]).toEqual(Array.from({ length: 15 }, (_, code) => code));
    expect(nearestIndex(midpoints, midpoints[3]!)).toBe(3);
    expect(nearestIndex(midpoints, midpoints[3]! + 1e-6)).toBe(4);
  });

  it('cover a last block that is short, and blocks that cross rows', () => {
    const weight = random(150, 5);
    const { codes, absmax } = quantizeNf4(weight, { outFeatures: 3, inFeatures: 50 });
    expect(absmax.length).toBe(3);
    expect(absmax[1]).toBe(weight.subarray(64, 128).reduce((max, value) => Math.max(max, Math.abs(value)), 0));
    expect(unpackNibbles(packNibbles(codes), 150)).toEqual(codes);
    expect([...packNibbles(Uint8Array.of(1, 2, 3))]).toEqual([0x12, 0x37]);
  });
});

describe('invariants', () => {
  const weight = random(4096, 7);
  const shape = { outFeatures: 32, inFeatures: 128 };

  it('±absmax and 0 are exact', () => {
    weight[130] = 0;
    const values = dequantizeNf4(quantizeNf4(weight, shape));
    for (let block = 0; block < 64; block++) {
      const part = weight.subarray(block * 64, (block + 1) * 64);
      const largest = part.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const at = block * 64 + part.findIndex((value) => Math.abs(value) === largest);
      expect(values[at]).toBe(weight[at]);
    }
    expect(values[130]).toBe(0);
  });

  it('quantizing the result again changes nothing', () => {
    const once = quantizeNf4(weight, shape);
    expect(quantizeNf4(dequantizeNf4(once), shape)).toEqual(once);
  });

  it('a block of zeros has scale 0 and stays zeros', () => {
    const result = quantizeNf4(new Float32Array(128), { outFeatures: 2, inFeatures: 64 });
    expect([...result.absmax]).toEqual([0, 0]);
    expect(dequantizeNf4(result).every((value) => value === 0)).toBe(true);
    expect(result.codes.every((code) => code === 7)).toBe(true);
  });

  it('a block of numbers too small to invert keeps them', () => {
    const tiny = row(1e-40, -5e-41);
    const values = dequantizeNf4(quantizeNf4(tiny, oneBlock));
    expect(values.every((value) => Math.abs(value) <= 1.1e-40)).toBe(true);
  });

  it('NaN and infinity are refused', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => quantizeNf4(row(1, bad), oneBlock)).toThrowError(expect.objectContaining({ code: 'numeric' }));
  });
});

describe('double quantization', () => {
  it('keeps the codes and takes block scales to the nearest of 256 steps around their mean', () => {
    const weight = random(64 * 700, 11);
    const shape = { outFeatures: 350, inFeatures: 128 };
    const single = quantizeNf4(weight, shape);
    const double = quantizeNf4(weight, shape, { doubleQuantization: true });
    expect(double.codes).toEqual(single.codes);
    const { codes, absmax, offset } = double.nested!;
    expect(absmax.length).toBe(3);
    expect(offset).toBeCloseTo(single.absmax.reduce((sum, value) => sum + value, 0) / 700, 2);
    for (let block = 0; block < 700; block++) {
      const span = absmax[Math.floor(block / 256)]!;
      const shifted = single.absmax[block]! - offset;
      const best = Math.min(...Array.from(dynamicTable, (value) => Math.abs(value * span - shifted)));
      expect(Math.abs(dynamicTable[codes[block]!]! * span - shifted) - best).toBeLessThan(1e-5 * span);
      expect(Math.abs(double.absmax[block]! - single.absmax[block]!)).toBeLessThan(0.008 * span);
    }
  });

  it('of equal scales is exact', () => {
    const nested = nestAbsmax(new Float32Array(300).fill(0.3));
    expect([...nested.absmax]).toEqual([0, 0]);
    expect(nested.codes.every((code) => dynamicTable[code] === 0)).toBe(true);
    expect(nested.offset).toBe(Math.fround(0.3));
  });
});

it('the dynamic table has 256 ascending values from −.99297 to 1, symmetric but for the 1', () => {
  expect(dynamicTable.length).toBe(256);
  expect(dynamicTable.every((value, i) => i === 0 || value > dynamicTable[i - 1]!)).toBe(true);
  expect([dynamicTable[0], dynamicTable[255], dynamicTable[127]]).toEqual([Math.fround(-0.99296874), 1, 0]);
  for (let i = 0; i < 127; i++) expect(dynamicTable[i]! + dynamicTable[254 - i]!).toBe(0);
});
