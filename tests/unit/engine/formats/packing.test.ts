import { describe, expect, it } from 'vitest';
import { packCodes, packedWords } from '../../../../src-main/engine/formats/packed-linear.ts';
import {
  packAwq,
  packGptq,
  packNibbles,
  packWholeCodes,
  transpose,
  unpackAwq,
  unpackGptq,
  unpackNibbles,
  unpackWholeCodes,
  wholeCodeWords,
} from '../../../../src-main/engine/formats/packing.ts';

function codesFor(count: number, bits: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (index * 37 + (index >> 3) * 11) % 2 ** bits);
}

const hex = (words: Int32Array) => [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0'));

describe('GPTQ packing', () => {
  it('puts the first input in the lowest bits, and lets 3-bit codes run across words', () => {
    expect(hex(packGptq(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7), 1, 8, 4))).toEqual(['76543210']);
    const threeBits = Uint8Array.from({ length: 32 }, (_, index) => index % 8);
    expect(hex(packGptq(threeBits, 1, 32, 3))).toEqual(['88fac688', 'c688fac6', 'fac688fa']);
  });

  it.each([2, 3, 4, 8])('restores %i-bit codes of any shape', (bits) => {
    for (const [rows, columns] of [
      [1, 32],
      [5, 64],
      [33, 96],
    ] as const) {
      const codes = codesFor(rows * columns, bits);
      const words = packGptq(codes, rows, columns, bits);
      expect(words.length).toBe(packedWords(columns, bits) * rows);
      expect(unpackGptq(words, rows, columns, bits)).toEqual(codes);
    }
  });

  it('stands transposed: word w of output o is at [w, o]', () => {
    const codes = codesFor(3 * 16, 4);
    const [words, rows] = [packGptq(codes, 3, 16, 4), packCodes(codes, 3, 16, 4)];
    for (let output = 0; output < 3; output++)
      for (let word = 0; word < 2; word++) expect(words[word * 3 + output]).toBe(rows[output * 2 + word]);
  });
});

describe('AWQ packing', () => {
  it('orders eight outputs 0, 2, 4, 6, 1, 3, 5, 7', () => {
    expect(hex(packAwq(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7), 1, 8))).toEqual(['75316420']);
  });

  it('restores codes', () => {
    const codes = codesFor(7 * 40, 4);
    expect(unpackAwq(packAwq(codes, 7, 40), 7, 40)).toEqual(codes);
  });
});

describe('compressed-tensors packing', () => {
  it('keeps codes whole: ten 3-bit codes in a word', () => {
    const codes = Uint8Array.from({ length: 11 }, (_, index) => index % 8);
    const words = packWholeCodes(codes, 1, 11, 3);
    expect(words.length).toBe(2);
    expect(words[0]! >>> 0).toBe([0, 1, 2, 3, 4, 5, 6, 7, 0, 1].reduce((sum, code, index) => sum + code * 8 ** index, 0));
    expect(words[1]).toBe(2);
  });

  it.each([2, 3, 4, 5, 6, 7, 8])('restores %i-bit codes of any shape', (bits) => {
    for (const columns of [1, 9, 10, 11, 64]) {
      const codes = codesFor(3 * columns, bits);
      const words = packWholeCodes(codes, 3, columns, bits);
      expect(words.length).toBe(3 * wholeCodeWords(columns, bits));
      expect(unpackWholeCodes(words, 3, columns, bits)).toEqual(codes);
    }
  });
});

describe('bitsandbytes packing', () => {
  it('puts the first code in the high nibble', () => {
    expect([...packNibbles(Uint8Array.of(10, 6, 8, 0))]).toEqual([0xa6, 0x80]);
    const codes = codesFor(33, 4);
    expect(unpackNibbles(packNibbles(codes), 33)).toEqual(codes);
  });
});

describe('transpose', () => {
  it('swaps rows and columns', () => {
    expect([...transpose(Int32Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});
