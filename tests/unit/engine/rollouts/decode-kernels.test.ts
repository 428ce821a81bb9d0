import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { kernelBinaryBase64, kernelSourceHash } from '../../../../src-main/engine/rollouts/cpu/kernels-binary.ts';
import { expectClose, floats, ints, kernels, memory, place } from './kernel-memory.ts';

const scriptUrl = new URL('../../../../scripts/build-kernels.mjs', import.meta.url).href;
const { compileKernels, kernelModules, sourceHash } = (await import(scriptUrl)) as {
  compileKernels(module: object): Promise<Uint8Array>;
  kernelModules: { decode: object };
  sourceHash(module: object): string;
};

const random = new RandomStream(8, 'kernels');
const epsilon = 1e-6;

const normalized = (x: number[], weight: ArrayLike<number>) => {
  const factor = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + epsilon);
  return x.map((value, index) => value * factor * weight[index]!);
};
const row = (values: ArrayLike<number>, index: number, size: number) => Array.from(values).slice(index * size, (index + 1) * size);

describe('decode kernels', () => {
  it('are what their sources compile to', async () => {
    expect(kernelSourceHash).toBe(sourceHash(kernelModules.decode));
    expect(Buffer.from(await compileKernels(kernelModules.decode)).toString('base64')).toBe(kernelBinaryBase64);
  });

  it('embed, add and normalize rows', () => {
    const size = 12;
    const table = random.normals(5 * size, 2);
    const weight = random.normals(size);
    const delta = random.normals(3 * size);
    const ids = [4, 0, 4];
    const [x, y] = [place(new Float32Array(3 * size)), place(new Float32Array(3 * size))];
    const weightAt = place(weight);
    kernels.embedAndNormalize(place(table), ints(ids), x, weightAt, y, 3, size, epsilon);
    const embedded = ids.map((id) => row(table, id, size));
    expect([...floats(x, 3 * size)]).toEqual(embedded.flat());
    expectClose(
      floats(y, 3 * size),
      embedded.flatMap((values) => normalized(values, weight)),
    );

    const summed = embedded.map((values, r) => values.map((value, j) => Math.fround(value + delta[r * size + j]!)));
    const before = floats(x, 3 * size).slice();
    kernels.addAndNormalize(x, place(delta), weightAt, y, 3, size, epsilon);
    expect([...floats(x, 3 * size)]).toEqual(summed.flat());
    expectClose(
      floats(y, 3 * size),
      summed.flatMap((values) => normalized(values, weight)),
    );

    floats(x, 3 * size).set(before);
    kernels.addAndNormalizeSelected(x, place(delta), ints([2, 0]), weightAt, y, 2, size, epsilon);
    expectClose(
      floats(y, 2 * size),
      [2, 0].flatMap((r) => normalized(summed[r]!, weight)),
    );
  });

  it('gate units over the whole range of silu', () => {
    const size = 8;
    const gateUp = random.normals(4 * 2 * size, 3);
    gateUp.set([-200, -90, -30, 30, 90, 200, 0, -0]);
    const y = place(new Float32Array(4 * size));
    kernels.gatedUnits(place(gateUp), y, 4, size);
    const expected = Array.from({ length: 4 * size }, (_, index) => {
      const at = Math.floor(index / size) * 2 * size + (index % size);
      return (gateUp[at]! / (1 + Math.exp(-gateUp[at]!))) * gateUp[at + size]!;
    });
    expectClose(floats(y, 4 * size), expected);
  });
});

describe('findPeaks', () => {
  const vocab = 11;
  const peaks = (rows: number[][], temperature: number) => {
    const [tokens, shares] = [ints(Array(rows.length).fill(-1)), place(new Float32Array(rows.length))];
    kernels.findPeaks(place(rows.flat()), rows.length, vocab, 1 / temperature, tokens, shares);
    return { tokens: [...new Int32Array(memory.buffer, tokens, rows.length)], shares: [...floats(shares, rows.length)] };
  };

  it('finds the first largest logit and its probability', () => {
    const rows = Array.from({ length: 9 }, () => [...random.normals(vocab, 3)]);
    rows.push([...Array(vocab - 3).fill(-2), 4, -2, 4]);
    const found = peaks(rows, 0.7);
    expect(found.tokens).toEqual(rows.map((row) => row.indexOf(Math.max(...row))));
    const expected = rows.map((row) => 1 / row.reduce((sum, logit) => sum + Math.exp((logit - Math.max(...row)) / 0.7), 0));
    expectClose(found.shares, expected);
  });

  it('gives no probability when a logit is not finite', () => {
    const rows = [0, 5, 10].flatMap((bad) =>
      [Number.NaN, Infinity].map((value) => Array.from({ length: vocab }, (_, j) => (j === bad ? value : j))),
    );
    expect(peaks(rows, 1).shares.filter(Number.isFinite)).toEqual([]);
  });
});

