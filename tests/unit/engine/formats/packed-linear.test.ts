import { describe, expect, it } from 'vitest';
import {
  dequantizeLinear,
  type PackedLinear,
  packCodes,
  packedLinearBytes,
  packedWords,
  roundScales,
  unpackCodes,
} from '../../../../src-main/engine/formats/packed-linear.ts';

function codesFor(count: number, bits: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (index * 37 + (index >> 3) * 11) % 2 ** bits);
}

describe('packCodes', () => {
  it.each([2, 3, 4, 5, 6, 7, 8])('restores %i-bit codes, rows of any length', (bits) => {
    for (const columns of [1, 7, 31, 32, 33, 128]) {
      const codes = codesFor(5 * columns, bits);
      const packed = packCodes(codes, 5, columns, bits);
      expect(packed.length).toBe(5 * packedWords(columns, bits));
      expect(unpackCodes(packed, 5, columns, bits)).toEqual(codes);
    }
  });

  it('lays codes out as one bit stream, least significant bit first', () => {
    const codes = new Uint8Array(32);
    codes.set([1, 2, 3]);
    codes[10] = 0b111;
    const words = packCodes(codes, 1, 32, 3);
    expect(words.length).toBe(3);
    expect(words[0]! >>> 0).toBe(1 + 2 * 8 + 3 * 64 + 2 ** 31 + 2 ** 30);
    expect(words[1]).toBe(1);
  });
});

const packed: PackedLinear = {
  bits: 2,
  symmetric: false,
  outFeatures: 2,
  inFeatures: 4,
  groupSize: 2,
  codes: Uint8Array.of(0, 1, 2, 3, 3, 3, 0, 0),
  scales: Float32Array.of(0.5, 2, 1, 0.25),
  zeros: Uint8Array.of(1, 0, 3, 2),
  groupIndex: null,
};

describe('dequantizeLinear', () => {
  it('applies scale and zero point per group', () => {
    expect([...dequantizeLinear(packed)]).toEqual([-0.5, 0, 4, 6, 0, 0, -0.5, -0.5]);
  });

  it('follows a group index', () => {
    const shuffled = { ...packed, groupIndex: Int32Array.of(1, 0, 1, 0) };
    expect([...dequantizeLinear(shuffled)]).toEqual([0, 0, 4, 1, 0.25, 0, -0.5, -3]);
  });
});

describe('packedLinearBytes', () => {
  it('counts codes, scales and zero points', () => {
    const big = { ...packed, bits: 3 as const, outFeatures: 8, inFeatures: 128, groupSize: 32 };
    expect(packedLinearBytes(big)).toBe((8 * 128 * 3) / 8 + 8 * 4 * 2 + (8 * 4 * 3) / 8);
    expect(packedLinearBytes({ ...big, symmetric: true })).toBe((8 * 128 * 3) / 8 + 8 * 4 * 2);
  });
});

describe('roundScales', () => {
  it('rounds to binary16 and keeps tiny scales above zero', () => {
    const rounded = roundScales(Float32Array.of(0.1, 1e-9, 0));
    expect(rounded[0]).toBe(Math.fround(0.0999755859375));
    expect(rounded[1]).toBe(2 ** -24);
    expect(rounded[2]).toBe(0);
  });

  it('refuses a scale beyond the 16-bit range', () => {
    expect(() => roundScales(Float32Array.of(1e6))).toThrow(/outside the 16-bit range/);
  });
});
