import { describe, expect, it } from 'vitest';
import {
  decodeBfloats,
  decodeHalf,
  decodeHalves,
  encodeBfloats,
  encodeHalf,
  encodeHalves,
  roundToHalf,
} from '../../../../src-main/engine/formats/float16.ts';

describe('binary16', () => {
  it('keeps every pattern through a round trip', () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, index) => index).filter((pattern) => !Number.isNaN(decodeHalf(pattern)));
    expect(encodeHalves(decodeHalves(patterns))).toEqual(patterns);
  });

  it('rounds to nearest even', () => {
    expect(roundToHalf(2049)).toBe(2048);
    expect(roundToHalf(2051)).toBe(2052);
    expect(roundToHalf(2049.01)).toBe(2050);
    expect(roundToHalf(65519)).toBe(65504);
    expect(roundToHalf(65520)).toBe(Number.POSITIVE_INFINITY);
    expect(roundToHalf(2 ** -25)).toBe(0);
    expect(roundToHalf(1.5 * 2 ** -25)).toBe(2 ** -24);
    expect(roundToHalf(2 ** -14 - 2 ** -26)).toBe(2 ** -14);
    expect(encodeHalf(Number.NaN)).toBe(0x7e00);
  });

  it('lies nowhere further from a value than half a step', () => {
    for (let index = 1; index < 20000; index++) {
      const value = Math.fround(index * 0.0137);
      const step = 2 ** (Math.floor(Math.log2(value)) - 10);
      expect(Math.abs(roundToHalf(value) - value)).toBeLessThanOrEqual(step / 2);
    }
  });
});

describe('bfloat16', () => {
  it('rounds to nearest even and keeps infinities and NaN', () => {
    const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -2.5, Number.POSITIVE_INFINITY, Number.NaN, 3.4e38);
    expect([...decodeBfloats(encodeBfloats(values))]).toEqual([
      1,
      1,
      1 + 2 ** -6,
      -2.5,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ]);
  });
});