describe.each([
  { heads: 4, kvHeads: 2, headDim: 32, norm: true },
  { heads: 3, kvHeads: 1, headDim: 20, norm: false },
  { heads: 2, kvHeads: 2, headDim: 4, norm: true },
])('cached attention, %j', ({ heads, kvHeads, headDim, norm }) => {
  const [slots, capacity] = [3, 48];
  const width = (heads + 2 * kvHeads) * headDim;
  const half = headDim / 2;
  const scale = 1 / Math.sqrt(headDim);
  const angles = Array.from({ length: capacity * half }, (_, i) => Math.floor(i / half) * 0.7 ** (i % half));
  const [cos, sin] = [place(angles.map(Math.cos)), place(angles.map(Math.sin))];
  const [queryWeight, keyWeight] = [random.normals(headDim), random.normals(headDim)];
  const [queryNorm, keyNorm] = norm ? [place(queryWeight), place(keyWeight)] : [0, 0];
  // Stale values everywhere, as earlier sequences leave them.
  const stale = () => place(random.normals(slots * kvHeads * capacity * headDim, 50));
  const [keys, values, scores] = [stale(), stale(), place(new Float32Array(2 * capacity))];

  function run(qkv: Float32Array, slotIds: number[], positions: number[]): Float32Array {
    const rows = slotIds.length;
    const [data, s, p, out] = [place(qkv), ints(slotIds), ints(positions), place(new Float32Array(rows * heads * headDim))];
    kernels.appendKeysAndValues(
      ...([data, s, p, keys, values, queryNorm, keyNorm, cos, sin] as const),
      ...([0, 0, 0, 0, 0, rows, heads, kvHeads, headDim, capacity, epsilon, scale] as const),
    );
    kernels.attend(data, s, p, keys, values, scores, out, rows, heads, kvHeads, headDim, capacity);
    return floats(out, rows * heads * headDim).slice();
  }

  /** The same in double precision, over one sequence's rows [positions, width]. */
  function reference(qkv: Float32Array, length: number): number[] {
    const head = (t: number, h: number) => Array.from(qkv.subarray(t * width + h * headDim, t * width + (h + 1) * headDim));
    const rotated = (x: number[], t: number) =>
      x.map((value, j) => {
        const angle = angles[t * half + (j % half)]!;
        return j < half
          ? value * Math.cos(angle) - x[j + half]! * Math.sin(angle)
          : value * Math.cos(angle) + x[j - half]! * Math.sin(angle);
      });
    const prepared = (t: number, h: number, weight: Float32Array) => rotated(norm ? normalized(head(t, h), weight) : head(t, h), t);
    return Array.from({ length }, (_, t) =>
      Array.from({ length: heads }, (_, h) => {
        const kvHead = Math.floor((h * kvHeads) / heads);
        const q = prepared(t, h, queryWeight);
        const weights = Array.from({ length: t + 1 }, (_, i) =>
          Math.exp(scale * prepared(i, heads + kvHead, keyWeight).reduce((sum, k, j) => sum + k * q[j]!, 0)),
        );
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        return Array.from({ length: headDim }, (_, j) =>
          weights.reduce((sum, weight, i) => sum + (weight / total) * head(i, heads + kvHeads + kvHead)[j]!, 0),
        );
      }).flat(),
    ).flat();
  }

  it('equals full causal attention, whole or token by token, beside other sequences', () => {
    const length = 37;
    const first = random.normals(length * width);
    const second = random.normals(length * width);
    const all = Array.from({ length }, (_, t) => t);
    const whole = run(first, Array(length).fill(1), all);
    expectClose(whole, reference(first, length), 5e-6);

    const size = heads * headDim;
    for (let t = 0; t < length; t++) {
      const both = new Float32Array(2 * width);
      both.set(second.subarray(t * width, (t + 1) * width));
      both.set(first.subarray(t * width, (t + 1) * width), width);
      const out = run(both, [0, 2], [t, t]);
      expect([...out.subarray(size)]).toEqual([...whole.subarray(t * size, (t + 1) * size)]);
    }
  });
});
