/** Kernels of the GPU decode engine against double-precision loops. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { runShader, type Values } from '../../../../src-main/engine/gpu-check/run-shader.ts';
import { lanesProduct, lanesWorkgroups } from '../../../../src-main/engine/rollouts/gpu/kernels/lanes.ts';
import { type ProductShape, productColumns, tilesProduct } from '../../../../src-main/engine/rollouts/gpu/kernels/products.ts';
import { normShader } from '../../../../src-main/engine/rollouts/gpu/kernels/rows.ts';
import type { WeightFormat } from '../../../../src-main/engine/rollouts/gpu/kernels/weight-format.ts';
import { normals, testBackends } from '../ops/op-check.ts';

const floats = (count: number, seed: number) => Float32Array.from(normals(count, seed));

describe.skipIf(!testBackends.includes('webgpu'))('kernels of the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  const inFeatures = 52;
  const outFeatures = 38;
  const shapes: Record<string, ProductShape> = {
    store: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 40, bias: true, epilogue: 'store' },
    add: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 40, bias: false, epilogue: 'add' },
    swiglu: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 20, bias: false, epilogue: 'swiglu' },
  };

  /** y after the product, in double precision. */
  function product(shape: ProductShape, x: Float32Array, w: Float32Array, y: Float32Array, bias: Float32Array, rows: number): Float64Array {
    const sum = (row: number, n: number) => {
      let total = shape.bias ? bias[n]! : 0;
      for (let k = 0; k < shape.inFeatures; k++) total += x[row * shape.inFeatures + k]! * w[n * shape.inFeatures + k]!;
      return total;
    };
    const result = Float64Array.from(y);
    const columns = productColumns(shape);
    for (let row = 0; row < rows; row++) {
      for (let n = 0; n < columns; n++) {
        const at = row * shape.stride + n;
        const value = sum(row, n);
        if (shape.epilogue === 'add') result[at]! += value;
        else result[at] = shape.epilogue === 'swiglu' ? (value / (1 + Math.exp(-value))) * sum(row, n + columns) : value;
      }
    }
    return result;
  }

  it.each(Object.keys(shapes))('multiply by weights, %s', async (name) => {
    const shape = shapes[name]!;
    const rows = 32;
    const [x, w, y, bias] = [
      floats(rows * inFeatures, 1),
      floats(outFeatures * inFeatures, 2),
      floats(rows * shape.stride, 3),
      floats(outFeatures, 4),
    ];
    const operands = [x, y, Uint32Array.of(0, 0, 0, 0), ...(shape.bias ? [bias] : []), w];
    const compare = (actual: ArrayLike<number>, count: number) => {
      const expected = product(shape, x, w, y, bias, count).subarray(0, count * shape.stride);
      expect(deviation(Array.from(actual).slice(0, count * shape.stride), expected)).toBeLessThan(1e-5);
    };
    for (const count of [1, 4]) {
      const [lanes] = await runShader(lanesProduct(shape, count), operands, [lanesWorkgroups(shape)], {
        reads: [1],
        uniform: 2,
      });
      compare(lanes!, count);
    }
    const outcomes: ArrayLike<number>[] = [];
    for (const tile of [
      { rows: 16, columns: 16 },
      { rows: 32, columns: 32 },
    ]) {
      const groups = [Math.ceil(outFeatures / tile.columns), rows / tile.rows] as const;
      const [tiles] = await runShader(tilesProduct(shape, tile), operands, groups, { reads: [1], uniform: 2 });
      compare(tiles!, rows);
      outcomes.push(tiles!);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  it.each<[string, WeightFormat, number]>([
    ['bfloat16', { kind: 'bfloat16' }, 0.5],
    ['W4G8', { kind: 'integer', bits: 4, groupSize: 8, symmetric: true, grouped: false }, 0.125],
  ])('give a row the same sums beside any number of others, %s', async (_, format, wordsPerWeight) => {
    const sizes = { inFeatures: 264, outFeatures: 4098 };
    const shape: ProductShape = { format, ...sizes, stride: sizes.outFeatures, bias: false, epilogue: 'store' };
    const x = floats(8 * sizes.inFeatures, 5);
    // Halves of normal numbers are finite bfloat16 numbers, and any bits are codes.
    const words = new Uint32Array(floats(sizes.outFeatures * sizes.inFeatures * wordsPerWeight, 6).buffer);
    const scales = format.kind === 'integer' ? [floats((sizes.outFeatures * sizes.inFeatures) / 8, 7)] : [];
    const weights = format.kind === 'integer' ? words : words.map((word) => (word & 0xffff0000) | ((word >>> 16) & 0x3fff));
    const outcomes: Values[] = [];
    for (const rows of [1, 2, 4, 8]) {
      const operands = [x, new Float32Array(rows * shape.stride), new Uint32Array(4), weights, ...scales];
      const [y] = await runShader(lanesProduct(shape, rows), operands, [lanesWorkgroups(shape)], { reads: [1], uniform: 2 });
      outcomes.push(y!);
    }
    for (const [index, y] of outcomes.entries()) expect(y).toEqual(outcomes[3]!.subarray(0, 2 ** index * shape.stride));
  });

  it('normalize selected rows', async () => {
    const size = 20;
    const [x, weight] = [floats(5 * size, 5), floats(size, 6)];
    const selected = Uint32Array.of(4, 1);
    const [y] = await runShader(normShader(size, 1e-6, true), [x, weight, new Float32Array(2 * size), selected], [2], { reads: [2] });
    selected.forEach((row, place) => {
      const values = x.subarray(row * size, (row + 1) * size);
      const factor = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / size + 1e-6);
      const expected = values.map((value, i) => value * factor * weight[i]!);
      expect(deviation((y as Float32Array).subarray(place * size, (place + 1) * size), expected)).toBeLessThan(1e-6);
    });
  });
});
