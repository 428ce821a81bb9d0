import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';

beforeAll(() => selectBackend('wasm'));

/** Value at each position: its coordinates as digits, so that a wrong element shows. */
function positions(shape: number[]): number[] {
  const count = shape.reduce((product, size) => product * size, 1);
  return Array.from({ length: count }, (_, flat) => {
    let rest = flat;
    let digits = 0;
    for (let axis = shape.length - 1, unit = 1; axis >= 0; axis--, unit *= 10) {
      digits += (rest % shape[axis]!) * unit;
      rest = Math.floor(rest / shape[axis]!);
    }
    return digits;
  });
}

describe('slice on wasm', () => {
  const cases: { shape: number[]; begin: number[]; size: number[] }[] = [
    { shape: [7], begin: [2], size: [3] },
    { shape: [1], begin: [0], size: [1] },
    { shape: [5, 6], begin: [1, 0], size: [3, 6] },
    { shape: [5, 6], begin: [1, 2], size: [3, 4] },
    { shape: [5, 6], begin: [0, 5], size: [5, 1] },
    { shape: [3, 4, 5], begin: [1, 1, 0], size: [2, 2, 5] },
    { shape: [3, 4, 5], begin: [0, 1, 2], size: [3, 2, 2] },
    { shape: [2, 3, 4, 5], begin: [1, 0, 1, 2], size: [1, 3, 2, 3] },
    { shape: [2, 2, 2, 3, 2], begin: [0, 1, 0, 1, 0], size: [2, 1, 2, 2, 2] },
    { shape: [4, 3], begin: [2, 1], size: [-1, -1] },
    { shape: [4, 3], begin: [4, 0], size: [0, 3] },
  ];

  it.each(cases)('%j: copies the right elements', ({ shape, begin, size }) => {
    const full = size.map((count, axis) => (count === -1 ? shape[axis]! - begin[axis]! : count));
    const shift = begin.reduce((digits, first) => 10 * digits + first, 0);
    const expected = positions(full).map((digits) => digits + shift);
    for (const dtype of ['float32', 'int32'] as const) {
      const tensors = tf.memory().numTensors;
      const values = tf.tidy(() => tf.slice(tf.tensor(positions(shape), shape, dtype), begin, size).dataSync());
      expect(Array.from(values)).toEqual(expected);
      expect(tf.memory().numTensors).toBe(tensors);
    }
  });

  it('copies booleans and strings', () => {
    const flags = tf.tensor([true, false, false, true, true, false], [2, 3], 'bool');
    expect(Array.from(tf.slice(flags, [0, 1], [2, 2]).dataSync())).toEqual([0, 0, 1, 0]);
    const words = tf.tensor(['a', 'b', 'c', 'd'], [2, 2], 'string');
    expect(Array.from(tf.slice(words, [0, 1], [2, 1]).dataSync<'string'>())).toEqual(['b', 'd']);
  });
});
