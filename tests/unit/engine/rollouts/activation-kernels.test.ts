import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { TokenQuantizer } from '../../../../src-main/engine/model/layer-activations.ts';
import { quantizerFloats } from '../../../../src-main/engine/ops/quantize-tokens/quantizer-words.ts';
import { expectClose, floats, ints, kernels, place } from './kernel-memory.ts';

const random = new RandomStream(11, 'activation kernels');
const asymmetric: TokenQuantizer = { bits: 4, symmetric: false, clipHigh: 0.9, clipLow: 0.95, outlierThreshold: null };
const quantizers: [string, TokenQuantizer][] = [
  ['4 bits, asymmetric, clipped', asymmetric],
  ['3 bits, symmetric', { ...asymmetric, bits: 3, symmetric: true }],
  ['8 bits, outliers kept', { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: 1.5 }],
];

/** Nearest, halves to even. */
function rounded(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** One row, every operation rounded to float32, in the composed op's order. */
function quantized(row: Float32Array, { bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer): number[] {
  const f = Math.fround;
  const isOutlier = (value: number) => outlierThreshold !== null && Math.abs(value) >= outlierThreshold;
  const kept = [...row].filter((value) => !isOutlier(value));
  const high = f(Math.max(0, ...kept) * f(clipHigh));
  const low = f(Math.min(0, ...kept) * f(clipLow));
  const half = 2 ** (bits - 1);
  const width = symmetric ? f(Math.max(high, -low) / (half - 1)) : f(f(high - low) / (2 ** bits - 1));
  const scale = width > 0 ? width : 1;
  const zero = symmetric ? 0 : rounded(f(-low / scale));
  const [least, most] = symmetric ? [-half, half - 1] : [0, 2 ** bits - 1];
  return [...row].map((value) =>
    isOutlier(value) ? value : f((Math.min(most, Math.max(least, rounded(f(value / scale)) + zero)) - zero) * scale),
  );
}

/** Rows [n1, n2] times left ⊗ right, in double precision. */
function transformed(x: Float32Array, left: Float32Array | null, right: Float32Array | null, n1: number, n2: number): number[] {
  const at = (matrix: Float32Array | null, size: number, i: number, j: number) => (matrix ? matrix[i * size + j]! : i === j ? 1 : 0);
  const size = n1 * n2;
  const y = new Array<number>(x.length).fill(0);
  for (let row = 0; row < x.length; row += size)
    for (let a = 0; a < n1; a++)
      for (let b = 0; b < n2; b++)
        for (let i = 0; i < n1; i++)
          for (let j = 0; j < n2; j++) y[row + a * n2 + b]! += at(left, n1, i, a) * x[row + i * n2 + j]! * at(right, n2, j, b);
  return y;
}

const shapes = [
  { n1: 12, n2: 32, left: true, right: true },
  { n1: 16, n2: 24, left: true, right: true },
  { n1: 4, n2: 32, left: true, right: false },
  { n1: 3, n2: 20, left: false, right: true },
  { n1: 7, n2: 4, left: true, right: true },
];

describe('prepareInput', () => {
  const scratch = place(new Float32Array(2 * 384));
  const prepare = (
    x: Float32Array,
    matrices: { left: number; right: number },
    quantizer: TokenQuantizer | null,
    n1: number,
    n2: number,
  ) => {
    const offset = place(x);
    const words = quantizer ? place(quantizerFloats(quantizer)) : 0;
    kernels.prepareInput(offset, matrices.left, matrices.right, words, scratch, x.length / (n1 * n2), n1, n2);
    return floats(offset, x.length).slice();
  };

  it.each(shapes)('transforms rows, then quantizes them: %j', ({ n1, n2, left: hasLeft, right: hasRight }) => {
    const size = n1 * n2;
    const x = random.normals(5 * size);
    const left = hasLeft ? random.normals(n1 * n1, 1 / Math.sqrt(n1)) : null;
    const right = hasRight ? random.normals(n2 * n2, 1 / Math.sqrt(n2)) : null;
    const places = { left: left ? place(left) : 0, right: right ? place(right) : 0 };
    const plain = prepare(x, places, null, n1, n2);
    expectClose(plain, transformed(x, left, right, n1, n2), 5e-6);
    for (const [, quantizer] of quantizers) {
      const result = prepare(x, places, quantizer, n1, n2);
      for (let row = 0; row < 5; row++) {
        const [from, to] = [row * size, (row + 1) * size];
        expect([...result.subarray(from, to)]).toEqual(quantized(plain.subarray(from, to), quantizer).map((value) => value + 0));
        expect(prepare(x.slice(from, to), places, quantizer, n1, n2)).toEqual(result.slice(from, to));
      }
    }
  });

  it.each(quantizers)('quantizes rows of any multiple of 4: %s', (_, quantizer) => {
    for (const size of [4, 8, 12, 20, 384]) {
      const x = random.normals(3 * size, 1.3);
      x.fill(0, size, 2 * size);
      const result = prepare(x, { left: 0, right: 0 }, quantizer, 1, size);
      for (let from = 0; from < 3 * size; from += size)
        expect([...result.subarray(from, from + size)]).toEqual(quantized(x.subarray(from, from + size), quantizer).map((v) => v + 0));
    }
  });

  it('leaves what is not a number as it is, so that broken values are noticed', () => {
    const x = Float32Array.of(1, Number.NaN, -2, Infinity, 0.3, 0.2, -Infinity, 1.1);
    for (const [, quantizer] of quantizers) {
      const result = prepare(x, { left: 0, right: 0 }, quantizer, 1, 8);
      expect([result[1], result[3], result[6]]).toEqual([Number.NaN, Infinity, -Infinity]);
      expect(Number.isFinite(result[0]! + result[2]! + result[4]!)).toBe(true);
    }
  });
});

describe.each([
  { heads: 4, kvHeads: 2, headDim: 32 },
  { heads: 3, kvHeads: 1, headDim: 20 },
  { heads: 7, kvHeads: 7, headDim: 4 },
])('appendKeysAndValues, %j', ({ heads, kvHeads, headDim }) => {
  const [slots, capacity, epsilon] = [2, 32, 1e-6];
  const [width, half] = [(heads + 2 * kvHeads) * headDim, headDim / 2];
  const scale = 1 / Math.sqrt(headDim);
  const angles = Array.from({ length: capacity * half }, (_, i) => Math.floor(i / half) * 0.7 ** (i % half));
  const tables = [place(angles.map(Math.cos)), place(angles.map(Math.sin))] as const;
  const scratch = place(new Float32Array(heads * headDim));
  const cacheSize = slots * kvHeads * capacity * headDim;

  /** Queries [heads, headDim], keys and values [kvHeads, headDim] of one token at its place. */
  function append(qkv: Float32Array, position: number, matrices: [number, number], cache: [number, number]) {
    const [data, keys, values] = [place(qkv), place(new Float32Array(cacheSize)), place(new Float32Array(cacheSize))];
    kernels.appendKeysAndValues(
      ...([data, ints([1]), ints([position]), keys, values, 0, 0, ...tables, ...matrices, ...cache, scratch] as const),
      ...([1, heads, kvHeads, headDim, capacity, epsilon, scale] as const),
    );
    const block = (h: number) => (kvHeads + h) * capacity * headDim;
    const key = (h: number, j: number) => block(h) + Math.floor(position / 16) * 16 * headDim + j * 16 + (position % 16);
    const all = (place: (h: number, j: number) => number, offset: number) =>
      Float32Array.from({ length: kvHeads * headDim }, (_, i) => floats(offset, cacheSize)[place(Math.floor(i / headDim), i % headDim)]!);
    return {
      queries: floats(data, heads * headDim).slice(),
      keys: all(key, keys),
      values: all((h, j) => block(h) + position * headDim + j, values),
    };
  }

  it('transforms queries and keys after rotation, then quantizes keys and values per head', () => {
    for (const position of [0, 21]) {
      const qkv = random.normals(width);
      const [query, key] = [random.normals(headDim ** 2, scale), random.normals(headDim ** 2, scale)];
      const matrices: [number, number] = [place(query), place(key)];
      const rotated = append(qkv, position, [0, 0], [0, 0]);
      const plain = append(qkv, position, matrices, [0, 0]);
      // Queries are scaled last, which commutes with the transform up to rounding.
      expectClose(plain.queries, transformed(rotated.queries, null, query, 1, headDim), 5e-6);
      expectClose(plain.keys, transformed(rotated.keys, null, key, 1, headDim), 5e-6);
      expect(plain.values).toEqual(qkv.slice((heads + kvHeads) * headDim));
      for (const [, quantizer] of quantizers) {
        const words = place(quantizerFloats(quantizer));
        const result = append(qkv, position, matrices, [words, words]);
        expect(result.queries).toEqual(plain.queries);
        for (let at = 0; at < kvHeads * headDim; at += headDim) {
          for (const part of ['keys', 'values'] as const)
            expect([...result[part].subarray(at, at + headDim)]).toEqual(
              quantized(plain[part].subarray(at, at + headDim), quantizer).map((value) => value + 0),
            );
        }
      }
    }
  });
});
